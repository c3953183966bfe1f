#include "weighter/state/decay.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>

namespace rpcw {

// The same weights on every machine: with the x87's 80 bits, or without IEEE's rules, they would not be. Nothing of the
// core uses more of the mathematical library than what IEEE fixes to the last bit (sqrt, floor, ldexp, lround).
static_assert(FLT_EVAL_METHOD == 0, "doubles must be computed as doubles: -mfpmath=sse");
#ifdef __FAST_MATH__
#error "-ffast-math changes weights"
#endif

double decay(MonoTime elapsed, milliseconds half_life) {
  if (elapsed.count() <= 0) return 1.0;
  const double halves = static_cast<double>(elapsed.count()) / (static_cast<double>(half_life.count()) * 1000.0);
  constexpr double kNothingLeft = 1000;
  if (halves > kNothingLeft) return 0.0;
  const double whole = std::floor(halves);
  // 2^-x for x in [0, 1) by the series of e^y; sixteen terms leave an error below 1e-16 there.
  const double y = -(halves - whole) * 0.69314718055994530942;
  double sum = 1.0;
  for (int term = 16; term >= 1; --term) sum = 1.0 + y / term * sum;
  return std::ldexp(sum, -static_cast<int>(whole));
}

double blend(MonoTime elapsed, milliseconds tau) {
  const auto t = static_cast<double>(std::max<std::int64_t>(elapsed.count(), 0));
  return t / (t + static_cast<double>(tau.count()) * 1000.0);
}

double power(double base, std::uint64_t exponent) {
  double out = 1.0;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1) out *= base;
    base *= base;
  }
  return out;
}

double natural_log(double x) {
  int halves = 0;
  // In [0.5, 1), where the series of 2 artanh y converges: y lies between -1/3 and 0, and 9^-12 is below 1e-11.
  const double part = std::frexp(x, &halves);
  const double y = (part - 1.0) / (part + 1.0);
  constexpr int kTerms = 13;
  double sum = 0.0;
  for (int term = kTerms; term >= 0; --term) sum = 1.0 / (2 * term + 1) + y * y * sum;
  return 2.0 * y * sum + halves * 0.69314718055994530942;
}

}  // namespace rpcw
