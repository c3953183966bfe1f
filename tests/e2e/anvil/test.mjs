// Run by run.sh, in a process group of its own: WORK HAPROXY ANVIL RPC-WEIGHTER
//
// The nodes share one chain without talking to each other: anvil's blocks follow from the genesis, the timestamps and
// the transactions alone. So all have the same genesis, every block is dated one second after its parent, there are no
// transactions, and a node that has fallen behind catches up by mining what it missed, to the same hashes.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import readline from 'node:readline';
import { finish, needed, running, start as start_in, stop, test as test_with, until, within } from '../common.mjs';

const [work, haproxy, anvil, binary] = process.argv.slice(2);
const names = ['one', 'two', 'three'];
const chain_id = 71377;
const max_lag = 4; // seconds, and blocks
const max_block_age = 8; // seconds
const rise = 2;
const genesis = Math.floor(Date.now() / 1000);

// ----------------------------------------------------------------------------------------------- processes and waits

/** Ends early. Cleans up as run.sh does, which may have been killed. */
function give_up() {
  running.forEach((child) => child.kill('SIGKILL'));
  fs.rmSync(work, { recursive: true, force: true });
  process.exit(1);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, give_up);
const parent = process.ppid;
setInterval(() => process.ppid === parent || give_up(), 500).unref();

const start = (program, args) => start_in(work, program, args);
/** A failure shows the end of the daemon's log. */
const test = (name, body) =>
  test_with(name, body, () => log.slice(-12).map((entry) => `  ${JSON.stringify(entry)}`));

// ---------------------------------------------------------------------------------------------------------- the nodes

/** Sends one request on a connection of its own. `where`: { port } or { socketPath }. */
function post(where, method, params = []) {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', ...where, method: 'POST', agent: false, timeout: 5_000 };
    const request = http.request({ ...options, headers: { 'content-type': 'application/json' } }, (response) => {
      let body = '';
      response.on('data', (chunk) => (body += chunk)).on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode, server: response.headers['x-server'], body }));
    });
    request.on('timeout', () => request.destroy(new Error(`${method}: no answer`)));
    request.on('error', reject);
    request.end(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }));
  });
}

class Node {
  port = 0; // chosen by the system at the first start, then kept

  constructor(name) {
    this.name = name;
  }

  get alive() {
    return this.child !== undefined && running.has(this.child);
  }

  async call(method, ...params) {
    const { status, body } = await post({ port: this.port }, method, params);
    const { result, error } = JSON.parse(body);
    assert(status === 200 && !error, `${this.name}: ${method}: HTTP ${status}, ${body}`);
    return result;
  }

  /** How often this process was asked for a method: anvil logs each one. */
  asked(method) {
    return this.methods.get(method) ?? 0;
  }

  async start(chain = chain_id) {
    await until(`${this.name} listens`, () => this.launch(chain));
    await this.call('anvil_setBlockTimestampInterval', 1);
    ({ instanceId: this.instance } = await this.call('anvil_metadata'));
    await this.catch_up();
  }

  async launch(chain) {
    const options = { port: this.port, 'chain-id': chain, timestamp: genesis, threads: 1, color: 'never' };
    const args = Object.entries(options).flatMap(([key, value]) => [`--${key}`, String(value)]);
    const child = start(anvil, ['--no-mining', ...args]);
    const methods = new Map();
    const port = new Promise((resolve) => {
      readline.createInterface({ input: child.stdout }).on('line', (line) => {
        const [, listening] = /Listening on 127\.0\.0\.1:(\d+)/.exec(line) ?? [];
        if (listening) resolve(Number(listening));
        const [, method] = /^(\w+_\w+)$/.exec(line.trim()) ?? [];
        if (method) methods.set(method, (methods.get(method) ?? 0) + 1);
      });
    });
    const ended = child.ended.then((how) => assert.fail(`anvil: ${how}: ${child.errors}`));
    this.port = await within(10, 'anvil is up', Promise.race([port, ended])).catch((error) => {
      child.kill('SIGKILL');
      throw error;
    });
    ended.catch(() => {});
    return Object.assign(this, { child, methods, chain });
  }

