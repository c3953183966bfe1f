#include "weighter/strategy/score.hpp"
#include "weighter/strategy/strategy.hpp"

namespace rpcw::strategy {
namespace {

StrategyScore score(const config::Backend& backend, const ServerVerdict& verdict, std::string_view,
                    ScoreInputs& inputs) {
  if (!verdict.latency || !verdict.head_age) return {};
  const milliseconds block_time = backend.chain.block_time;
  inputs.latency_used_ms = std::chrono::duration<double, std::milli>(*verdict.latency).count();
  inputs.age_used_ms = static_cast<double>(age_in_score(*verdict.head_age, block_time).count());
  const double score = inverse_latency_score(*verdict.latency, *verdict.head_age, block_time);
  return {score, score};
}

}  // namespace

extern const Strategy kInverseLatency{.name = "inverse-latency", .description = "latency, block age", .score = score};

}  // namespace rpcw::strategy
