// Run by run.sh, in a process group of its own: WORK HAPROXY CHROMIUM MODULES RPC-WEIGHTER
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  finish, free_port, haproxy_backend, server_tables, sim_chain, start as start_in, test, until, write_haproxy_cfg,
} from '../common.mjs';

const [work, haproxy, chromium, modules, binary] = process.argv.slice(2);
const require = createRequire(path.join(modules, 'package.json'));
const { chromium: browserType } = require('playwright-core');
const axeSource = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const screenshots = process.env.SCREENSHOTS;

// ---------------------------------------------------------------------------------------------- processes and waits

const start = (program, args) => start_in(work, program, args);

// ----------------------------------------------------------------------------------------------------- the providers

/** Answers as a node of chain 1 with a block each second, some blocks `behind` the others, or as `fault` says. */
class Provider {
  fault = null;
  behind = 0;

  constructor(name, delay) {
    this.name = name;
    this.delay = delay;
  }
  async listen() {
    this.server = http.createServer((request, response) => {
      let body = '';
      request.on('data', (bytes) => (body += bytes)).on('end', () => this.reply(JSON.parse(body), response));
    });
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.port = this.server.address().port;
  }
  async reply(call, response) {
    await sleep(this.delay);
    const one = ({ id, method, params }) => {
      if (this.fault) return { jsonrpc: '2.0', id, error: { code: -32000, message: this.fault } };
      return { jsonrpc: '2.0', id, result: this.result(method, params) };
    };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(Array.isArray(call) ? call.map(one) : one(call)));
  }
  result(method, params) {
    const now = Math.floor(Date.now() / 1000) - this.behind;
    const hex = (n) => `0x${n.toString(16)}`;
    if (method === 'eth_chainId') return '0x1';
    if (method === 'net_peerCount') return '0x20';
    if (method === 'eth_syncing') return false;
    if (method === 'eth_blockNumber') return hex(now);
    const number = String(params?.[0]).startsWith('0x') ? Number.parseInt(params[0], 16) : now;
    return { number: hex(number), hash: `0x${number.toString(16).padStart(64, '0')}`, timestamp: hex(number) };
  }
}

const providers = [new Provider('quick', 2), new Provider('steady', 12), new Provider('slow', 45)];
const reference = new Provider('witness', 5);
for (const p of [...providers, reference]) await p.listen();
const port = await free_port();
const origin = `http://127.0.0.1:${port}`;

const ports = Object.fromEntries(providers.map((p) => [p.name, p.port]));
write_haproxy_cfg(work, `${work}/admin.sock`, haproxy_backend('rpc', ports, 100));
fs.writeFileSync(path.join(work, 'config.toml'), `
[haproxy]
endpoints = ["unix:${work}/admin.sock"]
watch_interval = "200ms"
[probe]
interval = "500ms"
fast_interval = "200ms"
[http]
listen = "127.0.0.1:${port}"
${sim_chain}[[backend]]
name = "rpc"
chain = "sim"
ramp = "0s"
eject_time = "0s"
${server_tables(ports, '/SecretKey')}[[backend.reference]]
url = "http://127.0.0.1:${reference.port}/SecretKey"
operator = "${reference.name}"
`);

const proxy = start(haproxy, ['-db', '-f', 'haproxy.cfg']);
let agent;
async function startAgent() {
  agent = start(binary, ['run', '--config', 'config.toml']);
  await until('the agent is ready', async () => (await fetch(`${origin}/readyz`)).status === 200).catch((error) => {
    throw new Error(`${error.message}\n${agent.errors}\n${proxy.errors}`);
  });
}
await startAgent();

// ----------------------------------------------------------------------------------------------------------- the page

