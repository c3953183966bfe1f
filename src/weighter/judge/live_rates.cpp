#include "weighter/judge/live_rates.hpp"

#include <algorithm>
#include <limits>

namespace rpcw {

double ratio(double part, double whole) {
  return whole > 0 ? part / whole : 0.0;
}

double rate_of(const LiveHistory& h) {
  return ratio(h.recent.requests, h.measured_s);
}

double usual_ms(const TargetHistory& t) {
  // One of three may have come while nothing waited.
  double probes_ms = t.latency.count > 0 ? std::numeric_limits<double>::max() : 0.0;
  for (std::size_t i = 0; i < t.latency.count; ++i)
    probes_ms = std::min(probes_ms, static_cast<double>(t.latency.newest[i].count()) / 1000.0);
  return std::max(t.live.average_ms.value_or(0.0), probes_ms);
}

}  // namespace rpcw
