// Everything that can be rendered: the base, each overlay, and the base with each component.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import {
  accepted_by_haproxy_as,
  binary,
  certificate,
  example_env,
  kubectl,
  lines,
  read,
  render,
  repo,
  run,
  runtime_api,
  sections,
  test,
  TOML,
  validate,
  values,
  with_haproxy,
  work,
  write,
  YAML,
} from './harness.mjs';

const folders = {};
for (const name of ['local', 'eks', 'regions/eu-west-1', 'regions/us-east-1', 'argocd'])
  folders[`overlays/${name}`] = path.join(repo, 'deploy/kustomize/overlays', name);

// A component is rendered as users do: in an overlay of their own.
fs.cpSync(path.join(repo, 'deploy'), path.join(work, 'deploy'), { recursive: true });
for (const name of ['autoscaling', 'central', 'cron', 'external-secrets', 'grafana', 'prometheus-operator', 'seccomp']) {
  const kustomization = `resources: [../../base]\ncomponents: [../../components/${name}]\n`;
  write(`deploy/kustomize/overlays/with-${name}/kustomization.yaml`, kustomization);
  folders[`components/${name}`] = path.join(work, 'deploy/kustomize/overlays', `with-${name}`);
}
folders.base = path.join(repo, 'deploy/kustomize/base');

// With an agent of its own, each overlay; and everything that can be had at once.
const own = [...Object.keys(folders)].filter((name) => name !== 'overlays/argocd');
const combined = { ...folders };
const others = ['autoscaling', 'external-secrets', 'grafana', 'prometheus-operator', 'seccomp'];
function combine(name, resource, components) {
  const label = name.replaceAll(/\W+/g, '-');
  const list = components.map((component) => `../../components/${component}`).join(', ');
  const text = `namespace: rpc\nresources: [${resource}]\ncomponents: [${list}]\n`;
  write(`deploy/kustomize/overlays/${label}/kustomization.yaml`, text);
  combined[name] = path.join(work, 'deploy/kustomize/overlays', label);
}
for (const agent of ['central', 'cron']) {
  for (const name of own.filter((one) => one.startsWith('overlays/')))
    combine(`${name} + ${agent}`, `../${name.slice('overlays/'.length)}`, [agent]);
  combine(`base + ${agent} + all others`, '../../base', [agent, ...others]);
  combine(`base + all others + ${agent}`, '../../base', [...others, agent]);
}
combine('base + all others', '../../base', others);

const rendered = {};
for (const [name, folder] of Object.entries(combined))
  await test(`${name}: is rendered, and every object fits its schema`, () => {
    rendered[name] = render(folder);
    rendered[name].forEach(validate);
  });

await test('no folder with a kustomization is left out', () => {
  const found = (kind) =>
    fs
      .readdirSync(path.join(repo, 'deploy/kustomize', kind), { recursive: true })
      .map(String)
      .filter((file) => path.basename(file) === 'kustomization.yaml')
      .map((file) => `${kind}/${path.dirname(file)}`);
  // Parts of others, rendered with them.
  const parts = ['overlays/regions/common', 'components/admin-tls', 'components/agent'];
  assert.deepEqual([...found('overlays'), ...found('components')].filter((name) => !parts.includes(name)).sort(), [
    ...Object.keys(folders).filter((name) => name !== 'base'),
  ].sort());
});

const pods = (objects) =>
  objects
    .map((object) => ({
      object,
      template: { Deployment: object.spec?.template, CronJob: object.spec?.jobTemplate?.spec.template }[object.kind],
    }))
    .filter(({ template }) => template)
    .map(({ object, template }) => ({ object, template, spec: template.spec }));
const containers = (spec) => [...(spec.initContainers ?? []), ...spec.containers];
const labels_of = (template) => template.metadata.labels;
/** As Kubernetes does, but a selector that is missing or empty leads to no pod. */
const matches = (selector, labels) =>
  Object.keys({ ...selector?.matchLabels, ...selector?.matchExpressions }).length > 0 &&
  Object.entries(selector?.matchLabels ?? {}).every(([key, value]) => labels[key] === value) &&
  (selector?.matchExpressions ?? []).every(
    ({ key, operator, values: wanted }) => operator === 'In' && wanted.includes(labels[key]),
  );
