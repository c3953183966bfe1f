#pragma once

#include <optional>
#include <string_view>

namespace rpcw {

/// Everything that was multiplied into a score, so that it can be recomputed from a report. Absent: not known, or not
/// used by the strategy.
struct ScoreInputs {
  std::optional<double> latency_used_ms;
  /// How long an answer has been missing, where that makes `latency_used_ms` longer.
  std::optional<double> unanswered_ms;
  std::optional<double> live_latency_ms;
  /// The newest block's age, at least the chain's block time.
  std::optional<double> age_used_ms;
  std::optional<double> gamma;
  std::optional<double> freshness;
  std::optional<double> attempts;
  std::optional<double> failures;
  std::optional<double> peers_error_rate;
  std::optional<double> error_rate;
  double failure_penalty = 1.0;
  double peers_factor = 1.0;
  double rate_limit_factor = 1.0;
  double ramp = 1.0;
  double preference = 1.0;
  /// The part of the traffic that its quota or `max_rate` allows, the less of the two; absent: no limit is known.
  std::optional<double> quota_share;
  /// What kept the share below what the score would give: "growth", "quota", "identity", "exposure", "max_rate" or
  /// "max_share"; empty: nothing.
  std::string_view limited_by;

  friend bool operator==(const ScoreInputs&, const ScoreInputs&) = default;
};

}  // namespace rpcw
