#include "weighter/score.hpp"

#include <algorithm>

namespace rpcw {

std::int64_t normalised_latency_ms(std::chrono::microseconds latency) {
  constexpr std::int64_t kIndistinguishableMs = 40;
  std::int64_t ms = std::chrono::duration_cast<milliseconds>(latency).count();
  if (ms <= kIndistinguishableMs) return 1;
  std::int64_t magnitude = 1;
  while (ms >= 10) {
    ms /= 10;
    magnitude *= 10;
  }
  return ms * magnitude;
}

double inverse_latency_score(std::chrono::microseconds latency, milliseconds head_age, milliseconds block_time) {
  const milliseconds age = std::max({head_age, block_time, milliseconds{1}});
  return 1.0 / static_cast<double>(normalised_latency_ms(latency)) + 1.0 / static_cast<double>(age.count());
}

}  // namespace rpcw