/** The container of this name, in whatever pod it is. */
const container_of = (objects, name) =>
  pods(objects)
    .flatMap(({ spec }) => containers(spec))
    .find((one) => one.name === name);
/** The variables that a container has. The Secret of the keys has those of providers.env.example. */
const environment = (objects, { envFrom = [], env = [] }) =>
  Object.assign(
    {},
    ...envFrom.map(({ secretRef, configMapRef }) => {
      if (secretRef?.name.startsWith('rpc-providers'))
        return Object.fromEntries(Object.keys(example_env).map((key) => [key, values[key]]));
      return of_kind(objects, 'ConfigMap').find((map) => map.metadata.name === configMapRef.name).data;
    }),
    ...env.map(({ name, value }) => ({ [name]: value ?? values[name] })),
  );
const of_kind = (objects, kind) => objects.filter((object) => object.kind === kind);
const config_of = (objects) =>
  TOML.parse(of_kind(objects, 'ConfigMap').find((map) => map.data['config.toml']).data['config.toml']);

for (const [name, objects] of Object.entries(rendered)) {
  if (pods(objects).length === 0) continue;
  await test(`${name}: pods are restricted, without a token that they do not need, with limits and read-only roots`, () => {
    for (const { object, spec } of pods(objects)) {
      const at = `${object.kind} ${object.metadata.name}`;
      // For its Lease, and by the pod alone.
      const needs_token = /\bcentral\b/.test(name) && object.metadata.name === 'rpc-weighter';
      assert.equal(spec.automountServiceAccountToken, needs_token, at);
      const account = of_kind(objects, 'ServiceAccount').find((one) => one.metadata.name === spec.serviceAccountName);
      assert.equal(account?.automountServiceAccountToken, false, `${at}: an account of its own`);
      assert.equal(spec.securityContext.runAsNonRoot, true, at);
      assert.equal(spec.securityContext.seccompProfile.type, 'RuntimeDefault', at);
      for (const key of ['hostNetwork', 'hostPID', 'hostIPC']) assert(!spec[key], `${at}: ${key}`);
      for (const volume of spec.volumes)
        assert(
          volume.emptyDir || volume.configMap || volume.secret || volume.persistentVolumeClaim,
          `${at}: volume ${volume.name}`,
        );
      for (const volume of spec.volumes) {
        const mode = volume.configMap?.defaultMode ?? volume.secret?.defaultMode;
        if (volume.configMap || volume.secret) assert.equal(mode & 0o007, 0, `${at}: ${volume.name} is for all users`);
      }
      for (const container of containers(spec)) {
        const { securityContext, resources, image } = container;
        const here = `${at}, ${container.name}`;
        assert((securityContext.runAsUser ?? spec.securityContext.runAsUser) > 0, here);
        assert.equal(securityContext.allowPrivilegeEscalation, false, here);
        assert.equal(securityContext.readOnlyRootFilesystem, true, here);
        assert.deepEqual(securityContext.capabilities, { drop: ['ALL'] }, here);
        for (const kind of ['requests', 'limits']) assert(resources[kind].cpu && resources[kind].memory, here);
        assert.match(image, /:\d+\.\d+\.\d+(-alpine)?$/, `${here}: a whole version`);
        for (const mount of container.volumeMounts)
          assert(
            spec.volumes.some((volume) => volume.name === mount.name),
            `${here}: mount ${mount.name}`,
          );
      }
    }
    assert.equal(of_kind(objects, 'Secret').length, 0, 'a Secret with made-up values');
  });

  await test(`${name}: the network reaches clients' port, and no admin port without mutual TLS`, () => {
    for (const { object, template, spec } of pods(objects)) {
      const policies = of_kind(objects, 'NetworkPolicy').filter((policy) =>
        matches(policy.spec.podSelector, labels_of(template)),
      );
      assert(policies.length > 0, `${object.metadata.name}: a NetworkPolicy`);
      for (const policy of policies) {
        assert.deepEqual(policy.spec.policyTypes, ['Ingress', 'Egress']);
        for (const rule of policy.spec.ingress) {
          assert(rule.from?.length > 0 && rule.ports?.length > 0, 'a rule for every client or every port');
          for (const { port } of rule.ports) {
            assert.equal(typeof port, 'number');
            const served = containers(spec).some((one) => one.ports?.some((entry) => entry.containerPort === port));
            assert(served || spec.restartPolicy === 'Never', `${object.metadata.name}: ${port} is no port of its pods`);
            const peers = JSON.stringify(rule.from);
            if (port === 9404) assert.match(peers, /monitoring.*prometheus/);
            if (port === 9999) assert.match(peers, /^\[\{"podSelector":\{"matchExpressions".*"rpc-weighter"/);
          }
        }
        for (const rule of policy.spec.egress) assert(rule.to?.length > 0 && rule.ports?.length > 0);
        assert.doesNotMatch(JSON.stringify(policy.spec.egress), /"cidr":"0\.0\.0\.0\/0"\}/, 'private networks, too');
      }
    }
    for (const service of of_kind(objects, 'Service')) {
      const ports = service.spec.ports.map((entry) => entry.port);
      assert.deepEqual(ports, service.metadata.name === 'rpc-proxy-admin' ? [9999] : [8000], service.metadata.name);
    }
    for (const map of of_kind(objects, 'ConfigMap'))
      for (const [file, text] of Object.entries(map.data).filter(([key]) => key.endsWith('.cfg'))) {
        assert.doesNotMatch(text, /^\s*stats socket [^/\s]/m, `${file}: an admin port`);
        for (const body of Object.values(sections(text))) {
          if (!body.some((words) => words.join(' ').includes('/run/haproxy/admin.sock') && words[0] === 'server'))
            continue;
          for (const bind of lines(body, 'bind')) assert.match(bind.join(' '), / ssl .* verify required/, file);
        }
      }
  });

  await test(`${name}: every selector is there and leads to pods`, () => {
    const templates = pods(objects).map(({ template }) => labels_of(template));
    for (const { kind, metadata, spec } of objects) {
      const at = `${kind} ${metadata.name}`;
      const kinds_with_one = /^(Deployment|NetworkPolicy|PodDisruptionBudget|PodMonitor|Service)$/;
      const plain = kind === 'Service' ? { matchLabels: spec.selector } : (spec?.podSelector ?? spec?.selector);
      if (!kinds_with_one.test(kind)) assert.equal(plain, undefined, `${at}: a selector that no test knows`);
      else assert(templates.some((labels) => matches(plain, labels)), `${at}: ${JSON.stringify(plain)} finds no pod`);
    }
    for (const { object, template, spec } of pods(objects)) {
      if (object.spec.selector) assert(matches(object.spec.selector, labels_of(template)), object.metadata.name);
      for (const { labelSelector } of spec.topologySpreadConstraints ?? [])
        assert(matches(labelSelector, labels_of(template)), `${object.metadata.name}: spread`);
    }
  });

  await test(`${name}: the budget, the autoscaler and the Services lead to pods that exist`, () => {
    const proxies = pods(objects).filter(({ object }) => object.metadata.name === 'rpc-proxy');
    assert.equal(proxies.length, 1);
    const labels = labels_of(proxies[0].template);
    for (const service of of_kind(objects, 'Service')) assert(matches({ matchLabels: service.spec.selector }, labels));
    const [budget] = of_kind(objects, 'PodDisruptionBudget');
    assert(matches(budget.spec.selector, labels));
    assert.equal(budget.spec.maxUnavailable, 1);
    for (const spread of proxies[0].spec.topologySpreadConstraints) assert(matches(spread.labelSelector, labels));
    const scalers = of_kind(objects, 'HorizontalPodAutoscaler');
    for (const { spec } of scalers) {
      assert.equal(spec.scaleTargetRef.name, 'rpc-proxy');
      assert.equal(spec.metrics[0].containerResource.container, proxies[0].spec.containers[0].name);
    }
    assert.equal(proxies[0].object.spec.replicas === undefined, scalers.length > 0, 'two hands on replicas');
    const pause = Number(proxies[0].spec.containers[0].lifecycle.preStop.exec.command[1]);
    assert(pause + 25 < proxies[0].spec.terminationGracePeriodSeconds, 'time for a graceful end');
  });

  await test(`${name}: HAProxy and rpc-weighter take the two files inside, and they agree`, () => {
    const mounted = (kind) =>
      of_kind(objects, 'ConfigMap').find((map) => new RegExp(`^${kind}-[a-z0-9]{10}$`).test(map.metadata.name)).data;
    const cfgs = mounted('haproxy');
    const toml = mounted('rpc-weighter')['config.toml'];
    const [proxy, agent] = ['haproxy', 'rpc-weighter'].map((one) => container_of(objects, one));
    const { args = [] } = proxy;
    for (const file of Object.keys(cfgs).filter((file) => file !== 'haproxy.cfg'))
      assert(args.includes(`/usr/local/etc/haproxy/${file}`), `${file} is not on HAProxy's command line`);
    const at = `rendered/${name.replaceAll(/\W+/g, '-')}`;
    const local = with_certificates(at);
    const files = ['haproxy.cfg', ...Object.keys(cfgs).filter((file) => file !== 'haproxy.cfg')].map((file) =>
      write(`${at}/${file}`, local(cfgs[file])),
    );
    accepted_by_haproxy_as(files, environment(objects, proxy));
    const config = write(`${at}/config.toml`, local(toml));
    fs.chmodSync(config, 0o640);
    const result = run(binary, ['check', '--config', config], environment(objects, agent));
    assert.equal(result.status, 0, result.text);

    const servers = lines(sections(cfgs['haproxy.cfg'])['backend rpc-backend'], 'server').map((words) => words[1]);
    const [backend] = TOML.parse(toml).backend;
    assert.deepEqual(backend.server.map((server) => server.name).sort(), servers.sort());
  });
}

/** Puts certificates of this run's own in place of those that Secrets bring; once for each label. */
function with_certificates(label) {
  const own = certificate(label.replaceAll(/\W+/g, '-'), ['rpc-proxy-admin', 'localhost']);
  const folder = path.join(work, label, 'tls');
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'tls.crt'), own.cert);
  fs.writeFileSync(path.join(folder, 'tls.key'), own.key);
  fs.writeFileSync(path.join(folder, 'ca.crt'), own.cert);
  return (text) => text.replaceAll(/\/etc\/rpc-(proxy-admin|weighter-tls)\//g, `${folder}/`);
}

await test('PrometheusRule: the groups are those of deploy/prometheus/rules.yaml', () => {
  const [rule] = of_kind(rendered['components/prometheus-operator'], 'PrometheusRule');
  assert.deepEqual(rule.spec, YAML.parse(read('deploy/prometheus/rules.yaml')));
});
await test('PodMonitor: selects the pods of a sidecar and of the central agent, by a port that they name', () => {
  for (const name of ['prometheus-operator', 'central']) {
    const [monitor] = of_kind(rendered['components/prometheus-operator'], 'PodMonitor');
    const watched = pods(rendered[`components/${name}`]).filter(({ spec }) =>
      containers(spec).some((one) => one.name === 'rpc-weighter'),
    );
    assert.equal(watched.length, 1, name);
    assert(matches(monitor.spec.selector, labels_of(watched[0].template)), name);
    const agent = containers(watched[0].spec).find((one) => one.name === 'rpc-weighter');
    for (const endpoint of monitor.spec.podMetricsEndpoints)
      assert(agent.ports.some((port) => port.name === endpoint.port));
    const [{ relabelings }] = monitor.spec.podMetricsEndpoints;
    assert(relabelings.some((one) => one.targetLabel === 'job' && one.replacement === 'rpc-weighter'));
    // The operator's `endpoint` is the port's name; Prometheus would rename the metrics' own to exported_endpoint.
    assert(relabelings.some((one) => one.action === 'labeldrop' && one.regex === 'endpoint'));
  }
});
await test('grafana: the dashboard is the one of deploy/grafana', () => {
  const map = of_kind(rendered['components/grafana'], 'ConfigMap').find(
    (object) => object.metadata.labels?.grafana_dashboard === '1',
  );
  assert.deepEqual(JSON.parse(map.data['rpc-weighter.json']), JSON.parse(read('deploy/grafana/rpc-weighter.json')));
});
await test('external-secrets: makes the Secret that the pods name', () => {
  const [secret] = of_kind(rendered['components/external-secrets'], 'ExternalSecret');
  assert.equal(secret.spec.target.name, 'rpc-providers');
  assert.equal(secret.spec.target.deletionPolicy, 'Retain');
});
await test('seccomp: the agent has a profile of its own, by the name of its file, and HAProxy keeps the default', () => {
  const [{ spec }] = pods(rendered['components/seccomp']);
  const profile = Object.fromEntries(containers(spec).map((one) => [one.name, one.securityContext.seccompProfile]));
  const { type, localhostProfile } = profile['rpc-weighter'];
  assert.equal(type, 'Localhost');
  assert.equal(JSON.parse(read(`deploy/seccomp/${path.basename(localhostProfile)}`)).defaultAction, 'SCMP_ACT_ERRNO');
  assert.equal(profile.haproxy, undefined);
});

await test('seccomp: an agent of its own has the profile, whichever component comes first', () => {
  for (const [name, objects] of Object.entries(rendered).filter(([name]) => name.includes('all others'))) {
    const { seccompProfile } = container_of(objects, 'rpc-weighter').securityContext;
    assert.deepEqual(seccompProfile, { type: 'Localhost', localhostProfile: 'profiles/rpc-weighter.json' }, name);
    assert.equal(container_of(objects, 'haproxy').securityContext.seccompProfile, undefined, name);
    const agents = pods(objects).flatMap(({ spec }) => containers(spec).filter((one) => one.name === 'rpc-weighter'));
    assert.equal(agents.length, 1, name);
  }
});

await test('central: of two agents one acts, and none is beside HAProxy', () => {
  const [proxy, agent] = ['rpc-proxy', 'rpc-weighter'].map((name) =>
    pods(rendered['components/central']).find(({ object }) => object.metadata.name === name),
  );
  assert.equal(proxy.spec.initContainers?.length ?? 0, 0);
  assert.equal(agent.object.spec.replicas, 2);
  const [lease] = of_kind(rendered['components/central'], 'Lease');
  const [role] = of_kind(rendered['components/central'], 'Role');
  const [binding] = of_kind(rendered['components/central'], 'RoleBinding');
  assert.deepEqual(role.rules, [
    {
      apiGroups: ['coordination.k8s.io'],
      resources: ['leases'],
      resourceNames: [lease.metadata.name],
      verbs: ['get', 'update'],
    },
  ]);
  assert.equal(binding.roleRef.name, role.metadata.name);
  assert.deepEqual(
    binding.subjects.map((subject) => subject.name),
    [agent.spec.serviceAccountName],
  );
  assert.equal(config_of(rendered['components/central']).standby.lease, `kubernetes:\${POD_NAMESPACE}/${lease.metadata.name}`);
});
await test('cron: passes never overlap, and none is repeated', () => {
  const [job] = of_kind(rendered['components/cron'], 'CronJob');
  assert.equal(job.spec.concurrencyPolicy, 'Forbid');
  assert.equal(job.spec.jobTemplate.spec.backoffLimit, 0);
  assert(job.spec.jobTemplate.spec.activeDeadlineSeconds < 60);
});
for (const agent of ['central', 'cron']) {
  await test(`${agent}: rpc-weighter has the overlay's configuration, with nothing changed but the way to HAProxy`, () => {
    for (const name of own) {
      const pair = name === 'base' ? `components/${agent}` : `${name} + ${agent}`;
      if (!rendered[pair]) continue;
      const [before, after] = [rendered[name], rendered[pair]].map(config_of);
      assert.deepEqual(after.haproxy.endpoints, ['dns:rpc-proxy-admin:9999'], pair);
      for (const key of ['ca_file', 'cert_file', 'key_file'])
        assert.match(after.haproxy[key], /^\/etc\/rpc-weighter-tls\/(ca\.crt|tls\.crt|tls\.key)$/, `${pair}: ${key}`);
      assert.deepEqual(Object.keys(after.standby ?? {}), agent === 'central' ? ['lease'] : [], pair);
      delete after.standby;
      for (const config of [before, after]) delete config.haproxy;
      assert.deepEqual(after, before, pair);
    }
  });
  await test(`${agent}: an overlay that replaces both files has both`, () => {
    const readme = read('deploy/kustomize/README.md');
    const start = readme.indexOf('    configMapGenerator:');
    const generators = readme.slice(start, readme.indexOf('\n\n', start)).replaceAll(/^ {4}/gm, '');
    const folder = (label, files) => {
      const at = `deploy/kustomize/overlays/${label}`;
      write(
        `${at}/kustomization.yaml`,
        `resources: [../../base]\ncomponents: [../../components/${agent}]\n${generators}\n`,
      );
      for (const [file, text] of Object.entries(files)) write(`${at}/${file}`, text);
      return path.join(work, at);
    };
    const cfg = `# haproxy.cfg of mine\n${read('deploy/kustomize/base/haproxy.cfg')}`;
    const toml = read('deploy/kustomize/base/config.toml');
    const mine = toml
      .replace('[haproxy]', '[haproxy]\nwatch_interval = "7s"')
      .replace('[haproxy]', '# endpoints = ["unix:/run/haproxy/admin.sock"]\n[haproxy]')
      .concat('\n  [[backend.server]]\n  name = "mine"\n  url = "https://mine.example/"  # config.toml of mine');
    const objects = render(folder(`mine-${agent}`, { 'haproxy.cfg': cfg, 'config.toml': mine }));
    objects.forEach(validate);
    const text = JSON.stringify(of_kind(objects, 'ConfigMap'));
    for (const file of ['haproxy.cfg', 'config.toml']) assert.match(text, new RegExp(`${file} of mine`));
    const config = config_of(objects);
    assert.deepEqual(config.backend[0].server.map((server) => server.name), ['quicknode', 'alchemy', 'ankr', 'mine']);
    assert.equal(config.haproxy.watch_interval, '7s');
    assert.deepEqual(config.haproxy.endpoints, ['dns:rpc-proxy-admin:9999']);
    // Without the line that the component looks for, nothing is rendered.
    const other = toml.replace('unix:/run/haproxy/admin.sock', 'unix:/run/haproxy/other.sock');
    const refused = run(kubectl(), ['kustomize', folder(`no-${agent}`, { 'haproxy.cfg': cfg, 'config.toml': other })]);
    assert.notEqual(refused.status, 0, refused.text);
  });
  await test(`${agent}: rpc-weighter has the variables and reaches the nodes that it had beside HAProxy`, () => {
    for (const name of own) {
      const pair = name === 'base' ? `components/${agent}` : `${name} + ${agent}`;
      if (!rendered[pair]) continue;
      const objects = rendered[pair];
      const sidecar = container_of(rendered[name], 'rpc-weighter');
      // The name of the ConfigMap has its hash.
      assert.deepEqual(container_of(objects, 'rpc-weighter').envFrom, sidecar.envFrom, pair);
      assert.deepEqual(
        container_of(objects, 'rpc-weighter').securityContext.capabilities,
        sidecar.securityContext.capabilities,
        pair,
      );
      const egress = (labels) =>
        of_kind(objects, 'NetworkPolicy')
          .filter((policy) => matches(policy.spec.podSelector, labels))
          .flatMap((policy) => policy.spec.egress);
      const [proxy, alone] = ['rpc-proxy', 'rpc-weighter'].map((one) => egress({ 'app.kubernetes.io/name': one }));
      for (const rule of proxy)
        assert(alone.some((other) => isDeepStrictEqual(rule, other)), `${pair}: ${JSON.stringify(rule)}`);
      assert(alone.some((rule) => rule.ports.some(({ port }) => port === 9999)), `${pair}: HAProxy's admin port`);
    }
  });
}
/** Renders the base with the first `patches:` after this text of the README, and components. */
function render_recipe(label, after, components = []) {
  const readme = read('deploy/kustomize/README.md');
  const start = readme.indexOf('    patches:', readme.indexOf(after));
  assert(start > 0, after);
  const rows = readme.slice(start).split('\n');
  const end = rows.findIndex((row) => row !== '' && !row.startsWith('    '));
  const list = components.map((component) => `../../components/${component}`).join(', ');
  const text = `namespace: rpc\nresources: [../../base]\ncomponents: [${list}]\n`;
  const recipe = rows.slice(0, end).map((row) => row.slice(4)).join('\n');
  const folder = `deploy/kustomize/overlays/recipe-${label}`;
  write(`${folder}/kustomization.yaml`, text + recipe);
  const objects = render(path.join(work, folder));
  objects.forEach(validate);
  return objects;
}
await test("the README's own nodes: the agent of central and cron may reach them", () => {
  for (const agent of ['central', 'cron']) {
    const objects = render_recipe(`own-nodes-${agent}`, '## One agent for all pods', [agent]);
    for (const name of ['rpc-proxy', 'rpc-weighter']) {
      const policy = of_kind(objects, 'NetworkPolicy').find((one) => one.metadata.name === name);
      assert(policy.spec.egress.some((rule) => rule.ports.some(({ port }) => port === 8545)), `${agent}: ${name}`);
    }
  }
});
await test("the README's state: the sidecar has a volume of its own for it, and takes the command line", () => {
  const agent = container_of(render_recipe('state', '## What a restart forgets'), 'rpc-weighter');
  const files = agent.args.map((arg) => /^--(?:state|record)=(.*)\/\w+/.exec(arg)?.[1]).filter(Boolean);
  assert.deepEqual(files, ['/var/lib/rpc-weighter', '/var/lib/rpc-weighter']);
  assert(agent.volumeMounts.some(({ mountPath, readOnly }) => mountPath === files[0] && !readOnly));
  // The options are read, and the file is not there.
  const result = run(binary, agent.args.map((arg) => arg.replace('/etc/', '/none/')));
  assert.match(result.text, /\/none\/rpc-weighter\/config\.toml: .*No such file/);
});
await test("the README's way back: pods of HAProxy alone", () => {
  const [{ spec }, ...more] = pods(render_recipe('without', '## Without rpc-weighter'));
  assert.equal(more.length, 0);
  assert.deepEqual(containers(spec).map((one) => one.name), ['haproxy']);
  for (const mount of spec.containers[0].volumeMounts)
    assert(spec.volumes.some((volume) => volume.name === mount.name), mount.name);
});
await test("the README's removal of central and cron leaves nothing of them", () => {
  const readme = read('deploy/kustomize/README.md');
  const [, kinds, names] = /delete (\S+) --ignore-not-found \\\n(.*)/.exec(readme);
  const short = { persistentvolumeclaim: 'pvc' };
  for (const agent of ['central', 'cron'])
    for (const { kind, metadata } of rendered[`components/${agent}`]) {
      if (rendered.base.some((one) => one.kind === kind && one.metadata.name === metadata.name)) continue;
      if (kind === 'ConfigMap') continue;
      assert(kinds.split(',').includes(short[kind.toLowerCase()] ?? kind.toLowerCase()), kind);
      assert(names.trim().split(' ').includes(metadata.name), metadata.name);
    }
});
await test('eks: arm64, zones, nothing that stops Karpenter, an internal load balancer', () => {
  const [{ template, spec }] = pods(rendered['overlays/eks']);
  assert.equal(spec.nodeSelector['kubernetes.io/arch'], 'arm64');
  assert(spec.topologySpreadConstraints.some((one) => one.whenUnsatisfiable === 'DoNotSchedule'));
  assert.equal(template.metadata.annotations?.['karpenter.sh/do-not-disrupt'], undefined);
  const balancer = of_kind(rendered['overlays/eks'], 'Service').find((one) => one.spec.type === 'LoadBalancer');
  const annotation = (key) => balancer.metadata.annotations[`service.beta.kubernetes.io/aws-load-balancer-${key}`];
  assert.equal(annotation('scheme'), 'internal');
  assert.equal(annotation('healthcheck-path'), spec.containers[0].readinessProbe.httpGet.path);
  const health = spec.containers[0].ports.find((port) => port.name === 'health');
  assert.equal(annotation('healthcheck-port'), String(health.containerPort));
});
await test('regions: each has a leader, its own node first, and both have the same servers', () => {
  const [eu, us] = ['eu-west-1', 'us-east-1'].map((region) => {
    const map = of_kind(rendered[`overlays/regions/${region}`], 'ConfigMap').find((one) => one.data['config.toml']);
    return TOML.parse(map.data['config.toml']).backend[0];
  });
  const names = (backend) => backend.server.map((server) => server.name);
  for (const backend of [eu, us]) assert.equal(backend.strategy, 'leader');
  assert.equal(names(eu)[0], 'own-eu');
  assert.equal(names(us)[0], 'own-us');
  assert.deepEqual(names(eu).sort(), names(us).sort());
});
await test('argocd: the overlays that its labels can name are there', () => {
  const [set] = rendered['overlays/argocd'];
  assert.match(set.spec.template.spec.source.path, /^deploy\/kustomize\/overlays\//);
  assert.doesNotMatch(set.spec.template.spec.source.targetRevision, /^(HEAD|main|master)$/);
  for (const label of ['eks', 'regions.eu-west-1', 'regions.us-east-1'])
    assert(folders[`overlays/${label.replace('.', '/')}`], label);
});

await test("central: weights reach HAProxy over mutual TLS, with the README's certificates and only with them", async () => {
  const readme = read('deploy/kustomize/README.md');
  const start = readme.indexOf('    openssl req -x509');
  const commands = readme.slice(start, readme.indexOf('    kubectl', start)).replaceAll('DNS:%s', 'DNS:%s,DNS:localhost');
  const made = path.join(work, 'run-central/made');
  fs.mkdirSync(made, { recursive: true });
  const openssl = run('sh', ['-ec', `cd ${made}\n${commands}`]);
  assert.equal(openssl.status, 0, openssl.text);
  const folders_of = { 'rpc-proxy-admin': 'rpc-proxy-admin', 'rpc-weighter-tls': 'rpc-weighter' };
  for (const [folder, name] of Object.entries(folders_of)) {
    fs.mkdirSync(path.join(made, folder));
    for (const end of ['crt', 'key'])
      fs.copyFileSync(path.join(made, `${name}.${end}`), path.join(made, folder, `tls.${end}`));
    fs.copyFileSync(path.join(made, 'ca.crt'), path.join(made, folder, 'ca.crt'));
  }
  const local = (text) => text.replaceAll(/\/etc\/(rpc-proxy-admin|rpc-weighter-tls)\//g, `${made}/$1/`);
  const admin = local(read('deploy/kustomize/components/admin-tls/admin.cfg'));
  const cfg = `${read('deploy/kustomize/base/haproxy.cfg')}\n${admin}`;
  await with_haproxy('run-central', cfg, {}, async ({ ports, socket }) => {
    const weights = async () =>
      (await runtime_api(socket, 'show servers state rpc-backend'))
        .split('\n')
        .filter((line) => / rpc-backend /.test(line))
        .map((line) => line.split(' ')[7]);
    assert.deepEqual(await weights(), ['100', '100', '100']);
    const { data } = of_kind(rendered['components/central'], 'ConfigMap').find((map) => map.data['config.toml']);
    const toml = local(data['config.toml'])
      .replace('dns:rpc-proxy-admin:9999', `dns:localhost:${ports[9999]}`)
      // No provider can be reached from here: all fail, and the fallback shares equally.
      .replace('timeout = "3s"', 'timeout = "500ms"\nfall = 1');
    const once = (text) => run(binary, ['once', '--config', write('run-central/config.toml', text)], values);
    const bare = once(toml.replace(/^(cert|key)_file.*$/gm, ''));
    assert.equal(bare.status, 3, bare.text);
    assert.deepEqual(await weights(), ['100', '100', '100'], 'set without a certificate');
    const result = once(toml);
    assert.equal(result.status, 1, result.text);
    assert.deepEqual(await weights(), ['85', '85', '85'], result.text);
  });
});
