// Run by run.sh, in a process group of its own: WORK HAPROXY RPC-SIM RPC-WEIGHTER LIBFAKETIME
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ask as ask_at, finish, haproxy_backend, running, server_tables, start as start_in, start_sim, stop, test as test_with, until,
  write_haproxy_cfg,
} from '../common.mjs';

const [work, haproxy, sim, binary, faketime] = process.argv.slice(2);
const socket = path.join(work, 'admin.sock');
const config = path.join(work, 'config.toml');
const start = (program, args) => start_in(work, program, args);

// ------------------------------------------------------------------------------------------------------------ HAProxy

const ask = (command) => ask_at(socket, command);

/** Weights in the order of haproxy.cfg, separated by spaces; empty while HAProxy is away. */
const weights = async () =>
  (await ask('show servers state rpc'))
    .split('\n')
    .map((line) => line.split(' '))
    .filter((f) => f.length > 8 && /^\d+$/.test(f[0]))
    .map((f) => f[7])
    .join(' ');
const ALL = '86 85 85';
const WITHOUT_B = '128 0 128';
const reach = (wanted) => until(`weights ${wanted}`, async () => (await weights()) === wanted, () => '', 60);

// -------------------------------------------------------------------------------------------------------------- stage

const { providers, behave } = await start_sim(work, sim, ['a', 'b', 'c']);
const broken = { fault: 'http_status', http_status: 500 };
const whole = { fault: 'none' };

write_haproxy_cfg(work, socket, haproxy_backend('rpc', providers));
fs.writeFileSync(config, `[haproxy]
endpoints = ["unix:${socket}"]
watch_interval = "200ms"
timeout = "10s"
[probe]
interval = "300ms"
timeout = "10s"
[[backend]]
name = "rpc"
chain = "ethereum"
strategy = "equal"
ramp = "0s"
eject_time = "0s"
${server_tables(providers)}`);

let proxy;
const start_haproxy = () => {
  proxy = start(haproxy, ['-W', '-db', '-f', 'haproxy.cfg']);
};
start_haproxy();

let agent;
/** The agent, started by `launcher` (a program and its arguments). */
function start_agent(launcher, ...more) {
  const [program, ...args] = [...launcher, binary, 'run', '--config', config, ...more];
  agent = start(program, args);
}
const says = (text) => until(`"${text}" in the log`, () => agent.errors.includes(text), () => '', 60);
/** One that fails leaves no agent to the next, whose port it would hold. */
async function ends(body) {
  try {
    await body();
  } finally {
    if (running.has(agent)) await stop(agent, 'SIGKILL');
  }
}
const test = (name, body) => test_with(name, () => ends(body), () => (agent?.errors ?? '').split('\n').slice(-20));
async function end_agent() {
  assert(running.has(agent), `the agent has ended: ${await Promise.race([agent.ended, 'not yet'])}`);
  assert.equal(await stop(agent), 'exit 0');
}

// -------------------------------------------------------------------------------------------------------------- tests

await test('a disk that is full costs recording and state, and no weight', async () => {
  // The limit of a file's size fails writes as a full disk does, and needs no file system of its own.
  start_agent(['prlimit', '--fsize=2048'], '--state', 'state', '--record', 'recording');
  await reach(ALL);
  await says('cannot record to recording: it cannot be written: ');
  await says('state file state: cannot be written: ');
  await behave('b', broken);
  await reach(WITHOUT_B);
  await behave('b', whole);
  await reach(ALL);
  await end_agent();
});

await test('a wall clock that jumps by an hour, both ways', async () => {
  const offset = path.join(work, 'offset');
  const step = (text) => {
    fs.writeFileSync(`${offset}.new`, text);
    fs.renameSync(`${offset}.new`, offset);
  };
  // Two hours ahead of this machine's, as the blocks are: behind it, libfaketime would make a timer that is due at once
  // wait until the machine has been up for so long.
  await behave('', { timestamp_offset_s: 7200 });
  step('+7200');
  start_agent(['env', `LD_PRELOAD=${faketime}`, `FAKETIME_TIMESTAMP_FILE=${offset}`, 'FAKETIME_NO_CACHE=1', 'DONT_FAKE_MONOTONIC=1']);
  await reach(ALL);
  step('+10800');
  await says("the chain stands still, or this machine's clock is wrong");
  // Nobody's blocks are fresh by this clock: what answers shares, and what fails gets nothing.
  await behave('b', broken);
  await reach(WITHOUT_B);
  await behave('b', whole);
  step('+7200');
  await says('weights follow the scores');
  await reach(ALL);
  step('+3600');
  await until('a look by the new clock', async () => {
    await behave('b', broken);
    return (await weights()) === WITHOUT_B;
  });
  await behave('b', whole);
  await reach(ALL);
  step('+7200');
  await reach(ALL);
  await end_agent();
  await behave('', { timestamp_offset_s: 0 });
});

await test('a socket that is removed, and comes back with the next HAProxy', async () => {
  start_agent([]);
  await reach(ALL);
  fs.unlinkSync(socket);
  await says('HAProxy cannot be used: ');
  await stop(proxy);
  start_haproxy();
  await reach(ALL);
  await end_agent();
});

await test('256 MB of memory are enough beside a provider that sends without end', async () => {
  start_agent(['prlimit', `--as=${256 * 1024 * 1024}`]);
  await reach(ALL);
  await behave('b', { fault: 'flood', flood_bytes: 100_000_000 });
  await reach(WITHOUT_B);
  await behave('b', { fault: 'gzip_bomb' });
  await sleep(2000);
  assert.equal(await weights(), WITHOUT_B);
  await behave('b', whole);
  await reach(ALL);
  await end_agent();
});

await test('SIGTERM at any moment of the start', async () => {
  for (let delay = 0; delay < 400; delay += 16) {
    start_agent([]);
    await sleep(delay);
    const end = await stop(agent);
    // Before the program has taken the signal over, it has done nothing.
    if (!(end === 'SIGTERM' && agent.errors === '')) assert.equal(end, 'exit 0', `after ${delay} ms: ${agent.errors}`);
  }
});

await test('reloads of HAProxy, SIGHUPs and a provider that comes and goes, all at once', async () => {
  start_agent([]);
  await says(' is there: '); // the weights are there already, and a SIGHUP before the program's start would end it
  const held = () => ({
    files: fs.readdirSync(`/proc/${agent.pid}/fd`).length,
    kib: Number(/^VmRSS:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${agent.pid}/status`, 'utf8'))[1]),
  });
  let before;
  for (let round = 0; round < 12; round++) {
    if (round === 2) before = held(); // once all has been used
    proxy.kill('SIGUSR2');
    await behave('b', round % 2 ? whole : broken);
    // Odd times, so that they fall into each part of a pass.
    for (const wait of [0, 1, 7, 40, 130, 270]) {
      agent.kill('SIGHUP');
      await sleep(wait);
    }
    await sleep(500);
  }
  await behave('b', whole);
  await reach(ALL);
  const after = held();
  assert(after.files <= before.files + 8, `${before.files} files before, ${after.files} after`);
  assert(after.kib <= before.kib + 20_000, `${before.kib} KiB before, ${after.kib} after`);
  await end_agent();
});

await stop(proxy);
finish();
