#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "model/backend.hpp"
#include "weighter/schedule/agenda.hpp"

/// A world of providers without any I/O: time is a number, and the answers are computed. It drives the pure core as the
/// loop does: every server on its own timer with jitter, a decision after any news.
namespace rpcw::model {

using namespace std::chrono_literals;

/// What a provider does at a moment.
struct Behaviour {
  double latency_ms = 40;
  /// The probability that a probe is lost, and what it then looks like.
  double loss = 0;
  Reason loss_reason = Reason::kTimeout;
  /// Sometimes an answer takes this many times as long.
  double spike = 1;
  double spike_ratio = 0;
  /// Lognormal spread of the latency.
  double sigma = 0;
  std::uint64_t blocks_behind = 0;
  bool limited = false;
};

class World {
 public:
  using Script = std::function<Behaviour(std::size_t server, double seconds)>;

  World(std::size_t servers, std::string_view strategy, unsigned seed, Script script)
      : backend(ethereum_backend(servers, strategy)), script_(std::move(script)), random_(seed) {
    history = empty_history(backend);
    verify_all(*history);
    next_probe_.assign(servers, 0);
  }

  /// Runs until `until_s`, calling `after` for every decision.
  void run(double until_s, const std::function<void(const BackendDecision&, double seconds)>& after) {
    while (true) {
      const std::size_t i = next_server();
      if (next_probe_[i] > until_s) return;
      seconds_ = next_probe_[i];
      probe(i);
      schedule(i);
      const bool all_had_a_chance =
          std::ranges::all_of(history->servers, [](const TargetHistory& t) { return t.probes.observations > 0; });
      if (!all_had_a_chance) continue;
      BackendDecision d = rpcw::decide(*history, backend, probe_settings, view, held, now());
      std::vector<unsigned> weights;
      for (const ServerDecision& s : d.servers) weights.push_back(s.weight);
      if (weights != held) ++pushes;
      held = std::move(weights);
      schedule(i);
      after(d, seconds_);
    }
  }

  [[nodiscard]] Now now() const {
    return {WallTime{std::chrono::seconds{1'800'000'000}} + milliseconds{static_cast<std::int64_t>(seconds_ * 1000)} +
                wall_jump,
            MonoTime{static_cast<std::int64_t>(seconds_ * 1e6)}};
  }

  config::Backend backend;
  config::Probe probe_settings;
  std::optional<BackendHistory> history;
  BackendView view;
  std::vector<unsigned> held;
  /// How far our wall clock is off; the chain's timestamps do not follow it.
  milliseconds wall_jump{0};
  unsigned pushes = 0;

 private:
  std::size_t next_server() const {
    return static_cast<std::size_t>(std::ranges::min_element(next_probe_) - next_probe_.begin());
  }

  void schedule(std::size_t i) {
    const milliseconds interval =
        probe_interval(history->servers[i], backend.servers[i].target, probe_settings, now().mono);
    next_probe_[i] =
        seconds_ + static_cast<double>(interval.count()) / 1000 * std::uniform_real_distribution<>(0.9, 1.1)(random_);
  }

  bool chance(double p) { return p > 0 && std::uniform_real_distribution<>(0, 1)(random_) < p; }

  void probe(std::size_t i) {
    const Behaviour b = script_(i, seconds_);
    const auto head_number = static_cast<std::uint64_t>(seconds_ / 12) + 1000;
    const std::uint64_t number = head_number - std::min(head_number, b.blocks_behind);
    HeadObservation o;
    o.received = now();
    if (b.limited) {
      o.head = std::unexpected(ProbeFailure{Reason::kRateLimited, "429", {}});
    } else if (chance(b.loss)) {
      o.latency = b.loss_reason == Reason::kTimeout ? std::chrono::microseconds{probe_settings.timeout}
                                                    : std::chrono::microseconds{10ms};
      o.head = std::unexpected(ProbeFailure{b.loss_reason, "lost", {}});
    } else {
      double ms = b.latency_ms;
      if (b.sigma > 0) ms *= std::lognormal_distribution<>(0, b.sigma)(random_);
      if (chance(b.spike_ratio)) ms *= b.spike;
      o.latency = std::chrono::microseconds{static_cast<std::int64_t>(ms * 1000)};
      o.head = Head{number, "0x" + std::to_string(number),
                    WallTime{std::chrono::seconds{1'800'000'000 + static_cast<std::int64_t>(number - 1000) * 12}}};
    }
    fold(history->servers[i], std::move(o));
  }

  Script script_;
  std::mt19937 random_;
  std::vector<double> next_probe_;
  double seconds_ = 0;
};

}  // namespace rpcw::model
