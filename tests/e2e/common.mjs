// What the end-to-end tests in JavaScript share: tests, waits and children.
import { spawn } from 'node:child_process';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Children that have not ended. They end with this process. */
export const running = new Set();
/** Those of them that no wait should outlive. */
export const needed = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

/**
 * A child in `folder` with nothing from our environment but the PATH. `child.ended` gives "exit 0", "SIGKILL" and the
 * like, and `child.errors` what it wrote to standard error.
 */
export function start(folder, program, args) {
  const { PATH } = process.env;
  const child = spawn(program, args, { cwd: folder, env: { PATH, HOME: folder }, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  child.stdout.resume(); // a pipe that nothing reads would stop it
  child.errors = '';
  child.stderr.on('data', (chunk) => (child.errors += chunk));
  child.ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      running.delete(child);
      resolve(signal ?? `exit ${code}`);
    });
  });
  child.ended.catch(() => {}); // the one that waits for it sees the error
  return child;
}

export async function within(seconds, what, promise) {
  const late = new AbortController();
  const timer = sleep(seconds * 1000, undefined, { signal: late.signal }).then(() => {
    throw new Error(`waited ${seconds} s in vain: ${what}`);
  });
  timer.catch(() => {});
  return Promise.race([promise, timer]).finally(() => late.abort());
}

/** Waits until `condition` gives something true, and gives that. `describe` tells of the state when it never does. */
export async function until(what, condition, describe = () => '', seconds = 30) {
  let problem = '';
  for (const deadline = Date.now() + seconds * 1000; Date.now() < deadline; await sleep(25)) {
    for (const child of needed)
      if (!running.has(child)) throw new Error(`${path.basename(child.spawnfile)} has ended: ${await child.ended}`);
    try {
      const result = await condition();
      if (result) return result;
      problem = '';
    } catch (error) {
      problem = ` (${error.message})`;
    }
  }
  throw new Error(`waited ${seconds} s in vain: ${what}${problem}${describe()}`);
}

/** HAProxy's reply to a command over its stats socket; empty while it is away. */
export const ask = (socket, command) =>
  new Promise((resolve) => {
    let reply = '';
    const peer = net.connect(socket, () => peer.write(`${command}\n`));
    peer.setTimeout(5000, () => peer.destroy());
    peer.on('data', (part) => (reply += part));
    peer.on('error', () => {});
    peer.on('close', () => resolve(reply));
  });

let passed = 0;
let failed = 0;
/** One test; a failure does not end the others. `more` gives lines that help to understand a failure. */
export async function test(name, body, more = () => []) {
  const begin = Date.now();
  try {
    await body();
    passed++;
    console.log(`ok    ${name} (${((Date.now() - begin) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed++;
    const text = [error.stack ?? String(error), ...more()];
    console.log(`FAIL  ${name}\n${text.join('\n')}`.replaceAll('\n', '\n      '));
  }
}

/** Ends the process, rather than wait for timers that lost their race. */
export function finish() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}
