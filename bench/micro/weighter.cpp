#include <algorithm>
#include <vector>

#include "micro/measure.hpp"
#include "micro/scene.hpp"
#include "weighter/allocate/decide.hpp"
#include "weighter/allocate/scale.hpp"
#include "weighter/judge/forks.hpp"
#include "weighter/judge/heads.hpp"
#include "weighter/judge/judge.hpp"
#include "weighter/judge/live.hpp"
#include "weighter/plan/planner.hpp"
#include "weighter/plan/server_list.hpp"
#include "weighter/state/topology.hpp"

using namespace rpcw;
using namespace rpcw::bench;
using namespace std::chrono_literals;
using benchmark::DoNotOptimize;

namespace {

std::size_t size_of(const benchmark::State& state) {
  return static_cast<std::size_t>(state.range(0));
}

// ---- every tenth of a second

/// What a busy daemon does between two decisions, and the decision, and what is to be sent for it.
void pass(benchmark::State& state) {
  Scene scene(size_of(state));
  const haproxy::Instance instance = instance_of(scene.size());
  measure(state, state.range(0), [&] {
    scene.pass();
    DoNotOptimize(scene.state.decide(scene.now));
    DoNotOptimize(plan_changes(scene.state, instance));
  });
}

void heads(benchmark::State& state) {
  Scene scene(size_of(state));
  BackendHistory history = scene.state.backend(0).history;
  measure(state, state.range(0),
          [&] { DoNotOptimize(scan_heads(history, scene.backend(), scene.config.probe, scene.now)); });
}

void judging(benchmark::State& state) {
  Scene scene(size_of(state));
  BackendHistory history = scene.state.backend(0).history;
  measure(state, state.range(0), [&] {
    scene.now.mono += 100ms;
    DoNotOptimize(judge(history, scene.backend(), scene.config.probe, scene.now));
  });
}

void deciding(benchmark::State& state) {
  Scene scene(size_of(state));
  BackendHistory history = scene.state.backend(0).history;
  const std::vector<unsigned> held = scene.held();
  measure(state, state.range(0), [&] {
    scene.now.mono += 100ms;
    DoNotOptimize(decide(history, scene.backend(), scene.config.probe, scene.state.backend(0).view, held, scene.now));
  });
}

void planning(benchmark::State& state) {
  Scene scene(size_of(state));
  const haproxy::Instance instance = instance_of(scene.size());
  measure(state, state.range(0), [&] { DoNotOptimize(plan_changes(scene.state, instance)); });
}

void seeing(benchmark::State& state) {
  Scene scene(size_of(state));
  const haproxy::Instance instance = instance_of(scene.size());
  measure(state, state.range(0), [&] { DoNotOptimize(scene.state.update_views(&instance)); });
}

void scaling(benchmark::State& state) {
  std::vector<double> scores(size_of(state));
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = 1.0 / static_cast<double>(15 + i * 7919 % 135);
  measure(state, state.range(0), [&] { DoNotOptimize(scale_peak(scores, 1.0)); });
}

/// Each score twice the next: one cap after the other is met.
void scaling_with_caps(benchmark::State& state) {
  std::vector<double> scores(size_of(state));
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = 1.0 / static_cast<double>(std::uint64_t{1} << (i % 60));
  const double cap = std::max(0.01, 1.5 / static_cast<double>(scores.size()));
  measure(state, state.range(0), [&] { DoNotOptimize(scale_peak(scores, cap)); });
}

void shares(benchmark::State& state) {
  std::vector<double> scores(size_of(state));
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = 1.0 / static_cast<double>(15 + i * 7919 % 135);
  measure(state, state.range(0), [&] { DoNotOptimize(scale_share(scores, 1.0)); });
}

BENCHMARK(pass)->Name("weighter/answers, decision, plan")->Apply(sizes);
BENCHMARK(heads)->Name("weighter/heads")->Apply(sizes);
BENCHMARK(judging)->Name("weighter/judge")->Apply(sizes);
BENCHMARK(deciding)->Name("weighter/judge and decide")->Apply(sizes);
BENCHMARK(planning)->Name("weighter/plan")->Apply(sizes);
BENCHMARK(seeing)->Name("weighter/see HAProxy")->Apply(sizes);
BENCHMARK(scaling)->Name("weighter/scale by peak")->Apply(sizes);
BENCHMARK(scaling_with_caps)->Name("weighter/scale by peak, caps met")->Apply(sizes);
BENCHMARK(shares)->Name("weighter/scale by share")->Arg(10)->Arg(64)->Unit(benchmark::kMicrosecond);

// ---- when something is the matter with many at once

/// A second of traffic, of which every third server has failed a part.
std::vector<LiveDelta> traffic(std::size_t servers, std::uint64_t failed_of_20) {
  std::vector<LiveDelta> out(servers);
  for (std::size_t i = 0; i < servers; ++i)
    out[i] = {.requests = 20,
              .ended = 20,
              .failures = i % 3 == 0 ? failed_of_20 : 0,
              .latency_ms = 40.0 + double(i % 50),
              .timed = 20,
              .average_ms = 40.0,
              .sized = 1};
  return out;
}

void folding_live(benchmark::State& state) {
  Scene scene(size_of(state));
  std::vector<TargetHistory> servers = scene.state.backend(0).history.servers;
  const std::vector<LiveDelta> deltas = traffic(servers.size(), 0);
  measure(state, state.range(0), [&] {
    scene.now.mono += 1s;
    DoNotOptimize(fold_live(servers, deltas, scene.now.mono));
  });
}

void looking_at_live(benchmark::State& state) {
  Scene scene(size_of(state));
  std::vector<TargetHistory> servers = scene.state.backend(0).history.servers;
  fold_live(servers, traffic(servers.size(), 1), scene.now.mono);
  scene.now.mono += 100ms;
  measure(state, state.range(0), [&] { DoNotOptimize(scan_live(servers, scene.now.mono)); });
}

/// Live traffic would take out every sixth server, but has taken out half of all already, which is the most.
void judging_failing_traffic(benchmark::State& state) {
  Scene scene(size_of(state));
  BackendHistory history = scene.state.backend(0).history;
  fold_live(history.servers, traffic(history.servers.size(), 20), scene.now.mono);
  scene.now.mono += 100ms;
  for (std::size_t i = 0; i < history.servers.size(); ++i) {
    if (i % 6 == 0) continue;
    history.servers[i].ejection.is_out = true;
    history.servers[i].live.ejected_because = "it was";
  }
  measure(state, state.range(0),
          [&] { DoNotOptimize(judge(history, scene.backend(), scene.config.probe, scene.now)); });
}

/// Half of them claim a head that nothing explains.
void judging_jumps(benchmark::State& state) {
  Scene scene(size_of(state));
  const BackendHistory calm = scene.state.backend(0).history;
  BackendHistory history = calm;
  for (std::size_t i = 0; i < history.servers.size(); i += 2) {
    history.servers[i].heads.jumped = true;
    history.servers[i].heads.newest->number += 1'000'000;
  }
  measure(state, state.range(0),
          [&] { DoNotOptimize(scan_heads(history, scene.backend(), scene.config.probe, scene.now)); });
}

/// Each is on a chain of its own: a comparison from its beginning to its end.
void comparing_chains(benchmark::State& state) {
  Scene scene(size_of(state));
  BackendHistory history = scene.state.backend(0).history;
  const auto fork = [&] {
    for (std::size_t i = 0; i < history.servers.size(); ++i)
      fold(history.servers[i], scene.answer(i, static_cast<unsigned>(i) + 1));
  };
  measure(state, state.range(0), [&] {
    scene.now.mono += 60s;
    scene.now.wall += 60s;
    fork();
    scan_heads(history, scene.backend(), scene.config.probe, scene.now);
    for (const BlockCheck& q : fork_checks(history))
      fold_block(history, q.member, Answer{scene.now, q.check, AnswerValue{0, server_name(q.member)}});
    DoNotOptimize(scan_heads(history, scene.backend(), scene.config.probe, scene.now));
  });
}

BENCHMARK(folding_live)->Name("weighter/fold live traffic")->Apply(sizes);
BENCHMARK(looking_at_live)->Name("weighter/look at live traffic")->Apply(sizes);
BENCHMARK(judging_failing_traffic)->Name("weighter/judge, traffic fails")->Apply(sizes);
BENCHMARK(judging_jumps)->Name("weighter/heads, half have jumped")->Apply(sizes);
BENCHMARK(comparing_chains)->Name("weighter/compare as many chains")->Apply(sizes);

// ---- servers that come and go

void reading_the_roster(benchmark::State& state) {
  config::Config file = backend_of(0);
  file.backends.front().discover = "http://{addr}/";
  const haproxy::Instance instance = instance_of(size_of(state));
  const std::vector<const haproxy::Instance*> lists{&instance};
  measure(state, state.range(0), [&] { DoNotOptimize(with_servers(file, server_lists_of(file, lists))); });
}

void one_comes_one_goes(benchmark::State& state) {
  Scene scene(size_of(state));
  auto& servers = scene.config.backends.front().servers;
  measure(state, state.range(0), [&] {
    scene.state.change_servers([&] { std::ranges::rotate(servers, servers.begin() + 1); }, scene.now.mono);
  });
}

BENCHMARK(reading_the_roster)->Name("weighter/servers from HAProxy's list")->Apply(sizes);
BENCHMARK(one_comes_one_goes)->Name("weighter/change servers")->Apply(sizes);

}  // namespace
