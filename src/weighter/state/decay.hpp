#pragma once

#include <cstdint>

#include "base/time.hpp"

namespace rpcw {

/// 2^(-elapsed/half_life), in (0, 1]; 1 for an elapsed time of 0 or below. Computed with additions and multiplications
/// alone, so that a recording replays to the same bits on every machine, which libm does not promise.
double decay(MonoTime elapsed, milliseconds half_life);

/// The weight of a new value in an exponential average with time constant `tau`, for a value that comes `elapsed` after
/// the one before: elapsed ÷ (tau + elapsed), in [0, 1).
double blend(MonoTime elapsed, milliseconds tau);

/// base^exponent, with the same promise as `decay`.
double power(double base, std::uint64_t exponent);

/// ln x for x > 0, to 1e-12, with the same promise as `decay`.
double natural_log(double x);

}  // namespace rpcw
