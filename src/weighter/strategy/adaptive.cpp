#include "weighter/strategy/score.hpp"
#include "weighter/strategy/strategy.hpp"

namespace rpcw {

StrategyScore score_adaptively(const config::Backend&, const ServerVerdict& verdict, std::string_view algorithm,
                               ScoreInputs& inputs) {
  if (!verdict.latency_used_ms) return {};
  inputs.latency_used_ms = verdict.latency_used_ms;
  inputs.unanswered_ms = verdict.unanswered_ms;
  inputs.gamma = gamma_for(algorithm);
  inputs.attempts = verdict.counts.attempts;
  inputs.failures = verdict.counts.failures;
  inputs.peers_error_rate = verdict.peers_error_rate;
  inputs.error_rate = verdict.error_rate;
  inputs.live_latency_ms = verdict.live_latency_ms;
  inputs.freshness = verdict.freshness;
  const auto with = [&](double latency_ms) {
    return verdict.freshness * adaptive_score({latency_ms, *inputs.gamma, verdict.error_rate});
  };
  return {with(*verdict.latency_used_ms), with(verdict.smoothed_latency_ms.value_or(*verdict.latency_used_ms))};
}

namespace strategy {
extern const Strategy kAdaptive{.name = "adaptive", .description = "latency, lag, errors", .score = score_adaptively};
}  // namespace strategy

}  // namespace rpcw
