// Run by run.sh, in a process group of its own: WORK HAPROXY RPC-SIM RPC-WEIGHTER SECONDS SEED FOLDER
//
// Ten backends with five servers each, probed each quarter of a second, are decided ten times a second: a hundred
// decisions of a backend a second, while a fault begins or ends at a provider several times a second.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ask as ask_at, finish, free_port, haproxy_backend, needed, server_tables, sim_chain, start as start_in, start_sim, stop,
  test as test_with, until, write_haproxy_cfg,
} from '../common.mjs';
import { chart, median, slope, thinned } from './chart.mjs';

const [work, haproxy, sim, binary, seconds_text, seed_text, out] = process.argv.slice(2);
const seconds = Number(seconds_text);
const warm_up = Math.max(15, Math.round(seconds / 6));
const check_every = Math.max(15, Math.round(seconds / 30));
assert(seconds >= 30 && Number.isInteger(Number(seed_text)), 'SOAK_SECONDS is at least 30, SOAK_SEED a whole number');

// Growth that the time of measuring may bring, by the slope. Half an hour moves around the same values: 4 MiB are what the
// allocator keeps of large answers, and the history of 50 servers. A server that hangs has a second connection, so that
// descriptors vary by one for each of the 50. A short soak still warms up, and may have a little
// more: in 100 s a leak of a kibibyte at each probe would be 16 MiB, one of a descriptor at each fault 420.
const short = seconds < 600;
const most_growth = short ? { mib: 5, files: 75 } : { mib: 4, files: 50 };

/** A small generator of [0, 1) (mulberry32): the same seed gives the same faults in the same order. */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
const random = generator(Number(seed_text));
const draw = (list) => list[Math.floor(random() * list.length)];
const between = (low, high) => low + random() * (high - low);

// --------------------------------------------------------------------------------------------------------------- stage

const socket = path.join(work, 'admin.sock');
const config = path.join(work, 'config.toml');
const strategies = ['adaptive', 'inverse-latency', 'equal', 'leader'];
const fallbacks = ['equal', 'keep', 'least-bad'];
const backends = Array.from({ length: 10 }, (_, i) => ({
  name: `rpc${i}`,
  servers: Array.from({ length: 5 }, (_, k) => `s${i}-${k}`),
}));
const names = backends.flatMap((b) => b.servers);

const start = (program, args) => start_in(work, program, args);
const simulator = await start_sim(work, sim, names);
needed.add(simulator.child);
const { behave, providers } = simulator;
/** Ports of the servers by name. */
const ports = (servers) => Object.fromEntries(servers.map((s) => [s, providers[s]]));

