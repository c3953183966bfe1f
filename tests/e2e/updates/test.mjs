// Run by run.sh, in a process group of its own: WORK HAPROXY RPC-SIM RPC-WEIGHTER UPDATES.MD
//
// Each node is a process of its own. Its height is the time in seconds, so that a node that starts again is on the same
// chain as the others. HAProxy repeats nothing by itself (retries 0): each failure reaches a client and is counted.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ask as ask_at, finish, free_port, haproxy_backend, server_tables, sim_chain, start as start_in, stop, test as test_with,
  until, write_haproxy_cfg,
} from '../common.mjs';

const [work, haproxy, sim, binary, manual] = process.argv.slice(2);
const rate = 200; // requests a second, half of them to each backend
const rounds = 10; // reloads of HAProxy, and restarts of the agent
const backends = { rpc: ['own-1', 'own-2', 'own-3'], lead: ['main', 'standby'] };
const config = path.join(work, 'config.toml');
const socket = path.join(work, 'admin.sock');

const start = (program, args) => start_in(work, program, args);

/** Waits until `holds` is true; returns how many milliseconds that took. */
async function time_until(what, holds) {
  const begun = performance.now();
  await until(what, holds);
  return Math.round(performance.now() - begun);
}

// ------------------------------------------------------------------------------------------------------------ HAProxy

const ask = (command) => ask_at(socket, command);

const worker = async () => /^Pid: (\d+)$/m.exec(await ask('show info'))?.[1];

/** Weights by server; a server in DRAIN has "drain" in place of one. */
async function weights(backend) {
  const out = {};
  for (const line of (await ask(`show servers state ${backend}`)).split('\n')) {
    const f = line.split(' ');
    if (f.length > 8 && /^\d+$/.test(f[0])) out[f[3]] = f[6] === '0' ? Number(f[7]) : 'drain';
  }
  return out;
}

/** Whether the agent's weights are there: haproxy.cfg gives each server 1. */
async function weighed() {
  const sum = (all) => Object.values(all).reduce((s, w) => s + (w === 'drain' ? 0 : w), 0);
  return sum(await weights('rpc')) === 256 && sum(await weights('lead')) === 256;
}

// ------------------------------------------------------------------------------------------------------------- clients

const agents = [new http.Agent({ keepAlive: true, maxSockets: 16 }), new http.Agent({ keepAlive: false })];
const counts = { sent: 0, answered: 0 };
const failures = [];

function request(port, agent) {
  counts.sent += 1;
  const body = JSON.stringify({ jsonrpc: '2.0', id: counts.sent, method: 'eth_gasPrice', params: [] });
  const fail = (why) => failures.push(`${new Date().toISOString()} ${why}`);
  const headers = { 'Content-Type': 'application/json', 'Content-Length': body.length };
  const out = http.request({ host: '127.0.0.1', port, method: 'POST', path: '/', headers, agent }, (reply) => {
    let text = '';
    reply.on('data', (part) => (text += part));
    reply.on('error', (error) => fail(error.message));
    reply.on('end', () => {
      if (reply.statusCode === 200 && text.includes('"result"')) counts.answered += 1;
      else fail(`HTTP ${reply.statusCode}: ${text.slice(0, 100)}`);
    });
  });
  out.on('error', (error) => fail(error.message));
  out.end(body);
}

/** Sends at the rate, whatever the answers do. Returns a function that ends it and waits for the last answers. */
function load(ports) {
  const begun = performance.now();
  const timer = setInterval(() => {
    while (counts.sent < ((performance.now() - begun) / 1000) * rate) {
      const n = counts.sent;
      request(ports[n % ports.length], agents[Math.floor(n / ports.length) % agents.length]);
    }
  }, 5);
  return async () => {
    clearInterval(timer);
    await until('the last answers', () => counts.answered + failures.length >= counts.sent);
    return (performance.now() - begun) / 1000;
  };
}

const none_failed = () =>
  assert.deepEqual(failures.slice(0, 5), [], `${failures.length} of ${counts.sent} requests have failed`);
/** A test, in which no request may fail; of a failure it shows the end of the agent's log and of HAProxy's. */
const test = (name, body) =>
  test_with(
    name,
    async () => {
      await body();
      none_failed();
    },
    () => [agent, master].flatMap((child) => child.errors.split('\n').slice(-20)),
  );

// --------------------------------------------------------------------------------------------------------------- stage

let agent;
const nodes = {}; // by name: { port, process }
function start_node(name) {
  const args = ['--providers', name, '--port', String(nodes[name].port), '--block-time', '1s'];
  nodes[name].process = start(sim, [...args, '--genesis-height', String(Math.floor(Date.now() / 1000))]);
}
for (const name of Object.values(backends).flat()) {
  nodes[name] = { port: await free_port() };
  start_node(name);
}

const clients = [await free_port(), await free_port()];
const listen = await free_port();
/** Ports of a backend's nodes by name. */
const ports = (backend) => Object.fromEntries(backends[backend].map((s) => [s, nodes[s].port]));
const sections = Object.keys(backends).map(
  (name, i) => `frontend to-${name}
  bind 127.0.0.1:${clients[i]}
  default_backend ${name}
${haproxy_backend(name, ports(name))}`,
);
write_haproxy_cfg(work, socket, sections.join(''), {
  global: ['hard-stop-after 30s'],
  // A reload does not close the connection that a client is about to use again.
  defaults: ['option idle-close-on-response', 'retries 0'],
});

const tables = Object.keys(backends)
  .map((name) => {
    const strategy = name === 'lead' ? 'leader' : 'adaptive';
    return `[[backend]]
name = "${name}"
chain = "sim"
strategy = "${strategy}"
ramp = "2s"
${server_tables(ports(name))}`;
  })
  .join('');
