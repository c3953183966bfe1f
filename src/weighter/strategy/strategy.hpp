#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "weighter/judge/judge.hpp"
#include "weighter/strategy/score_inputs.hpp"

namespace rpcw {

/// A server's score before the factors that every strategy shares; 0 without the observations that it needs.
struct StrategyScore {
  double now = 0;
  /// Without the part that an unanswered probe, under way or just failed, takes from it.
  double steady = 0;
};

/// A way to weigh healthy servers. A new one is a file beside this one, and its line in strategy.cpp.
struct Strategy {
  /// As in the configuration.
  std::string_view name;
  /// A few words for people: `check` and the documentation show them.
  std::string_view description;
  /// `algorithm`: HAProxy's, as `show stat` names it; empty: not known. Writes all that it multiplies into `inputs`.
  StrategyScore (*score)(const config::Backend& backend, const ServerVerdict& verdict, std::string_view algorithm,
                         ScoreInputs& inputs) = nullptr;
  /// The best server gets everything (see leader.hpp); else servers share by score.
  bool single_leader = false;
  /// A share grows only so fast from one decision to the next.
  bool limits_growth = true;
};

/// In the order in which documentation names them; the first one is the default.
std::span<const Strategy* const> strategies();
/// As the configuration's reader accepts them.
std::vector<std::string_view> strategy_names();
/// Precondition: one of strategy_names().
const Strategy& strategy_named(std::string_view name);

/// The score of `adaptive`: latency, freshness and errors multiplied. For strategies that rank servers by it.
StrategyScore score_adaptively(const config::Backend& backend, const ServerVerdict& verdict, std::string_view algorithm,
                               ScoreInputs& inputs);

}  // namespace rpcw
