// The base, and the examples that it stands on.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  accepted_by_haproxy,
  accepted_by_weighter,
  agreement,
  answers,
  ask,
  certificate,
  example_env,
  haproxy,
  hosts,
  kubectl,
  provider,
  read,
  render,
  repo,
  run,
  runtime_api,
  sections,
  status_of,
  test,
  TOML,
  until,
  validate,
  values,
  variables,
  with_haproxy,
  work,
  write,
} from './harness.mjs';

let objects = [];
await test('kubectl kustomize renders the base', () => {
  objects = render(path.join(repo, 'deploy/kustomize/base'));
  assert.deepEqual(objects.map((object) => `${object.kind} ${object.metadata.name.replace(/-[a-z0-9]{10}$/, '')}`).sort(), [
    'ConfigMap haproxy',
    'ConfigMap rpc-weighter',
    'Deployment rpc-proxy',
    'NetworkPolicy rpc-proxy',
    'PodDisruptionBudget rpc-proxy',
    'Service rpc-proxy',
    'Service rpc-proxy-vip',
    'ServiceAccount rpc-proxy',
  ]);
});
const only = (kind, prefix = '') =>
  objects.find((object) => object.kind === kind && object.metadata.name.startsWith(prefix));
const deployment = only('Deployment');
const service = only('Service');
const vip = only('Service', 'rpc-proxy-vip');
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
  // A sidecar that is not started delays HAProxy, and one that is not ready takes the pod out of the Service.
  for (const probe of ['startupProbe', 'readinessProbe']) assert(!agent[probe], probe);
  const { path: target, port } = agent.livenessProbe.httpGet;
  assert.equal(target, '/healthz');
  const { containerPort } = agent.ports.find((entry) => entry.name === port);
  assert.equal(TOML.parse(configs.weighter.data['config.toml']).http.listen, `0.0.0.0:${containerPort}`);
});
await test('the admin socket is on an emptyDir for these two containers alone', () => {
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
await test('the Services, one headless, are on 8000 and lead to the pods', () => {
  assert.equal(service.spec.clusterIP, 'None');
  assert.equal(vip.spec.type, 'ClusterIP');
  assert.deepEqual(vip.spec.ports, service.spec.ports);
  assert.deepEqual(
    service.spec.ports.map((port) => [port.port, port.targetPort]),
    [[8000, 'http']],
  );
  assert.equal(proxy.ports.find((port) => port.name === 'http').containerPort, 8000);
  const { labels } = deployment.spec.template.metadata;
  assert(Object.keys(service.spec.selector).length > 0);
  for (const selector of [service.spec.selector, vip.spec.selector, deployment.spec.selector.matchLabels]) {
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
    // HAProxy's master drops a signal that comes before it has seen its worker start. A busy machine may let the worker
    // answer first, and the kubelet is never that quick, so the signal is sent again.
    const end = Date.now() + 10_000;
    let state;
    do {
      child.kill('SIGUSR1');
      state = await Promise.race([ended, sleep(1000, 'late')]);
    } while (state === 'late' && Date.now() < end);
    assert.notEqual(state, 'late', 'still running 10 s after SIGUSR1');
  }));
