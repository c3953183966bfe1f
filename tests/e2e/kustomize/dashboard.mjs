// The dashboard's queries, as Prometheus answers them: with one agent, and with several in several namespaces.
import assert from 'node:assert/strict';

import { read, run, test, write, YAML } from './harness.mjs';

const dashboard = JSON.parse(read('deploy/grafana/rpc-weighter.json'));
const panels = dashboard.panels.filter((panel) => panel.targets);
const variables = dashboard.templating.list.filter(({ type }) => type === 'query');
const panel = (title) => panels.find((one) => one.title.startsWith(title)) ?? assert.fail(`no panel ${title}`);

/** A query as Grafana sends it: all is chosen, save in `chosen`. */
const sent = (expr, chosen = {}) =>
  expr.replaceAll(/\$(\w+)/g, (_, name) => {
    if (name === '__rate_interval') return '2m';
    const variable = variables.find((one) => one.name === name);
    return chosen[name] ?? variable?.allValue ?? assert.fail(`${expr}: $${name} is no variable`);
  });
const queries = panels.flatMap(({ title, targets }) => targets.map(({ expr }) => [title, expr]));

function promtool(label, args, text) {
  const result = run('promtool', [...args, write(`dashboard/${label}.yaml`, text)]);
  assert.equal(result.status, 0, result.text);
}

await test('dashboard: promtool takes every query', () => {
  const rules = queries.map(([, expr], index) => ({ record: `query:${index}`, expr: sent(expr) }));
  promtool('rules', ['check', 'rules'], YAML.stringify({ groups: [{ name: 'queries', rules }] }));
});
await test('dashboard: every query and every list of choices heeds the choices', () => {
  for (const name of ['namespace', 'instance', 'backend', 'server'])
    assert(variables.some((one) => one.name === name && one.includeAll && one.allValue === '.*'), name);
  for (const [title, expr] of queries) {
    const metrics = [...expr.matchAll(/\b(?:rpc_weighter|process)_\w+(\{[^}]*\})?/g)];
    assert(metrics.length > 0, title);
    for (const [text, chosen = ''] of metrics)
      for (const name of ['namespace', 'instance']) assert(chosen.includes(`${name}=~"$${name}"`), `${title}: ${text}`);
  }
  for (const { name, query } of variables.filter((one) => one.name !== 'namespace'))
    assert(query.query.includes('{namespace=~"$namespace"'), name);
});
await test('dashboard: panels do not overlap', () => {
  const cells = new Set();
  for (const { title, gridPos } of dashboard.panels)
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        assert(x < 24 && !cells.has(`${x} ${y}`), title);
        cells.add(`${x} ${y}`);
      }
  const ids = dashboard.panels.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
});

// Two sidecars in one namespace, which differ; central agents in another, with a backend of the same name, of which one
// stands by and sees nothing healthy.
const agents = {
  'job="rpc-weighter",namespace="side",instance="a"': { acting: 1, shares: { x: 0.6, y: 0.4, z: 0 }, healthy: 2 },
  'job="rpc-weighter",namespace="side",instance="b"': { acting: 1, shares: { x: 0.4, y: 0.4, z: 0.2 }, healthy: 3 },
  'job="rpc-weighter",namespace="central",instance="c"': { acting: 1, shares: { x: 0.5, y: 0.25, z: 0.25 }, healthy: 3 },
  'job="rpc-weighter",namespace="central",instance="d"': { acting: 0, shares: { x: 1, y: 0, z: 0 }, healthy: 0 },
};
const input_series = Object.entries(agents).flatMap(([labels, { acting, shares, healthy }]) => [
  { series: `rpc_weighter_acting{${labels}}`, values: `${acting}x20` },
  { series: `rpc_weighter_backend_servers{${labels},backend="rpc",state="healthy"}`, values: `${healthy}x20` },
  { series: `rpc_weighter_backend_servers{${labels},backend="rpc",state="degraded"}`, values: '0x20' },
  { series: `rpc_weighter_backend_servers{${labels},backend="rpc",state="ejected"}`, values: `${3 - healthy}x20` },
  { series: `rpc_weighter_backend_fallback{${labels},backend="rpc"}`, values: `${healthy === 0 ? 1 : 0}x20` },
  { series: `rpc_weighter_haproxy_up{${labels},endpoint="unix:/a"}`, values: `${labels.includes('"b"') ? 0 : 1}x20` },
  ...Object.entries(shares).flatMap(([server, share]) => [
    { series: `rpc_weighter_server_share_ratio{${labels},backend="rpc",server="${server}"}`, values: `${share}x20` },
    {
      series: `rpc_weighter_ejections_total{${labels},backend="rpc",server="${server}",reason="timeout"}`,
      values: '0+1x20',
    },
  ]),
]);
/** Each of `[query, { labels: value }]` gives that. */
function gives(label, cases) {
  const promql_expr_test = cases.map(([expr, samples]) => ({
    expr,
    eval_time: '5m',
    exp_samples: Object.entries(samples).map(([labels, value]) => ({ labels, value })),
  }));
  const tests = [{ interval: '1m', input_series, promql_expr_test }];
  promtool(label, ['test', 'rules'], YAML.stringify({ tests }));
}
const query = (title, chosen) => sent(panel(title).targets[0].expr, chosen);

await test('dashboard: shares that are stacked make 100 %, whatever is chosen, in a panel for each backend', () => {
  const { repeat, fieldConfig } = panel('Shares');
  assert.equal(repeat, 'backend');
  assert.equal(fieldConfig.defaults.max, 1);
  for (const [index, chosen] of [{}, { namespace: 'side' }, { namespace: 'central' }, { instance: 'b' }].entries()) {
    const whole = `round(sum(${query('Shares', chosen)}), 0.001)`;
    gives(`whole-${index}`, [[whole, { '{}': 1 }]]);
  }
  gives('shares', [
    [
      `round(${query('Shares', { namespace: 'side' })}, 0.001)`,
      { '{backend="rpc",server="x"}': 0.5, '{backend="rpc",server="y"}': 0.4, '{backend="rpc",server="z"}': 0.1 },
    ],
    // The agent that stands by sets no weights.
    [
      `round(${query('Shares', { namespace: 'central' })}, 0.001)`,
      { '{backend="rpc",server="x"}': 0.5, '{backend="rpc",server="y"}': 0.25, '{backend="rpc",server="z"}': 0.25 },
    ],
    [`round(${query('Shares', { server: 'x', instance: 'c' })}, 0.001)`, { '{backend="rpc",server="x"}': 0.5 }],
  ]);
});
await test('dashboard: the overview has the worst of what agents that act see, and no sums over them', () => {
  const of = (labels) => (side, central) => ({
    [`{${labels}namespace="side"}`]: side,
    [`{${labels}namespace="central"}`]: central,
  });
  gives('overview', [
    [query('Healthy servers'), of('backend="rpc",')(2, 3)],
    [query('Fallback'), of('backend="rpc",')(0, 0)],
    [query('HAProxy up'), of('endpoint="unix:/a",')(0, 1)],
  ]);
});
await test('dashboard: an ejection counts once, however many agents see it', () => {
  const expected = ['x', 'y', 'z'].flatMap((server) =>
    ['side', 'central'].map((name) => [`{backend="rpc",namespace="${name}",reason="timeout",server="${server}"}`, 2]),
  );
  gives('ejections', [[query('Ejections'), Object.fromEntries(expected)]]);
});
