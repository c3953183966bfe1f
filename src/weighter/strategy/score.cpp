#include "weighter/strategy/score.hpp"

#include <algorithm>
#include <cmath>

#include "weighter/constants.hpp"

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

milliseconds age_in_score(milliseconds head_age, milliseconds block_time) {
  return std::max({head_age, block_time, milliseconds{1}});
}

double inverse_latency_score(std::chrono::microseconds latency, milliseconds head_age, milliseconds block_time) {
  const milliseconds age = age_in_score(head_age, block_time);
  return 1.0 / static_cast<double>(normalised_latency_ms(latency)) + 1.0 / static_cast<double>(age.count());
}

double adaptive_score(const AdaptiveInputs& inputs) {
  const double latency = std::max(inputs.latency_ms, constants::kLatencyFloorMs);
  // Roots instead of pow: they are exact to the last bit on every machine.
  double power = latency;
  if (inputs.gamma <= 0.5) power = std::sqrt(power);
  if (inputs.gamma <= 0.25) power = std::sqrt(power);
  return 1.0 / (power * (1.0 + constants::kErrorWeight * inputs.error_rate));
}

double gamma_for(std::string_view algorithm) {
  if (algorithm == "leastconn") return 0.25;
  if (algorithm.starts_with("random") || algorithm == "unknown") return 0.5;
  return 1.0;
}

}  // namespace rpcw
