#include "weighter/decay.hpp"

#include <algorithm>
#include <cmath>

namespace rpcw {

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

}  // namespace rpcw
