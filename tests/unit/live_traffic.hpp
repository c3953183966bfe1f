#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <vector>

#include "model/direct.hpp"
#include "weighter/judge/live.hpp"

namespace rpcw::test {

/// A backend under steady traffic that follows the weights, counted each `step`; probes are good.
struct SteadyTraffic : model::Direct {
  explicit SteadyTraffic(std::size_t servers, double requests_per_s = 200)
      : Direct(servers, "adaptive"), per_s(requests_per_s) {
    for (std::size_t i = 0; i < servers; ++i) good(i, 1000);
    decide();
  }

  using Answers = std::function<void(std::size_t server, LiveDelta& delta)>;

  /// One second of it, or what `step` says. Returns the servers to probe at once.
  std::vector<std::size_t> second(const Answers& answers) {
    pass_time(step);
    unsigned sum = 0;
    for (const unsigned w : held) sum += w;
    std::vector<LiveDelta> deltas(held.size());
    for (std::size_t i = 0; i < held.size(); ++i) {
      const double exact = per_s * static_cast<double>(step.count()) / 1000.0 * held[i] / sum + rest[i];
      deltas[i].requests = static_cast<std::uint64_t>(exact);
      rest[i] = exact - static_cast<double>(deltas[i].requests);
      deltas[i].ended = deltas[i].timed = deltas[i].requests;
      deltas[i].latency_ms = deltas[i].average_ms = 40;
      deltas[i].open = 2;
      deltas[i].elapsed = step;
      answers(i, deltas[i]);
      // More failures than requests: those of requests that were sent before.
      deltas[i].ended = std::max(deltas[i].ended, deltas[i].failures);
    }
    last = deltas;
    auto suspects = fold_live(history->servers, deltas, now.mono, requests);
    if (++seconds % 5 == 0)
      for (std::size_t i = 0; i < held.size(); ++i) good(i, 1000 + static_cast<std::uint64_t>(seconds) / 12);
    decision = decide();
    return suspects;
  }

  double share(std::size_t i) const {
    unsigned sum = 0;
    for (const unsigned w : held) sum += w;
    return static_cast<double>(held[i]) / sum;
  }

  Requests requests = Requests::kOfAll;
  milliseconds step{1000};
  double per_s;
  std::map<std::size_t, double> rest;
  std::vector<LiveDelta> last;
  BackendDecision decision;
  int seconds = 0;
};

inline const SteadyTraffic::Answers kFine = [](std::size_t, LiveDelta&) {};

inline bool has(const ServerDecision& s, Reason reason) {
  return std::ranges::find(s.reasons, reason, &ReasonNote::code) != s.reasons.end();
}

}  // namespace rpcw::test