  kill() {
    return stop(this.child, 'SIGKILL');
  }

  async height() {
    return Number(await this.call('eth_blockNumber'));
  }
  hash_at(number) {
    return this.call('eth_getBlockByNumber', `0x${number.toString(16)}`, false).then((block) => block?.hash);
  }
  /** Mines what was missed, and then a block every second. */
  async catch_up() {
    await this.pause_mining();
    const missed = Math.floor(Date.now() / 1000) - genesis - (await this.height());
    if (missed > 0) await this.call('anvil_mine', `0x${missed.toString(16)}`);
    await this.call('evm_setIntervalMining', 1);
  }
  pause_mining() {
    return this.call('evm_setIntervalMining', 0);
  }
}
const nodes = names.map((name) => new Node(name));
const [one, two, three] = nodes;

/** A way to a node on which every request takes `delay` ms longer. */
async function detour(node, delay) {
  const sockets = new Set();
  const server = net.createServer((client) => {
    const upstream = net.connect(node.port, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket.setNoDelay());
      socket.on('error', () => {});
      socket.on('close', () => [client, upstream].forEach((end) => end.destroy()));
    }
    client.on('data', (chunk) => setTimeout(() => upstream.writable && upstream.write(chunk), delay));
    upstream.pipe(client);
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const close = () => {
    sockets.forEach((socket) => socket.destroy());
    server.close();
  };
  return { port: server.address().port, delay, close };
}

/** Takes the port of a dead node and hangs up on `count` callers. */
async function hang_up(node, count) {
  let callers = 0;
  const server = net.createServer((socket) => {
    callers++;
    socket.on('error', () => {}).destroy();
  });
  await until(`port ${node.port} is free`, () => {
    server.listen(node.port, '127.0.0.1');
    return new Promise((resolve, reject) => server.once('listening', () => resolve(true)).once('error', reject));
  });
  try {
    await until(`${node.name} is probed while it hangs up`, () => callers >= count);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

// ------------------------------------------------------------------------------------------- HAProxy and rpc-weighter

const admin = path.join(work, 'admin.sock');
let haproxy_says = '';
const frontend = (backend) => path.join(work, `${backend}.sock`);

function runtime_api(command) {
  return new Promise((resolve, reject) => {
    let reply = '';
    const socket = net.connect(admin).on('error', reject);
    socket.setTimeout(5_000, () => socket.destroy(new Error('HAProxy does not answer')));
    socket.on('data', (chunk) => (reply += chunk)).on('end', () => resolve(reply.trim()));
    socket.end(`${command}\n`);
  });
}
async function weights(backend = 'rpc') {
  const reply = await runtime_api(names.map((name) => `get weight ${backend}/${name}`).join(';'));
  return [...reply.matchAll(/^(\d+) \(initial/gm)].map((match) => Number(match[1]));
}
/** Waits until HAProxy has these weights. */
async function weights_become(...expected) {
  let last;
  await until(
    `weights ${expected}`,
    async () => `${(last = await weights())}` === `${expected}`,
    () => `; they are ${last}`,
  );
}
const all_equal = [86, 85, 85];

async function start_haproxy() {
  // No checks, no retries: a request that is sent to a node that is not well fails.
  const backend = (name) => `
frontend to-${name}
  bind unix@${frontend(name)} mode 600
  default_backend ${name}
backend ${name}
  balance roundrobin
  http-reuse never
  http-response set-header X-Server %s
${nodes.map((node) => `  server ${node.name} 127.0.0.1:${node.port} weight 100\n`).join('')}`;
  fs.writeFileSync(
    path.join(work, 'haproxy.cfg'),
    `global
  stats socket ${admin} mode 600 level admin
defaults
  mode http
  retries 0
  timeout connect 2s
  timeout client 5s
  timeout server 5s
${backend('rpc')}${backend('latency')}`,
  );
  const child = start(haproxy, ['-db', '-f', 'haproxy.cfg']);
  needed.add(child);
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (haproxy_says += chunk));
  const ended = child.ended.then((how) => assert.fail(`${how}: ${haproxy_says}`));
  await Promise.race([ended, until('HAProxy answers', () => runtime_api('show info'))]);
  ended.catch(() => {});
  const [version] = /(?<=^Version: ).*$/m.exec(await runtime_api('show info'));
  console.log(`      HAProxy ${version}`);
}

/** Where `count` requests arrive, by what the nodes themselves answer: { one: 86, … }; "503" and the like otherwise. */
async function arrivals(count, backend = 'rpc') {
  const result = {};
  for (let i = 0; i < count; i++) {
    const { status, server, body } = await post({ socketPath: frontend(backend) }, 'anvil_metadata');
    const node = nodes.find(({ instance }) => status === 200 && JSON.parse(body).result.instanceId === instance);
    if (node) assert.equal(server, node.name, 'the header and the answer tell of different servers');
    const key = node?.name ?? String(status);
    result[key] = (result[key] ?? 0) + 1;
  }
  return result;
}

/**
 * Sends batches of 256 until one arrives exactly where the weights say. HAProxy's roundrobin goes in rounds of 16 times
 * the sum of the weights. When weights change amid a round, a server may have to wait for the next one: after a change
 * up to 4096 requests may be spread otherwise.
 */
async function follow_weights(shares, backend = 'rpc') {
  const expected = Object.fromEntries(names.map((name, i) => [name, shares[i]]));
  const tries = [];
  while (tries.length < 4096 / 256 + 2) {
    const arrived = await arrivals(256, backend);
    if (Object.entries(expected).every(([name, share]) => arrived[name] === share)) return;
    tries.push(JSON.stringify(arrived));
  }
  assert.fail(`expected: ${JSON.stringify(expected)}, arrived:\n${tries.join('\n')}`);
}

function write_config(file, backend, ports) {
  const server = (name, i) => `
  [[backend.server]]
  name = "${name}"
  url = "http://127.0.0.1:${ports[i]}/"
`;
  const text = `
[haproxy]
endpoints = ["unix:${admin}"]
watch_interval = "300ms"
[probe]
interval = "500ms"
fast_interval = "250ms"
timeout = "1s"
fall = 2
rise = ${rise}
[http]
listen = ""
[log]
format = "json"
[[chain]]
name = "anvil-chain"
family = "evm"
chain_id = ${chain_id}
block_time = "1s"
max_block_age = "${max_block_age}s"
max_lag = "${max_lag}s"
[[backend]]
name = "${backend.name}"
chain = "anvil-chain"
strategy = "${backend.strategy}"
ramp = "0s"
eject_time = "0s"
max_eject_time = "1s"
${names.map(server).join('')}`;
  fs.writeFileSync(path.join(work, file), text, { mode: 0o600 });
}

/** Runs a command to its end. */
async function weighter(...args) {
  const child = start(binary, args);
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) child[name].on('data', (chunk) => (output[name] += chunk));
  const end = await within(20, `the end of rpc-weighter ${args.join(' ')}`, child.ended);
  return { end, ...output };
}
/** What `once` or `scores` reports of the backend; its servers also by name. */
async function pass(command, expected_end, config = 'config.toml', ...more) {
  const { end, stdout, stderr } = await weighter(command, '--config', config, '--format', 'json', ...more);
  assert.equal(end, expected_end, `${command}: ${stdout}${stderr}`);
  const { haproxy: endpoints, backends } = JSON.parse(stdout);
  assert.equal(backends.length, 1);
  const [backend] = backends;
  assert.deepEqual(
    backend.servers.map((server) => server.name),
    names,
  );
  const by_name = Object.fromEntries(backend.servers.map((server) => [server.name, server]));
  return { ...backend, ...by_name, endpoints, weights: backend.servers.map((server) => server.weight) };
}
const codes = (server) => server.reasons.map((reason) => reason.code);

let daemon;
const log = []; // what `rpc-weighter run` logged
function start_daemon() {
  daemon = start(binary, ['run', '--config', 'config.toml']);
  needed.add(daemon);
  for (const stream of [daemon.stdout, daemon.stderr]) {
    readline.createInterface({ input: stream }).on('line', (line) => {
      try {
        log.push(JSON.parse(line));
      } catch {
        log.push({ not_json: line });
      }
    });
  }
}
const log_has = (since, entry) =>
  until(`the log has ${JSON.stringify(entry)}`, () =>
    log.slice(since).some((found) => Object.entries(entry).every(([key, value]) =>
      (key === 'reason' ? found.reasons?.[0]?.code : found[key]) === value)),
  );

/** Waits until the daemon had enough answers of this node to let it back in, if it wanted to. Others must not probe. */
async function probed_in_full(node) {
  const before = node.asked('eth_getBlockByNumber');
  await until(`${node.name} is probed`, () => node.asked('eth_getBlockByNumber') >= before + rise + 2);
}

/** Where every scenario begins, whatever the last one left behind. */
async function all_well() {
  for (const node of nodes) {
    if (node.alive && node.chain !== chain_id) await node.kill();
    if (node.alive) node.child.kill('SIGCONT');
    await (node.alive ? node.catch_up() : node.start());
  }
  await weights_become(...all_equal);
}
/** All are back: the weights, the traffic, and what a fresh pass thinks of them. */
async function all_back() {
  await weights_become(...all_equal);
  await follow_weights(all_equal);
  const report = await pass('scores', 'exit 0');
  assert.deepEqual(
    report.servers.map((server) => [server.state, codes(server)]),
    names.map(() => ['healthy', []]),
  );
}
/** Nothing that we send arrives at this node: the others answer every request. */
async function gets_nothing(node) {
  const before = node.asked('anvil_metadata');
  const arrived = await arrivals(64);
  const others = names.filter((name) => name !== node.name);
  assert.equal(
    others.reduce((sum, name) => sum + (arrived[name] ?? 0), 0),
    64,
    JSON.stringify(arrived),
  );
  if (node.alive) assert.equal(node.asked('anvil_metadata'), before);
}

// =================================================================================================================

await test('three nodes mine the same blocks', async () => {
  await Promise.all(nodes.map((node) => node.start()));
  await until('five blocks', async () => (await Promise.all(nodes.map((node) => node.height()))).every((n) => n >= 5));
  const hashes = await Promise.all(nodes.map((node) => node.hash_at(5)));
  assert.match(hashes[0], /^0x[0-9a-f]{64}$/);
  assert.equal(new Set(hashes).size, 1, `${hashes}`);
  assert.equal(new Set(nodes.map((node) => node.instance)).size, 3);
});
write_config(
  'config.toml',
  { name: 'rpc', strategy: 'equal' },
  nodes.map((node) => node.port),
);

await test('check takes the configuration, scores needs no HAProxy, and once says that there is none', async () => {
  const { end, stderr } = await weighter('check', '--config', 'config.toml');
  assert.equal(end, 'exit 0', stderr);
  assert.equal(stderr, '');
  const report = await pass('scores', 'exit 0');
  assert.deepEqual(report.weights, all_equal);
  assert.deepEqual(
    report.servers.map((server) => server.current_weight),
    [null, null, null],
  );
  assert.equal(report.endpoints[0].reachable, false);
  await pass('once', 'exit 3');
});

await test('once finds all well, and what it says of the blocks is true', async () => {
  await start_haproxy();
  assert.deepEqual(await weights(), [100, 100, 100]);
  const report = await pass('once', 'exit 0');
  assert.deepEqual(report.weights, all_equal);
  assert.deepEqual([report.fallback, report.notes, report.algorithm], [null, [], 'roundrobin']);
  assert.equal(report.head.agreed_by >= 2, true);
  for (const node of nodes) {
    const { state, reasons, url, block, current_weight, latency_ms, admin_state } = report[node.name];
    assert.deepEqual([state, reasons, current_weight, admin_state], ['healthy', [], 100, 'ready']);
    assert.equal(url, `http://127.0.0.1:${node.port}/…`);
    assert(latency_ms > 0 && latency_ms < 1000, `${latency_ms} ms`);
    assert.equal(block.hash, await node.hash_at(block.number));
    assert(block.lag <= max_lag && block.age_ms >= 0 && block.age_ms <= max_block_age * 1000, JSON.stringify(block));
  }
});
await test('256 requests arrive where the weights say', async () => {
  assert.deepEqual(await weights(), all_equal);
  assert.deepEqual(await arrivals(256), { one: 86, two: 85, three: 85 });
});
await test('by latency: the shares follow the formula, and the requests follow the shares', async () => {
  const detours = await Promise.all([detour(one, 60), detour(two, 150), detour(three, 250)]);
  try {
    write_config(
      'latency.toml',
      { name: 'latency', strategy: 'inverse-latency' },
      detours.map(({ port }) => port),
    );
    const report = await pass('once', 'exit 0', 'latency.toml', '--samples', '3');
    for (const [i, { latency_ms, block, score, inputs }] of report.servers.entries()) {
      assert(latency_ms >= detours[i].delay && latency_ms < detours[i].delay + 90, `${names[i]}: ${latency_ms} ms`);
      const whole = Math.floor(inputs.latency_used_ms);
      const magnitude = 10 ** (String(whole).length - 1);
      const expected = 1 / (Math.floor(whole / magnitude) * magnitude) + 1 / Math.max(block.age_ms, 1000);
      assert(Math.abs(score - expected) < 1e-9, `${names[i]}: score ${score}, expected ${expected}`);
    }
    const sum = report.servers.reduce((total, server) => total + server.score, 0);
    for (const { name, score, weight } of report.servers) {
      const quota = (256 * score) / sum;
      assert(Math.abs(weight - quota) < 1, `${name}: weight ${weight}, quota ${quota}`);
    }
    assert.equal(
      report.weights.reduce((total, weight) => total + weight),
      256,
    );
    const [first, second, third] = report.weights;
    assert(first > second && second > third && third > 1, `${report.weights}`);
    assert.deepEqual(await weights('latency'), report.weights);
    assert.deepEqual(await arrivals(256, 'latency'), { one: first, two: second, three: third });
  } finally {
    detours.forEach(({ close }) => close());
  }
});
await test('run puts right what another writer has set', async () => {
  await runtime_api('set weight rpc/one 0;set weight rpc/two 10');
  start_daemon();
  await all_well();
  await runtime_api('set weight rpc/three 200');
  await weights_become(...all_equal);
});

await test('a frozen node is out after time-outs, stays out while it is behind, and returns', async () => {
  await all_well();
  const since = log.length;
  const frozen_at = await one.height();
  one.child.kill('SIGSTOP');
  await weights_become(0, 128, 128);
  await log_has(since, { backend: 'rpc', server: 'one', to_state: 'ejected', to_weight: 0, reason: 'timeout' });
  await gets_nothing(one);

  const report = await pass('once', 'exit 0');
  const { state, block, latency_ms } = report.one;
  assert.deepEqual([state, codes(report.one), block, latency_ms], ['ejected', ['timeout'], null, null]);
  assert.deepEqual(report.weights, [0, 128, 128]);
  assert(report.head.agreed_by <= 2, 'a node that does not answer has no voice');

  // anvil makes up for one missed tick when it goes on.
  await until('the others have moved on', async () => (await two.height()) > frozen_at + max_lag + 4);
  one.child.kill('SIGCONT');
  await probed_in_full(one);
  const behind = await pass('scores', 'exit 0');
  assert.equal(behind.one.state, 'ejected');
  assert(codes(behind.one).includes('block_lag') && !codes(behind.one).includes('timeout'), `${codes(behind.one)}`);
  assert.deepEqual(await weights(), [0, 128, 128]);
  await one.catch_up();
  await log_has(since, { backend: 'rpc', server: 'one', to_state: 'healthy' });
  await all_back();
});

await test('a node that was killed is out, and returns when it is started again', async () => {
  await all_well();
  const since = log.length;
  await two.kill();
  await weights_become(128, 0, 128);
  await log_has(since, { backend: 'rpc', server: 'two', to_state: 'ejected', to_weight: 0, reason: 'connect_failed' });
  await gets_nothing(two);
  const report = await pass('once', 'exit 0');
  assert.deepEqual([report.two.state, codes(report.two)], ['ejected', ['connect_failed']]);
  await two.start();
  await log_has(since, { backend: 'rpc', server: 'two', to_state: 'healthy' });
  await all_back();
});

await test('a node that stops mining is out when it lags, and returns when it has caught up', async () => {
  await all_well();
  const since = log.length;
  await three.pause_mining();
  const height = await three.height();
  await weights_become(128, 128, 0);
  await log_has(since, { backend: 'rpc', server: 'three', to_state: 'ejected', to_weight: 0, reason: 'block_lag' });
  await gets_nothing(three);

  const too_old = genesis + height + max_block_age;
  await until('the head is too old', () => Date.now() > (too_old + 1) * 1000);
  const { three: old, head } = await pass('once', 'exit 0');
  assert.deepEqual([old.state, codes(old).sort()], ['ejected', ['block_lag', 'block_too_old']]);
  assert.equal(old.block.number, height);
  assert.equal(old.block.lag, head.number - height);
  assert(old.block.age_ms > max_block_age * 1000);
  assert.deepEqual(await weights(), [128, 128, 0]);
  await three.catch_up();
  await log_has(since, { backend: 'rpc', server: 'three', to_state: 'healthy' });
  await all_back();
});

await test('a node of another chain gets nothing, however well it answers', async () => {
  await all_well();
  await three.kill();
  await weights_become(128, 128, 0);
  await three.start(chain_id + 1);
  await until('its chain id is asked for', () => three.asked('eth_chainId') > 0);
  await probed_in_full(three);
  assert.deepEqual(await weights(), [128, 128, 0]);
  await gets_nothing(three);
  const report = await pass('scores', 'exit 0');
  assert.deepEqual([report.three.state, codes(report.three)], ['ejected', ['wrong_chain']]);
  const [{ detail }] = report.three.reasons;
  assert(detail.includes(String(chain_id)) && detail.includes(String(chain_id + 1)), detail);

  // The chain id is asked for again after a failure, so let there be one.
  await three.kill();
  await hang_up(three, 2);
  await three.start();
  await all_back();
});

await test('when all are gone, all get the same weight, and once and scores exit 1', async () => {
  await all_well();
  const since = log.length;
  await one.kill();
  await weights_become(0, 128, 128);
  await two.kill();
  await weights_become(0, 0, 256);
  await three.kill();
  await weights_become(85, 85, 85);
  await log_has(since, { backend: 'rpc', fallback: 'equal' });
  for (const command of ['once', 'scores']) {
    const report = await pass(command, 'exit 1');
    assert.equal(report.fallback, 'equal', command);
    assert.deepEqual(report.weights, [85, 85, 85], command);
    for (const server of report.servers) {
      assert.equal(server.state, 'ejected', command);
      assert.deepEqual(codes(server).sort(), ['blind', 'connect_failed'], command);
    }
    assert.equal(report.head, null, command);
  }
  assert.deepEqual(await weights(), [85, 85, 85]);
  assert.deepEqual(await arrivals(3), { 503: 3 });
});
await test('when they come back, so do the weights', async () => {
  const since = log.length;
  await Promise.all(nodes.map((node) => (node.alive ? node.catch_up() : node.start())));
  // The weights tell, and not a line for each server: the fourth return of one within a minute is only summed up.
  await all_back();
  await pass('once', 'exit 0');
  assert(
    log.slice(since).some(({ message }) => /healthy again/.test(message)),
    'the log tells of the end of the fallback',
  );
});

await test('through all this no node has left the common history', async () => {
  const common = Math.min(...(await Promise.all(nodes.map((node) => node.height()))));
  assert(common > 20);
  const hashes = await Promise.all(nodes.map((node) => node.hash_at(common)));
  assert.equal(new Set(hashes).size, 1, `block ${common}: ${hashes}`);
});
await test('HAProxy was never without a server, not even between two commands', () =>
  assert.doesNotMatch(haproxy_says, /no server available/));
await test('SIGTERM ends run with 0, the weights stay, and every line of its log was JSON', async () => {
  const before = await weights();
  needed.delete(daemon);
  assert.equal(await stop(daemon, 'SIGTERM'), 'exit 0');
  assert.deepEqual(await weights(), before);
  assert.deepEqual(
    log.filter((entry) => entry.not_json !== undefined),
    [],
  );
});

finish();
