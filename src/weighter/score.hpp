#pragma once

#include <chrono>

#include "weighter/time.hpp"

namespace rpcw {

/// Latency as `inverse-latency` sees it, in ms, at least 1: 1 up to 40 ms; above, rounded down to its leading digit
/// (87 is 80, 1234 is 1000). The step at 40 ms is part of the formula that home-made scripts share.
/// Latencies below 0 count as 0.
std::int64_t normalised_latency_ms(std::chrono::microseconds latency);

/// `1/L + 1/D` with L the normalised latency and D the head's age in ms, at least the block time (at least 1 ms).
/// Finite and above 0 for every input.
double inverse_latency_score(std::chrono::microseconds latency, milliseconds head_age, milliseconds block_time);

}  // namespace rpcw