fs.writeFileSync(
  config,
  `[haproxy]
endpoints = ["unix:${socket}"]
timeout = "10s"
[probe]
interval = "500ms"
timeout = "10s"
[http]
listen = "127.0.0.1:${listen}"
${sim_chain}${tables}`,
);
fs.chmodSync(config, 0o600);

/** What the agent answers; status 0 while it does not serve. */
const served = (url) =>
  new Promise((resolve) => {
    http
      .get(`http://127.0.0.1:${listen}${url}`, { agent: false }, (reply) => {
        let body = '';
        reply.on('data', (part) => (body += part));
        reply.on('end', () => resolve({ status: reply.statusCode, body }));
      })
      .on('error', () => resolve({ status: 0, body: '' }));
  });

// The worker of -W is a child of the master, and ends with it.
const master = start(haproxy, ['-W', '-f', 'haproxy.cfg']);
await until('HAProxy', worker);
const start_agent = () => {
  agent = start(binary, ['run', '--config', config, '--state', path.join(work, 'state.json')]);
};
start_agent();
await until('the first weights', weighed);

// The update script of docs/updates.md, with this test's configuration and its way to update a node.
const script = /```sh\n([^`]*rpc-weighter drain[^`]*)```/.exec(fs.readFileSync(manual, 'utf8'))?.[1];
assert.ok(script, 'docs/updates.md has an update script');
const bin = path.join(work, 'bin');
fs.mkdirSync(bin);
fs.symlinkSync(binary, path.join(bin, 'rpc-weighter'));
fs.writeFileSync(path.join(work, 'update.sh'), script.replaceAll('/etc/rpc-weighter/config.toml', config));
const requests = path.join(work, 'requests');
fs.writeFileSync(
  path.join(bin, 'update-node'),
  `#!/bin/sh\necho "$1" > ${requests}.new && mv ${requests}.new ${requests}\nwhile [ -e ${requests} ]; do sleep 0.1; done\n`,
  { mode: 0o755 },
);
process.env.PATH = `${bin}:${process.env.PATH}`;

/** Carries out the document's script. While the node is away its server must be in DRAIN. */
async function update(backend, server) {
  const updating = start('bash', ['-euo', 'pipefail', path.join(work, 'update.sh'), `${backend}/${server}`]);
  await until(`the update of ${server}`, () => fs.existsSync(requests) || updating.exitCode !== null);
  assert.equal(updating.exitCode, null, updating.errors);
  assert.equal(fs.readFileSync(requests, 'utf8').trim(), `${backend}/${server}`);
  assert.equal((await weights(backend))[server], 'drain');
  await stop(nodes[server].process);
  await sleep(1000); // an update takes a while, and the clients go on
  assert.equal((await weights(backend))[server], 'drain');
  start_node(server);
  await until(`${server} to answer`, () => answers(nodes[server].port));
  fs.rmSync(requests);
  assert.equal(await updating.ended, 'exit 0', updating.errors);
}

const answers = (port) =>
  new Promise((resolve) => {
    const peer = net.connect(port, '127.0.0.1', () => resolve(true));
    peer.on('error', () => resolve(false)).on('connect', () => peer.destroy());
  });

// --------------------------------------------------------------------------------------------------------------- tests

const end_load = load(clients);

await test(`HAProxy is reloaded ${rounds} times, and has its weights back each time`, async () => {
  const times = [];
  for (let i = 0; i < rounds; ++i) {
    const old = await worker();
    let due = 0;
    await until('a new worker', async () => {
      // Again when nothing comes of it: under load a master of 2.6 has missed a signal sent as soon as its worker answered.
      if (Date.now() >= due) {
        master.kill('SIGUSR2');
        due = Date.now() + 10_000;
      }
      return ![old, undefined].includes(await worker());
    });
    times.push(await time_until('the weights after a reload', weighed));
  }
  console.log(`      at most ${Math.max(...times)} ms after the new worker answers`);
});

await test(`the agent is restarted ${rounds} times, and the weights stay`, async () => {
  const times = [];
  for (let i = 0; i < rounds; ++i) {
    assert.equal(await stop(agent), 'exit 0', agent.errors);
    assert.ok(await weighed(), 'the weights stay while no agent runs');
    start_agent();
    times.push(await time_until('the agent to be ready', async () => (await served('/readyz')).status === 200));
    assert.ok(await weighed());
  }
  console.log(`      ready at most ${Math.max(...times)} ms after its start`);
});

await test('a node is drained and updated', async () => {
  await update('rpc', 'own-1');
  const has_share = async () => (await weights('rpc'))['own-1'] > 0 && weighed();
  console.log(`      it has a share ${await time_until('own-1 to have a share again', has_share)} ms after ready`);
});

const leader = async () => Object.entries(await weights('lead')).find(([, w]) => w === 256)?.[0];
const first = await leader();
const standby = backends.lead.find((s) => s !== first);

await test('the standby of a leader is updated', async () => {
  await update('lead', standby);
  await until('the agent to judge the standby healthy again', async () => {
    const report = JSON.parse((await served('/api/v1/status?backend=lead')).body);
    return report.backends[0].servers.every((s) => s.state === 'healthy');
  });
  assert.equal(await leader(), first);
});

await test("the leader's node is replaced, and the standby leads", async () => {
  await update('lead', first);
  await until('the other one to lead', async () => (await leader()) === standby);
});

await test('all requests were answered', async () => {
  const seconds = await end_load();
  console.log(`      ${counts.sent} requests in ${seconds.toFixed(1)} s, ${failures.length} failed`);
  assert.equal(counts.answered, counts.sent);
});

await stop(agent);
await stop(master, 'SIGINT');
for (const node of Object.values(nodes)) await stop(node.process);
finish();
