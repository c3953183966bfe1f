#include "weighter/history.hpp"

#include <algorithm>
#include <utility>

#include "weighter/constants.hpp"
#include "weighter/decay.hpp"

namespace rpcw {
namespace {

using std::chrono::microseconds;

double milliseconds_of(microseconds t) { return static_cast<double>(t.count()) / 1000.0; }

void count_attempt(TargetHistory& h, MonoTime now, bool failed) {
  const Counts c = counts_at(h, now);
  h.attempts = c.attempts + 1;
  h.failures = c.failures + (failed ? 1 : 0);
  h.counted_at = now;
}

void smooth_latency(TargetHistory& h, MonoTime now, microseconds latency) {
  if (h.latency_count == h.latencies.size()) {
    std::ranges::rotate(h.latencies, h.latencies.begin() + 1);
    h.latencies.back() = latency;
  } else {
    h.latencies[h.latency_count++] = latency;
  }
  const double median = milliseconds_of(*h.median_latency());
  if (h.smoothed_latency_ms) {
    const milliseconds tau = median > *h.smoothed_latency_ms ? constants::kLatencyRise : constants::kLatencyFall;
    *h.smoothed_latency_ms += (median - *h.smoothed_latency_ms) * blend(now - h.smoothed_at, tau);
  } else {
    h.smoothed_latency_ms = median;
  }
  h.smoothed_at = now;
}

}  // namespace

std::optional<microseconds> TargetHistory::median_latency() const {
  switch (latency_count) {
    case 0:
      return std::nullopt;
    case 1:
      return latencies[0];
    case 2:
      return (latencies[0] + latencies[1]) / 2;
    default: {
      auto sorted = latencies;
      std::ranges::sort(sorted);
      return sorted[1];
    }
  }
}

Counts counts_at(const TargetHistory& history, MonoTime now) {
  const double left = decay(now - history.counted_at, constants::kErrorHalfLife);
  return {history.attempts * left, history.failures * left};
}

void fold(TargetHistory& history, HeadObservation&& observation) {
  ++history.observations;
  history.asked_at.reset();
  const MonoTime now = observation.received.mono;
  if (!observation.head && observation.head.error().code == Reason::kRateLimited) {
    history.limited = std::move(observation.head.error());
    ++history.limited_in_row;
    history.failure.reset();
    return;
  }
  history.limited.reset();
  history.limited_in_row = 0;
  // What happens while it is out is paid for by its time-out and its ramp; the rate speaks of the time it was trusted.
  if (!history.ejected) count_attempt(history, now, !observation.head);
  if (!observation.head) {
    history.failure = std::move(observation.head.error());
    history.silent_for = std::max(observation.latency, microseconds{0});
    return;
  }
  history.failure.reset();
  history.silent_for = microseconds{0};
  history.previous_head = std::exchange(history.head, std::move(*observation.head));
  history.head_received = observation.received;
  smooth_latency(history, now, std::max(observation.latency, microseconds{0}));
}

void fold(TargetHistory& history, const IdentityObservation& observation, const Chain& chain) {
  if (!observation.chain_id) return;
  history.seen_chain_id = *observation.chain_id;
  history.identity = !chain.chain_id || *chain.chain_id == *observation.chain_id ? TargetHistory::Identity::kVerified
                                                                                 : TargetHistory::Identity::kWrong;
}

milliseconds block_time_for_lag(const BlockTime& block_time, const Chain& chain) {
  const milliseconds nominal = std::max(chain.block_time, milliseconds{1});
  if (!block_time.measured) return nominal;
  return std::clamp(*block_time.measured, milliseconds{1}, constants::kMostOfNominalBlockTime * nominal);
}

}  // namespace rpcw
