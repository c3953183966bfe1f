#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "weighter/allocate/decide.hpp"

namespace rpcw::model {

using namespace std::chrono_literals;

inline constexpr std::array<std::string_view, 4> kStrategies{"adaptive", "inverse-latency", "equal", "leader"};

inline constexpr std::array kFailures{Reason::kTimeout, Reason::kConnectFailed, Reason::kHttpStatus, Reason::kRpcError,
                                      Reason::kBadAnswer};

/// A random history fed straight into the core, without any manners: clocks jump, numbers are absurd.
struct Chaos {
  std::mt19937 random;
  config::Backend backend;
  config::Probe probe;
  std::optional<BackendHistory> history;
  BackendView view;
  std::vector<unsigned> held;
  Now now{WallTime{std::chrono::seconds{1'800'000'000}}, MonoTime{0}};
  /// What the chain's height follows; the clocks may be set.
  MonoTime lived{0};

  explicit Chaos(unsigned seed) : random(seed) {
    backend.name = "rpc";
    backend.chain = {"c", "evm", "1", milliseconds{pick(1, 600'000)}, 60s, 30s, 3};
    if (pick(0, 3) == 0) backend.chain.max_block_age.reset();
    backend.strategy = kStrategies[static_cast<std::size_t>(pick(0, 3))];
    backend.scale = pick(0, 1) == 0 ? config::Scale::kShare : config::Scale::kPeak;
    backend.fallback = pick(0, 1) == 0 ? config::Fallback::kEqual : config::Fallback::kKeep;
    backend.ramp = milliseconds{pick(0, 60'000)};
    backend.eject_time = milliseconds{pick(0, 10'000)};
    backend.switch_back = pick(0, 1) == 0;
    probe.fall = static_cast<unsigned>(pick(1, 4));
    probe.rise = static_cast<unsigned>(pick(1, 4));
    const auto n = static_cast<std::size_t>(pick(1, pick(0, 9) == 0 ? 90 : 8));
    for (std::size_t i = 0; i < n; ++i) {
      config::Server s;
      s.name = "s" + std::to_string(i);
      s.target.operator_name = pick(0, 4) == 0 ? "shared" : s.name;
      s.preference = pick(0, 2) == 0 ? std::exp(std::uniform_real_distribution<>(-4.6, 4.6)(random)) : 1.0;
      backend.servers.push_back(s);
    }
    backend.min_healthy = static_cast<unsigned>(pick(1, static_cast<int>(n)));
    backend.max_share = std::max(1.0 / static_cast<double>(n), std::uniform_real_distribution<>(0.1, 1)(random));
    history = empty_history(backend);
    view.servers.resize(n);
    for (auto& s : view.servers)
      if (pick(0, 9) > 0)
        s = ServerView{.disabled = pick(0, 9) == 0,
                       .backup = pick(0, 9) == 0,
                       .weight = static_cast<unsigned>(pick(0, 256)),
                       .configured_weight = 100,
                       .down = pick(0, 9) == 0,
                       .stuck = pick(0, 9) == 0};
    view.worker_age = std::chrono::seconds{pick(0, 120)};
  }

  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); }

  void step() {
    const MonoTime passed{pick(0, 7'000'000)};
    now.mono += passed;
    lived += passed;
    now.wall += milliseconds{pick(0, 7000)};
    if (pick(0, 50) == 0) now.wall -= 1h;
    if (pick(0, 50) == 0) now.wall += 24h;
    auto& t = history->servers[static_cast<std::size_t>(pick(0, static_cast<int>(history->servers.size()) - 1))];
    switch (pick(0, 9)) {
      case 0:
        fold(t, Answer{now, {CheckKind::kIdentity}, AnswerValue{0, pick(0, 9) == 0 ? "2" : "1"}}, backend.chain);
        break;
      case 1:
        t.probes.sent_at = now.mono;
        break;
      case 2:
        fold(t, HeadObservation{
                    now, std::chrono::microseconds{pick(-5, 4'000'000)},
                    std::unexpected(ProbeFailure{
                        pick(0, 3) == 0 ? Reason::kRateLimited : kFailures[static_cast<std::size_t>(pick(0, 4))],
                        "x",
                        {}})});
        break;
      default: {
        std::uint64_t number = static_cast<std::uint64_t>(lived.count() / 1'000'000) + 1000;
        if (pick(0, 30) == 0) number = std::uniform_int_distribution<std::uint64_t>()(random);
        if (pick(0, 10) == 0) number -= std::min<std::uint64_t>(number, static_cast<std::uint64_t>(pick(0, 500)));
        WallTime stamp = now.wall - milliseconds{pick(-20'000, 90'000)};
        if (pick(0, 40) == 0)
          stamp = WallTime{milliseconds{std::uniform_int_distribution<std::int64_t>(0, 100'000'000'000'000)(random)}};
        const auto latency = std::chrono::microseconds{
            pick(0, 20) == 0 ? std::uniform_int_distribution<std::int64_t>(0, 1LL << 50)(random) : pick(0, 300'000)};
        fold(t, HeadObservation{now, latency, Head{number, "0x", stamp}});
      }
    }
  }

  BackendDecision decide() {
    BackendDecision d = rpcw::decide(*history, backend, probe, view, held, now);
    held.clear();
    for (const ServerDecision& s : d.servers) held.push_back(s.weight);
    return d;
  }
};

}  // namespace rpcw::model
