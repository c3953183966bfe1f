#include "weighter/state/history.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/text.hpp"
#include "weighter/constants.hpp"
#include "weighter/schedule/cadence.hpp"
#include "weighter/state/decay.hpp"

namespace rpcw {
namespace {

using std::chrono::microseconds;

double milliseconds_of(microseconds t) {
  return static_cast<double>(t.count()) / 1000.0;
}

void count_attempt(TargetHistory& h, MonoTime now, bool failed) {
  const Counts c = counts_at(h, now);
  h.attempts = c.attempts + 1;
  h.failures = c.failures + (failed ? 1 : 0);
  h.counted_at = now;
}

/// Of a latency. Below the floor all are equal, so that no change there is one.
double log_of(double ms) {
  return natural_log(std::max(ms, constants::kLatencyFloorMs));
}

/// Page's test in both directions. True: the level has changed.
bool level_has_changed(TargetHistory& h, MonoTime now, double ms) {
  LevelTest& t = h.level;
  const double log = log_of(ms);
  if (t.count > 0) {
    const double off = log - t.centre;
    // The centre of a few probes is no better known than they are spread.
    const double step = constants::kLevelStep / (t.spread * t.spread * (1.0 + 1.0 / t.count));
    const auto weigh = [&](double evidence, double distance) {
      const double news = step * (distance - constants::kLevelStep / 2);
      return std::max(0.0, evidence + std::min(news, constants::kLevelDecided * constants::kLevelSampleMost));
    };
    t.down = weigh(t.down, -off);
    t.up = weigh(t.up, off);
  }
  if (h.latency_count > 0) {
    // From one to the next: a change of level is in one of these differences only.
    const double difference = std::abs(log - log_of(milliseconds_of(h.latencies[h.latency_count - 1])));
    t.spread +=
        (difference * constants::kLevelDeviation - t.spread) * blend(now - h.smoothed_at, constants::kLevelSpreadTime);
    t.spread = std::max(t.spread, constants::kLevelSpreadLeast);
  }
  t.count = std::min(t.count + 1, constants::kLevelProbes);
  t.centre += (log - t.centre) / t.count;
  return std::max(t.down, t.up) >= constants::kLevelDecided;
}

void smooth_latency(TargetHistory& h, MonoTime now, microseconds latency) {
  const bool changed = level_has_changed(h, now, milliseconds_of(latency));
  if (h.latency_count == h.latencies.size()) {
    std::ranges::rotate(h.latencies, h.latencies.begin() + 1);
    h.latencies.back() = latency;
  } else {
    h.latencies[h.latency_count++] = latency;
  }
  const double median = milliseconds_of(*h.median_latency());
  if (changed) {
    restart_latency(h, h.latency_count);
    restart_live_latency(h.live);
  } else if (h.smoothed_latency_ms) {
    const milliseconds tau = median > *h.smoothed_latency_ms ? constants::kLatencyRise : constants::kLatencyFall;
    *h.smoothed_latency_ms += (median - *h.smoothed_latency_ms) * blend(now - h.smoothed_at, tau);
  } else {
    h.smoothed_latency_ms = median;
  }
  h.smoothed_at = now;
}

void remember_block(TargetHistory& h) {
  const SeenBlock block{h.head->number, fnv1a(h.head->hash)};
  // A head that goes back, or is another one at the same height, has left the chain that the blocks from there were on.
  while (h.seen_count > 0 && h.seen[h.seen_count - 1].number >= block.number) --h.seen_count;
  if (h.seen_count == h.seen.size()) {
    std::ranges::rotate(h.seen, h.seen.begin() + 1);
    --h.seen_count;
  }
  h.seen[h.seen_count++] = block;
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

void restart_latency(TargetHistory& h, unsigned probes) {
  const unsigned kept = std::min(probes, h.latency_count);
  if (kept == 0) return;
  const auto first = h.latencies.begin() + (h.latency_count - kept);
  std::copy(first, first + kept, h.latencies.begin());
  h.latency_count = kept;
  h.smoothed_latency_ms = milliseconds_of(*h.median_latency());
  LevelTest& t = h.level;
  t = LevelTest{.spread = t.spread};
  for (unsigned i = 0; i < kept; ++i) t.centre += log_of(milliseconds_of(h.latencies[i])) / kept;
  t.count = kept;
}

void restart_live_latency(LiveHistory& live) {
  live.timed = live.timed_ms = 0;
  live.latency_ms.reset();
}

Counts counts_at(const TargetHistory& history, MonoTime now) {
  const double left = decay(now - history.counted_at, constants::kErrorHalfLife);
  return {history.attempts * left, history.failures * left};
}

void fold(TargetHistory& history, HeadObservation&& observation) {
  history.sent_at.reset();
  const MonoTime now = observation.received.mono;
  if (!observation.head && observation.head.error().ours) {
    history.not_asked = std::move(observation.head.error());
    return;
  }
  history.not_asked.reset();
  ++history.observations;
  if (!observation.head && observation.head.error().code == Reason::kRateLimited) {
    history.limited = std::move(observation.head.error());
    ++history.limited_in_row;
    history.failure.reset();
    // It answers again: how long it was silent before says nothing about now.
    history.silent_for = microseconds{0};
    return;
  }
  history.limited.reset();
  history.limited_in_row = 0;
  // What happens while it is out is paid for by its time-out and its ramp; the rate speaks of the time it was trusted.
  if (!history.ejected) count_attempt(history, now, !observation.head);
  if (!observation.head) {
    history.failure = std::move(observation.head.error());
    history.silent_for = std::max(observation.latency, microseconds{0});
    // After a failure, check the chain id again: the URL may now serve another node.
    distrust_identity(history, now);
    history.compared = false;
    return;
  }
  // The check that went out with a failed probe may have been refused as well: ask again now that the server answers.
  if (history.failure && history.identity_check.refusals > 0) distrust_identity(history, now);
  history.failure.reset();
  history.silent_for = microseconds{0};
  history.previous_head = std::exchange(history.head, std::move(*observation.head));
  history.head_received = observation.received;
  remember_block(history);
  smooth_latency(history, now, std::max(observation.latency, microseconds{0}));
}

void distrust_identity(TargetHistory& history, MonoTime now) {
  history.identity_check.due = now;
  history.identity_check.refusals = 0;
}

bool must_tell_identity(const TargetHistory& history) {
  return history.identity_in_doubt && history.identity == TargetHistory::Identity::kVerified;
}

bool heads_contradict(const TargetHistory& history) {
  return history.head_falls >= constants::kHeadFallsRecur;
}

namespace {

/// nullptr: kBlock's, which no target has, or that of a canary which is gone.
CheckState* check_state_of(TargetHistory& history, const Check& check) {
  switch (check.kind) {
    case CheckKind::kIdentity:
      return &history.identity_check;
    case CheckKind::kSyncing:
      return &history.syncing_check;
    case CheckKind::kPeers:
      return &history.peers_check;
    case CheckKind::kCanary:
      return check.argument < history.canaries.size() ? &history.canaries[check.argument].check : nullptr;
    case CheckKind::kBlock:
      return nullptr;
  }
  return nullptr;
}

void fold_identity(TargetHistory& history, const Answer& answer, const Chain& chain) {
  using Identity = TargetHistory::Identity;
  const MonoTime now = answer.received.mono;
  CheckState& check = history.identity_check;
  check.waiting = false;
  if (answer.value) {
    history.seen_chain_id = answer.value->number;
    const bool right = !chain.chain_id || *chain.chain_id == answer.value->number;
    history.identity = right ? Identity::kVerified : Identity::kWrong;
    history.identity_untold = history.identity_in_doubt = false;
    check.refusals = 0;
    if (!right) check.due = now;
    return;
  }
  const Reason why = answer.value.error().code;
  history.identity_untold = !is_transport(why) && why != Reason::kRateLimited;
  if (why != Reason::kRateLimited) history.identity_in_doubt = true;
  if (is_transport(why)) {
    check.due = now;
    return;
  }
  // A gateway that refuses while it starts is asked again soon; one that never tells costs a request a minute.
  constexpr unsigned kMostShifts = 6;
  check.due = now + std::min(kIdentityEvery, kIdentityRefused * (1 << std::min(check.refusals, kMostShifts)));
  ++check.refusals;
}

}  // namespace

void fold(TargetHistory& history, const Answer& answer, const Chain& chain) {
  if (!answer.value && answer.value.error().ours) {
    if (CheckState* check = check_state_of(history, answer.check)) {
      check->waiting = false;
      check->due = answer.received.mono;
    }
    return;
  }
  const MonoTime now = answer.received.mono;
  const bool not_found = !answer.value && answer.value.error().unsupported;
  const bool head_comes = history.head && !history.failure && !history.limited;
  // Returns whether the provider does not offer it.
  const auto settle = [&](CheckState& check) {
    check.waiting = false;
    check.refusals = not_found && head_comes ? check.refusals + 1 : 0;
    if (check.refusals < constants::kRefusalsDrop) return false;
    check.due = now + kUnsupportedPause;
    return true;
  };
  switch (answer.check.kind) {
    case CheckKind::kIdentity:
      fold_identity(history, answer, chain);
      return;
    case CheckKind::kSyncing:
      if (settle(history.syncing_check)) history.blocks_missing.reset();
      if (!answer.value) return;
      history.blocks_missing = answer.value->number;
      ++history.slow_observations;
      return;
    case CheckKind::kPeers:
      if (settle(history.peers_check)) history.peers.reset();
      if (answer.value) history.peers = answer.value->number;
      return;
    case CheckKind::kCanary: {
      if (answer.check.argument >= history.canaries.size()) return;
      CanaryHistory& canary = history.canaries[answer.check.argument];
      canary.check.waiting = false;
      if (answer.value) {
        canary.failure.reset();
      } else if (answer.value.error().code != Reason::kRateLimited) {
        canary.failure = answer.value.error();
      } else {
        return;
      }
      ++history.slow_observations;
      return;
    }
    case CheckKind::kBlock:
      return;
  }
}

TargetHistory awoken(TargetHistory&& history, milliseconds slept, Now now) {
  const bool from_future = history.head && history.head->timestamp > now.wall + constants::kClockTolerance;
  if (slept <= constants::kSleepLongest && !from_future) return std::move(history);
  TargetHistory out = outlasting(std::move(history));
  // The first verdict decides alone, as for one that is new. Its ejections stay counted.
  out.ejected = false;
  out.live_out.clear();
  out.returned_at.reset();
  return out;
}

TargetHistory outlasting(TargetHistory&& was) {
  TargetHistory out;
  out.latencies = was.latencies;
  out.latency_count = was.latency_count;
  out.smoothed_latency_ms = was.smoothed_latency_ms;
  out.smoothed_at = was.smoothed_at;
  out.level = was.level;
  out.attempts = was.attempts;
  out.failures = was.failures;
  out.counted_at = was.counted_at;
  out.live = was.live;
  out.live.waiting_ms.reset();
  out.live_out = std::move(was.live_out);
  out.ejected = was.ejected;
  out.ejected_at = was.ejected_at;
  out.out_until = was.out_until;
  out.ejections = was.ejections;
  out.forgiven = was.forgiven;
  out.quiet_since = was.quiet_since;
  out.returned_at = was.returned_at;
  return out;
}

void forget_checks(TargetHistory& history) {
  history.sent_at.reset();
  const auto forget = [](CheckState& check) {
    if (check.waiting) check = {};
  };
  forget(history.identity_check);
  forget(history.syncing_check);
  forget(history.peers_check);
  for (CanaryHistory& c : history.canaries) forget(c.check);
}

void forget_checks(ForkCheck& forks) {
  forks.height.reset();
  forks.groups.clear();
}

milliseconds block_time_for_lag(const BlockTime& block_time, const Chain& chain) {
  const milliseconds nominal = std::max(chain.block_time, milliseconds{1});
  if (!block_time.measured) return nominal;
  return std::clamp(*block_time.measured, milliseconds{1}, constants::kMostOfNominalBlockTime * nominal);
}

}  // namespace rpcw