const browser = await browserType.launch({ executablePath: chromium, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
const foreign = [];
const complaints = [];
async function open({ scheme = 'light', width = 1280, height = 900, prepare = async () => {} } = {}) {
  const context = await browser.newContext({ colorScheme: scheme, viewport: { width, height } });
  const page = await context.newPage();
  page.on('request', (request) => {
    if (!request.url().startsWith(`${origin}/`) && !request.url().startsWith('data:')) foreign.push(request.url());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    // A request that fails while the agent is stopped is what is tested.
    if (message.type() === 'error' && !/Failed to load resource|ERR_CONNECTION_REFUSED|net::/.test(message.text()))
      complaints.push(message.text());
  });
  await prepare(page);
  await page.goto(origin);
  return page;
}
const rowOf = (page, server) => page.locator('tbody tr', { has: page.getByRole('button', { name: server, exact: true }) });
const stateOf = async (page, server) => (await rowOf(page, server).locator('.state').textContent());
const connection = (page) => page.locator('#connection').textContent();

const page = await open();

await test('the page shows each server, its share and the agreed head', async () => {
  await until('three healthy servers', async () => {
    for (const p of providers) if (await stateOf(page, p.name) !== 'healthy') return false;
    return true;
  });
  assert.match(await page.locator('.facts').first().textContent(), /Head \d+, agreed by [234] operators; reached by \w+/);
  assert.match(await connection(page), /^live/);
  assert.match(await page.locator('#haproxy').textContent(), /reachable, version \d/);
  const label = await page.locator('.bar').getAttribute('aria-label');
  for (const p of providers) assert.match(label, new RegExp(`${p.name} [\\d.]+ %`));
  const status = await (await fetch(`${origin}/api/v1/status`)).json();
  const weights = status.backends[0].servers.map((s) => s.weight);
  assert.equal(weights.reduce((a, b) => a + b), 256);
  assert.doesNotMatch(await page.content(), /SecretKey/);
});

await test('a server that is behind is not among those that have reached the head', async () => {
  const facts = () => page.locator('.facts').first().textContent();
  providers[2].behind = 3;
  await until('two names are left', async () => {
    const names = (await facts()).match(/reached by ([^.]*)\./)?.[1] ?? '';
    return !names.includes(providers[2].name) && names.includes(providers[0].name);
  });
  providers[2].behind = 0;
  await until('all have reached it', async () => (await facts()).includes(providers[2].name));
});

await test('a reference is among those that have reached the head, and what speaks against it is told', async () => {
  await until('it has reached the head', async () => (await page.locator('.facts').first().textContent()).includes('witness (reference)'));
  reference.fault = 'upstream is late';
  await until('its failure is told', async () => /reference witness: rpc error: .*upstream is late/.test(
    (await page.locator('.banner').allTextContents()).join('\n')));
  reference.fault = null;
  await until('it is well', async () => await page.locator('.banner').count() === 0);
});

await test('a provider that fails is shown without a reload, with its reason, and its words stay text', async () => {
  const words = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>';
  providers[1].fault = words;
  const begin = Date.now();
  await until('steady is ejected', async () => await stateOf(page, 'steady') === 'ejected');
  console.log(`      shown ${((Date.now() - begin) / 1000).toFixed(1)} s after the failure`);
  assert.match(await rowOf(page, 'steady').textContent(), /rpc error: .*<script>window\.hurt/);
  await until('the decision is listed', async () =>
    /rpc\/steady.*→ ejected/.test(await page.locator('#decisions tr').first().textContent()) ||
    /rpc\/steady/.test(await page.locator('#decisions').textContent()));
  assert.equal(await page.evaluate(() => window.hurt), undefined);
  assert.equal(await page.locator('#backends img, #decisions img, #backends script').count(), 0);
  providers[1].fault = null;
  await until('steady is back', async () => await stateOf(page, 'steady') === 'healthy');
});

await test('names with markup stay text, and 300 servers keep their rows', async () => {
  const name = '<script>window.hurt=2</script>';
  const status = await (await fetch(`${origin}/api/v1/status`)).json();
  const [server] = status.backends[0].servers;
  status.backends[0].name = name;
  status.backends[0].servers = Array.from({ length: 300 }, (_, n) => ({ ...server, name: n === 0 ? name : `s${n}`, weight: 1 }));
  const other = await open({
    prepare: (p) => p.route('**/api/v1/events', (route) => route.fulfill({
      contentType: 'text/event-stream',
      body: `event: status\ndata: ${JSON.stringify(status)}\n\nevent: status\ndata: ${JSON.stringify(status)}\n\n`,
    })).then(() => p.route('**/api/v1/status', (route) => route.fulfill({ json: status }))),
  });
  await until('300 rows', async () => await other.locator('#backends tbody > tr:not(.detail)').count() === 300);
  await other.evaluate(() => { document.querySelector('#backends tbody tr').marked = true; });
  await until('further updates', async () => await other.evaluate(() => document.querySelector('#backends tbody tr').marked));
  assert.equal(await other.getByRole('heading', { name }).count(), 1);
  assert.equal(await other.evaluate(() => window.hurt), undefined);
  await other.context().close();
});

await test('an agent that stands by says which one sets the weights', async () => {
  const status = await (await fetch(`${origin}/api/v1/status`)).json();
  assert.equal(await page.locator('.standby').count(), 0);
  status.standby = { lease: 'kubernetes:rpc/weighter', acts: false, identity: 'pod-2_1', holder: '<b>pod-1_7</b>', error: null };
  const other = await open({
    prepare: (p) => p.route('**/api/v1/events', (route) => route.fulfill({ status: 503, body: 'full' }))
      .then(() => p.route('**/api/v1/status', (route) => route.fulfill({ json: status }))),
  });
  const told = () => other.locator('.standby').textContent();
  await until('the holder is named', async () =>
    await told() === 'This agent stands by; <b>pod-1_7</b> sets the weights (lease kubernetes:rpc/weighter).');
  status.standby = { ...status.standby, acts: true, error: 'the API server: no answer' };
  await until('it acts', async () =>
    await told() === 'This agent sets the weights (lease kubernetes:rpc/weighter). the API server: no answer');
  await other.context().close();
});

await test('a click, or Enter, shows how a score is made', async () => {
  const button = page.getByRole('button', { name: 'slow', exact: true });
  assert.equal(await button.getAttribute('aria-expanded'), 'false');
  await button.focus();
  await page.keyboard.press('Enter');
  assert.equal(await button.getAttribute('aria-expanded'), 'true');
  const detail = page.locator(`#${await button.getAttribute('aria-controls')}`);
  await detail.waitFor({ state: 'visible' });
  const factors = Object.fromEntries(await detail.locator('dt').evaluateAll((terms) =>
    terms.map((term) => [term.textContent, Number(term.nextElementSibling.textContent)])));
  for (const factor of ['latency_used_ms', 'gamma', 'freshness', 'error_rate', 'doubt', 'ramp', 'preference'])
    assert(factor in factors, factor);
  const told = await detail.locator('.formula').textContent();
  const score = Number(told.slice(told.lastIndexOf('=') + 1));
  const product = factors.preference * factors.doubt * factors.peers_factor * factors.rate_limit_factor * factors.ramp *
    factors.freshness / (Math.max(factors.latency_used_ms, 20) ** factors.gamma * (1 + 20 * factors.error_rate));
  assert(Math.abs(score - product) <= 1e-3 * product, `${told}: ${product}`);
  await page.keyboard.press('Enter');
  await detail.waitFor({ state: 'hidden' });
});

await test('axe-core finds nothing serious, in light and dark, on a desk and on a phone', async () => {
  for (const [scheme, width] of [['light', 1280], ['dark', 1280], ['light', 360], ['dark', 1600]]) {
    const view = await open({ scheme, width });
    await until('rows', async () => await stateOf(view, 'quick') === 'healthy');
    await view.getByRole('button', { name: 'quick', exact: true }).click();
    await view.evaluate(axeSource);
    const { violations } = await view.evaluate(() => window.axe.run());
    const serious = violations.filter((v) => ['serious', 'critical'].includes(v.impact));
    assert.deepEqual(serious.map((v) => `${v.id}: ${v.nodes[0].html}: ${v.nodes[0].failureSummary}`), [], `${scheme} ${width}`);
    await view.context().close();
  }
});

await test('nothing is wider than a phone of 360 px, and a wide screen is used', async () => {
  for (const width of [360, 1600]) {
    const view = await open({ width });
    await until('rows', async () => await stateOf(view, 'quick') === 'healthy');
    await view.getByRole('button', { name: 'quick', exact: true }).click();
    assert(await view.evaluate(() => document.documentElement.scrollWidth) <= width, `${width} px`);
    await view.context().close();
  }
});

await test('the policy allows the page itself and nothing else', async () => {
  const policy = (await fetch(origin)).headers.get('content-security-policy');
  assert.match(policy, /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+';/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe|\*/);
  await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.injected = 1';
    document.body.append(script);
  });
  assert.equal(await page.evaluate(() => window.injected), undefined);
  complaints.length = 0; // the browser has said so
});

if (screenshots) {
  fs.mkdirSync(screenshots, { recursive: true });
  providers[2].fault = 'upstream timed out';
  await until('slow is ejected', async () => await stateOf(page, 'slow') === 'ejected');
  await sleep(61_000); // some points for the sparklines
  for (const [name, scheme, width] of [['light', 'light', 1280], ['dark', 'dark', 1280], ['phone', 'light', 360]]) {
    const view = await open({ scheme, width, height: name === 'phone' ? 800 : 900 });
    await until('rows', async () => await stateOf(view, 'quick') === 'healthy');
    if (name === 'light') await view.getByRole('button', { name: 'quick', exact: true }).click();
    await sleep(500);
    await view.screenshot({ path: path.join(screenshots, `${name}.png`) });
    await view.context().close();
  }
  providers[2].fault = null;
}

await test('an agent that stops is told since when, and one that starts is live again', async () => {
  agent.kill('SIGTERM');
  assert.equal(await agent.ended, 'exit 0');
  await until('the page says so', async () => /^no answer since \d/.test(await connection(page)));
  assert.equal(await page.locator('#connection.lost').count(), 1);
  await startAgent();
  await until('live again', async () => /^live/.test(await connection(page)));
});

await test('without events the page asks', async () => {
  const view = await open({ prepare: (p) => p.route('**/api/v1/events', (route) => route.fulfill({ status: 503, body: 'full' })) });
  await until('rows', async () => await stateOf(view, 'quick') === 'healthy');
  providers[0].fault = 'broken';
  await until('quick is ejected', async () => await stateOf(view, 'quick') === 'ejected');
  providers[0].fault = null;
  await view.context().close();
});

await test('no request has left the origin, and the browser had no complaint', async () => {
  assert.deepEqual(foreign, []);
  assert.deepEqual(complaints, []);
});

await browser.close();
agent.kill('SIGTERM');
proxy.kill('SIGTERM');
await Promise.all([agent.ended, proxy.ended]);
finish();
