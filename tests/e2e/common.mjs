// What the end-to-end tests in JavaScript share: tests, waits and children.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
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

/** Sends the signal, and gives how the child ended. */
export async function stop(child, signal = 'SIGTERM') {
  child.kill(signal);
  return within(30, `the end of ${path.basename(child.spawnfile)} after ${signal}`, child.ended);
}

/** A port of 127.0.0.1 that was free just now. */
export const free_port = () =>
  new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/**
 * Starts the simulator with providers of these names. Gives its process, the providers' ports by name, and
 * `behave(name, how)`, which changes one provider, or all with an empty name.
 */
export async function start_sim(folder, sim, names) {
  const file = path.join(folder, 'ports');
  const child = start(folder, sim, ['--providers', names.join(','), '--ports-file', file]);
  await until('the simulator', () => fs.existsSync(file) && fs.readFileSync(file, 'utf8').endsWith('\n'));
  const { control, providers } = JSON.parse(fs.readFileSync(file, 'utf8'));
  async function behave(name, how) {
    const target = `http://127.0.0.1:${control}/providers${name && '/'}${name}`;
    const reply = await fetch(target, { method: 'POST', body: JSON.stringify(how) });
    assert.equal(reply.status, 200, await reply.text());
  }
  return { child, providers, behave };
}

/** Writes haproxy.cfg to `folder`, with the lines of `extra` in its sections. `rest`: frontends and backends. */
export function write_haproxy_cfg(folder, socket, rest, extra = {}) {
  const lines = (list = []) => list.map((line) => `  ${line}\n`).join('');
  fs.writeFileSync(
    path.join(folder, 'haproxy.cfg'),
    `global
  stats socket ${socket} mode 600 level admin expose-fd listeners
${lines(extra.global)}defaults
  mode http
  timeout connect 10s
  timeout client 30s
  timeout server 30s
${lines(extra.defaults)}${rest}`,
  );
}

/** A backend of haproxy.cfg; `ports` by server. */
export const haproxy_backend = (name, ports, weight = 1) =>
  `backend ${name}\n  balance roundrobin\n${Object.entries(ports)
    .map(([server, port]) => `  server ${server} 127.0.0.1:${port} weight ${weight}\n`)
    .join('')}`;

/** The [[backend.server]] tables of the same servers. */
export const server_tables = (ports, url_path = '/') =>
  Object.entries(ports)
    .map(([server, port]) => `[[backend.server]]\nname = "${server}"\nurl = "http://127.0.0.1:${port}${url_path}"\n`)
    .join('');

/** The chain of simulated providers with a block each second. */
export const sim_chain = `[[chain]]
name = "sim"
family = "evm"
chain_id = 1
block_time = "1s"
max_block_age = "60s"
max_lag = "30s"
`;

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
