#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "base/time.hpp"

namespace rpcw {

/// Latency as `inverse-latency` sees it, in ms, at least 1: 1 up to 40 ms; above, rounded down to its leading digit
/// (87 is 80, 1234 is 1000). The step at 40 ms is part of the formula that home-made scripts share.
/// Latencies below 0 count as 0.
std::int64_t normalised_latency_ms(std::chrono::microseconds latency);

/// What counts as a head's age there: at least the block time, and at least 1 ms.
milliseconds age_in_score(milliseconds head_age, milliseconds block_time);

/// `1/L + 1/D` with L the normalised latency and D the head's age in ms, at least the block time (at least 1 ms).
/// Finite and above 0 for every input.
double inverse_latency_score(std::chrono::microseconds latency, milliseconds head_age, milliseconds block_time);

/// What `adaptive` multiplies.
struct AdaptiveInputs {
  /// Above 0 or 0; below 20 ms counts as 20 ms.
  double latency_ms = 0;
  /// 1, 0.5 or 0.25: see gamma_for.
  double gamma = 1;
  /// In [0, 1].
  double error_rate = 0;
};

/// `1 ÷ (max(latency, 20 ms)^γ × (1 + 20 × error_rate))`, in 1/ms^γ; finite and above 0.
double adaptive_score(const AdaptiveInputs& inputs);

/// How much of the latency is ours to weigh, by HAProxy's balance algorithm as `show stat` names it: all of it for
/// roundrobin and when nothing is known; the square root for random (shown as "unknown" by older releases), which picks
/// the less loaded of two; the fourth root for leastconn, where slow servers already get less because their
/// connections last longer.
double gamma_for(std::string_view algorithm);

}  // namespace rpcw