const keep = new http.Agent({ keepAlive: true, maxSockets: 4 });
/** What the agent answers; status 0: no answer. */
const served = (target) =>
  new Promise((resolve) => {
    const options = { host: '127.0.0.1', port: listen, path: target, agent: keep, timeout: 10_000 };
    const request = http.get(options, (reply) => {
      let text = '';
      reply.on('data', (part) => (text += part));
      reply.on('error', () => resolve({ status: 0, text }));
      reply.on('end', () => resolve({ status: reply.statusCode, text }));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', (error) => resolve({ status: 0, text: error.message }));
  });

const whole = {
  fault: 'none', fault_ratio: 1, flap_ms: 0, latency_ms: 2, latency_sigma: 0.2, lag_blocks: 0, frozen: false, ahead_blocks: 0,
  chain_id: null, fork_from: null, syncing: false, timestamp_offset_s: 0, quota_per_s: 0, retry_after_s: null, tx_count: 0,
  flood_bytes: 4_000_000, drip_ms: 5,
};
const faults = [
  'hang', 'accept_silent', 'refuse', 'reset', 'http_status', 'rpc_error', 'html', 'truncated', 'cut', 'flood', 'drip', 'gzip',
  'gzip_bomb', 'deep', 'redirect', 'empty', 'wrong_type', 'null_result', 'other_id', 'no_http',
];
const oddities = [
  () => ({ latency_ms: between(5, 600), latency_sigma: between(0, 1) }),
  () => ({ lag_blocks: Math.floor(between(1, 100)) }),
  () => ({ frozen: true }),
  () => ({ ahead_blocks: Math.floor(between(5, 1000)) }),
  () => ({ chain_id: 56 }),
  () => ({ fork_from: 1, fork_id: 3 }),
  () => ({ syncing: true }),
  () => ({ timestamp_offset_s: -Math.floor(between(60, 4000)) }),
  () => ({ quota_per_s: between(0.5, 4), retry_after_s: draw([null, 1, 3]) }),
  () => ({ tx_count: Math.floor(between(100, 2000)) }),
];
/** How a provider behaves from now on: half of the draws are well, so that most backends have somebody left. */
function behaviour() {
  const kind = random();
  if (kind < 0.5) return whole;
  if (kind < 0.65) return { ...whole, ...draw(oddities)() };
  const fault = { ...whole, fault: draw(faults) };
  if (kind < 0.8) fault.fault_ratio = between(0.2, 1);
  else if (kind < 0.9) fault.flap_ms = Math.floor(between(200, 5000));
  return fault;
}

write_haproxy_cfg(work, socket, backends.map((b) => haproxy_backend(b.name, ports(b.servers))).join(''), {
  global: ['hard-stop-after 2s'], // else old workers pile up
});

const listen = await free_port();
/** `odd`: another one that is as good, so that a re-read has something to take over. */
function write_config(odd) {
  const text = `[haproxy]
endpoints = ["unix:${socket}"]
watch_interval = "200ms"
[probe]
interval = "${odd ? '240ms' : '250ms'}"
fast_interval = "100ms"
timeout = "1s"
[http]
listen = "127.0.0.1:${listen}"
${sim_chain}${backends
  .map((b, i) => `[[backend]]
name = "${b.name}"
chain = "sim"
strategy = "${strategies[(i + (odd ? 1 : 0)) % strategies.length]}"
scale = "${i % 3 ? 'share' : 'peak'}"
fallback = "${fallbacks[i % fallbacks.length]}"
ramp = "2s"
eject_time = "1s"
max_eject_time = "4s"
${server_tables(ports(b.servers.slice(odd ? 1 : 0)))}[[backend.canary]]
method = "eth_call"
interval = "3s"`)
  .join('\n')}
`;
  fs.writeFileSync(`${config}.new`, text, { mode: 0o600 });
  fs.renameSync(`${config}.new`, config);
}
write_config(false);

let proxy;
const start_haproxy = () => {
  proxy = start(haproxy, ['-W', '-db', '-f', 'haproxy.cfg']);
};
const ask = (command) => ask_at(socket, command);
/** Returns when it answers: a signal before that would end it. */
async function starts_haproxy() {
  start_haproxy();
  await until('HAProxy', () => ask('show info'));
}
await starts_haproxy();
const agent = start(binary, ['run', '--config', config, '--state', path.join(work, 'state')]);
needed.add(agent);
await until('the agent', async () => (await served('/readyz')).status === 200);

// --------------------------------------------------------------------------------------------------------- what it holds

const begun = performance.now();
const elapsed = () => (performance.now() - begun) / 1000;
const samples = [];
function held() {
  const status = fs.readFileSync(`/proc/${agent.pid}/status`, 'utf8');
  return {
    t: elapsed(),
    mib: Number(/^VmRSS:\s+(\d+)/m.exec(status)[1]) / 1024,
    files: fs.readdirSync(`/proc/${agent.pid}/fd`).length,
  };
}

/** Weights of HAProxy by backend and server, of `show stat`; undefined while it does not answer in full. */
async function set_weights() {
  const lines = (await ask('show stat -1 4 -1')).trim().split('\n');
  const columns = lines[0].replace(/^# /, '').split(',');
  const [backend, server, weight] = ['pxname', 'svname', 'uweight'].map((c) => columns.indexOf(c));
  const all = {};
  for (const line of lines.slice(1)) {
    const f = line.split(',');
    (all[f[backend]] ??= {})[f[server]] = Number(f[weight]);
  }
  const complete = backends.every((b) => b.servers.every((s) => all[b.name]?.[s] !== undefined));
  return complete ? all : undefined;
}

/** Those of the report. */
async function reported_weights() {
  const { status, text } = await served('/api/v1/status');
  if (status !== 200) return undefined;
  const all = {};
  for (const b of JSON.parse(text).backends) for (const s of b.servers) (all[b.name] ??= {})[s.name] = s.weight;
  return all;
}

const checkpoints = [];
/** Waits until HAProxy has each weight of the report; of two reports, so that none changes in between. */
async function same_weights(when) {
  const from = performance.now();
  let difference = '';
  await until(
    `HAProxy's weights as in the report, ${when}`,
    async () => {
      const before = await reported_weights();
      const real = await set_weights();
      const after = await reported_weights();
      if (!before || !real || !after || JSON.stringify(before) !== JSON.stringify(after)) return false;
      difference = '';
      for (const [b, servers] of Object.entries(after)) {
        for (const [s, weight] of Object.entries(servers))
          if (real[b][s] !== weight) difference += `\n${b}/${s}: the report has ${weight}, HAProxy ${real[b][s]}`;
        assert(Object.values(real[b]).some((w) => w > 0), `${b} has no weight at all`);
      }
      return difference === '';
    },
    () => difference,
    60,
  );
  checkpoints.push({ t: Math.round(elapsed()), ms: Math.round(performance.now() - from) });
}

// ------------------------------------------------------------------------------------------------------------- what happens

const counts = { faults: 0, reloads: 0, restarts: 0, kills: 0, sighups: 0, by_hand: 0, requests: 0 };
const marks = [];
const disturbances = [
  [4, () => { counts.reloads++; marks.push(elapsed()); proxy.kill('SIGUSR2'); }],
  [1, async () => {
    counts.restarts++;
    marks.push(elapsed());
    await stop(proxy);
    await starts_haproxy();
  }],
  [1, async () => {
    counts.kills++;
    marks.push(elapsed());
    await stop(proxy, 'SIGKILL');
    await sleep(between(0, 1500));
    await starts_haproxy();
  }],
  [4, () => { counts.sighups++; write_config(counts.sighups % 2 === 1); agent.kill('SIGHUP'); }],
  [1, () => { counts.sighups += 5; for (let i = 0; i < 5; i++) agent.kill('SIGHUP'); }],
  [3, async () => { counts.by_hand++; const b = draw(backends); await ask(`set weight ${b.name}/${draw(b.servers)} ${Math.floor(random() * 257)}`); }],
];
const disturbance = () => {
  let left = random() * disturbances.reduce((sum, [share]) => sum + share, 0);
  return disturbances.find(([share]) => (left -= share) < 0)[1];
};

let paused = false;
let over = false;
const loops = [];
/** Repeats `work`, with a pause of some milliseconds in between. Its first error ends the soak. */
function repeat(low, high, work) {
  loops.push(
    (async () => {
      while (!over) {
        await sleep(between(low, high));
        if (!paused && !over) await work();
      }
    })(),
  );
}

async function soak() {
  repeat(100, 300, async () => {
    counts.faults++;
    await behave(draw(names), behaviour());
  });
  repeat(2000, 6000, () => disturbance()());
  // Readers: a scrape, the page's requests, event streams that are left open and cut.
  repeat(700, 1300, async () => {
    for (const target of ['/metrics', '/api/v1/status', '/api/v1/history', '/api/v1/decisions', '/healthz', '/none']) {
      counts.requests++;
      await served(target);
    }
  });
  repeat(2000, 5000, async () => {
    const stream = net.connect(listen, '127.0.0.1', () => stream.write('GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n'));
    stream.on('error', () => {});
    stream.resume();
    await sleep(between(100, 3000));
    stream.destroy();
  });
  loops.push(
    (async () => {
      while (!over) {
        samples.push(held());
        await sleep(500);
      }
    })(),
  );
  loops.push(
    (async () => {
      while (elapsed() < warm_up + seconds) {
        await sleep(Math.min(check_every, Math.max(0.1, warm_up + seconds - elapsed())) * 1000);
        paused = true;
        await same_weights(`after ${Math.round(elapsed())} s`);
        paused = false;
      }
      over = true;
    })(),
  );
  try {
    await Promise.all(loops);
  } finally {
    over = true;
  }
}

const test = (name, body) => test_with(name, body, () => agent.errors.split('\n').slice(-20));
/** A series of the agent's metrics, summed over its labels. */
async function counter(name) {
  const { text } = await served('/metrics');
  let sum = 0;
  for (const [, value] of text.matchAll(new RegExp(`^rpc_weighter_${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))) sum += Number(value);
  return sum;
}

await test(`HAProxy has the weights of the report at each of the checkpoints, seed ${seed_text}`, soak);

const measured = samples.filter((s) => s.t > warm_up);
const growth = {};
for (const what of ['mib', 'files']) {
  // Some hundred points are enough: their pairs are looked at.
  const points = thinned(measured, 400).map((s) => [s.t, s[what]]);
  growth[what] = slope(points) * (points.at(-1)[0] - points[0][0]);
}
await test('memory and descriptors do not grow', () => {
  assert(growth.mib <= most_growth.mib, `memory grows by ${growth.mib.toFixed(1)} MiB in ${seconds} s`);
  assert(growth.files <= most_growth.files, `descriptors grow by ${growth.files.toFixed(1)} in ${seconds} s`);
});

await test('all servers share again once all is well, and the agent ends in order', async () => {
  await behave('', whole);
  write_config(false);
  agent.kill('SIGHUP');
  await until(
    'weights for all',
    async () => {
      const all = await set_weights();
      // A leader is alone.
      return all && backends.every((b, i) => strategies[i % 4] === 'leader' || Object.values(all[b.name]).every((w) => w > 0));
    },
    () => '',
    60,
  );
  await same_weights('at the end');
});

const figures = {
  seconds: Math.round(elapsed()), warm_up, seed: Number(seed_text), servers: names.length, cores: os.availableParallelism?.() ?? os.cpus().length,
  ...counts,
  decisions: await counter('decision_duration_seconds_count'),
  probes: await counter('probes_total'),
  weight_changes: await counter('weight_changes_total'),
  ejections: await counter('ejections_total'),
  repairs: await counter('haproxy_repairs_total'),
  workers_seen: await counter('haproxy_reloads_total'),
  cpu_seconds: Number(/^process_cpu_seconds_total (\S+)$/m.exec((await served('/metrics')).text)?.[1] ?? NaN),
  memory_mib: { median: median(measured.map((s) => s.mib)), most: Math.max(...samples.map((s) => s.mib)), growth: growth.mib },
  descriptors: { median: median(measured.map((s) => s.files)), most: Math.max(...samples.map((s) => s.files)), growth: growth.files },
  checkpoints: { count: checkpoints.length, median_ms: median(checkpoints.map((c) => c.ms)), most_ms: Math.max(...checkpoints.map((c) => c.ms)) },
};
needed.delete(agent);
await test('SIGTERM', async () => assert.equal(await stop(agent), 'exit 0'));
await stop(proxy);

const rounded = (key, value) => (typeof value === 'number' ? Math.round(value * 10) / 10 : value);
console.log(JSON.stringify(figures, rounded));
if (out) {
  const few = thinned(samples, 360);
  fs.writeFileSync(path.join(out, 'soak.json'), `${JSON.stringify({ ...figures, samples: few }, rounded, 1)}\n`);
  fs.writeFileSync(
    path.join(out, 'soak.svg'),
    chart(few, warm_up, marks, `${names.length} servers, ${counts.faults} changes of a provider, ${marks.length} reloads and restarts of HAProxy, ${counts.sighups} SIGHUPs`),
  );
}
finish();
