#include "weighter/state/history.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/text.hpp"
#include "weighter/cadence.hpp"
#include "weighter/constants.hpp"
#include "weighter/state/decay.hpp"

namespace rpcw {
namespace {

using std::chrono::microseconds;

double milliseconds_of(microseconds t) {
  return static_cast<double>(t.count()) / 1000.0;
}

void count_attempt(ErrorHistory& e, MonoTime now, bool failed) {
  const Counts c = counts_at(e, now);
  e.attempts = c.attempts + 1;
  e.failures = c.failures + (failed ? 1 : 0);
  e.counted_at = now;
}

/// Of a latency. Below the floor all are equal, so that no change there is one.
double log_of(double ms) {
  return natural_log(std::max(ms, constants::kLatencyFloorMs));
}

void smooth_latency(TargetHistory& target, MonoTime now, microseconds latency) {
  LatencyHistory& h = target.latency;
  std::optional<double> previous;
  if (h.count > 0) previous = log_of(milliseconds_of(h.newest[h.count - 1]));
  const bool changed = level_has_changed(h.level, log_of(milliseconds_of(latency)), previous,
                                         blend(now - h.smoothed_at, constants::kLevelSpreadTime));
  if (h.count == h.newest.size()) {
    std::ranges::rotate(h.newest, h.newest.begin() + 1);
    h.newest.back() = latency;
  } else {
    h.newest[h.count++] = latency;
  }
  const double median = milliseconds_of(*median_latency(h));
  if (changed) {
    restart_latency(h, h.count);
    restart_live_latency(target.live);
  } else if (h.smoothed_ms) {
    const milliseconds tau = median > *h.smoothed_ms ? constants::kLatencyRise : constants::kLatencyFall;
    *h.smoothed_ms += (median - *h.smoothed_ms) * blend(now - h.smoothed_at, tau);
  } else {
    h.smoothed_ms = median;
  }
  h.smoothed_at = now;
}

/// A head without a time is as old as the last change of its height.
void date_by_movement(HeadHistory& heads) {
  Head& newest = *heads.newest;
  if (newest.dated) return;
  const bool moved = !heads.previous || heads.previous->number != newest.number;
  newest.timestamp = moved ? heads.received.wall : heads.previous->timestamp;
}

void remember_block(ForkHistory& forks, const Head& head) {
  if (head.hash.empty()) return;
  const SeenBlock block{head.number, fnv1a(head.hash)};
  // A head that goes back, or is another one at the same height, has left the chain that the blocks from there were on.
  while (forks.seen_count > 0 && forks.seen[forks.seen_count - 1].number >= block.number) --forks.seen_count;
  if (forks.seen_count == forks.seen.size()) {
    std::ranges::rotate(forks.seen, forks.seen.begin() + 1);
    --forks.seen_count;
  }
  forks.seen[forks.seen_count++] = block;
}

}  // namespace

BackendHistory empty_history(std::size_t servers, std::size_t references) {
  BackendHistory out;
  out.servers.resize(servers);
  out.references.resize(references);
  return out;
}

BackendHistory empty_history(const config::Backend& backend) {
  return empty_history(backend.servers.size(), backend.references.size());
}

// Page's test in both directions.
bool level_has_changed(LevelTest& t, double sample, std::optional<double> previous, double learned) {
  if (t.count > 0) {
    const double off = sample - t.centre;
    // The centre of a few samples is no better known than they are spread.
    const double step = constants::kLevelStep / (t.spread * t.spread * (1.0 + 1.0 / t.count));
    const auto weigh = [&](double evidence, double distance) {
      const double news = step * (distance - constants::kLevelStep / 2);
      return std::max(0.0, evidence + std::min(news, constants::kLevelDecided * constants::kLevelSampleMost));
    };
    t.down = weigh(t.down, -off);
    t.up = weigh(t.up, off);
  }
  if (previous) {
    // From one to the next: a change of level is in one of these differences only.
    t.spread += (std::abs(sample - *previous) * constants::kLevelDeviation - t.spread) * learned;
    t.spread = std::max(t.spread, constants::kLevelSpreadLeast);
  }
  t.count = std::min(t.count + 1, constants::kLevelSamples);
  t.centre += (sample - t.centre) / t.count;
  return std::max(t.down, t.up) >= constants::kLevelDecided;
}

std::optional<microseconds> median_latency(const LatencyHistory& latency) {
  const auto& newest = latency.newest;
  switch (latency.count) {
    case 0:
      return std::nullopt;
    case 1:
      return newest[0];
    case 2:
      return (newest[0] + newest[1]) / 2;
    default: {
      auto sorted = newest;
      std::ranges::sort(sorted);
      return sorted[1];
    }
  }
}

void restart_latency(LatencyHistory& h, unsigned probes) {
  const unsigned kept = std::min(probes, h.count);
  if (kept == 0) return;
  const auto first = h.newest.begin() + (h.count - kept);
  std::copy(first, first + kept, h.newest.begin());
  h.count = kept;
  h.smoothed_ms = milliseconds_of(*median_latency(h));
  LevelTest& t = h.level;
  t = LevelTest{.spread = t.spread};
  for (unsigned i = 0; i < kept; ++i) t.centre += log_of(milliseconds_of(h.newest[i])) / kept;
  t.count = kept;
}

void restart_live_latency(LiveHistory& live) {
  live.timed = live.timed_ms = 0;
  live.latency_ms.reset();
}

Counts counts_at(const ErrorHistory& errors, MonoTime now) {
  const double left = decay(now - errors.counted_at, constants::kErrorHalfLife);
  return {errors.attempts * left, errors.failures * left};
}

void fold(TargetHistory& history, HeadObservation&& observation) {
  history.probes.sent_at.reset();
  const MonoTime now = observation.received.mono;
  if (!observation.head && observation.head.error().ours) {
    history.probes.not_sent = std::move(observation.head.error());
    return;
  }
  history.probes.not_sent.reset();
  ++history.probes.observations;
  const bool began_after = history.live.sizes.changed_at && *history.live.sizes.changed_at <= now - observation.latency;
  if (began_after && observation.head) history.live.sizes.changed_at.reset();
  if (!observation.head && observation.head.error().code == Reason::kRateLimited) {
    history.probes.limited = std::move(observation.head.error());
    ++history.probes.limited_in_row;
    history.probes.failure.reset();
    // It answers again: how long it was silent before says nothing about now.
    history.probes.unanswered_for = microseconds{0};
    return;
  }
  history.probes.limited.reset();
  history.probes.limited_in_row = 0;
  // What happens while it is out is paid for by its time-out and its ramp; the rate speaks of the time it was trusted.
  if (!history.ejection.is_out) count_attempt(history.errors, now, !observation.head);
  if (!observation.head) {
    history.probes.failure = std::move(observation.head.error());
    history.probes.unanswered_for = std::max(observation.latency, microseconds{0});
    // After a failure, check the chain id again: the URL may now serve another node.
    distrust_identity(history, now);
    history.forks.compared = false;
    return;
  }
  // The check that went out with a failed probe may have been refused as well: ask again now that the server answers.
  if (history.probes.failure && history.identity.check.refusals > 0) distrust_identity(history, now);
  history.probes.failure.reset();
  history.probes.unanswered_for = microseconds{0};
  history.heads.previous = std::exchange(history.heads.newest, std::move(*observation.head));
  history.heads.received = observation.received;
  date_by_movement(history.heads);
  if (came_from_future(history.heads)) history.heads.dated_ahead_at = now;
  remember_block(history.forks, *history.heads.newest);
  smooth_latency(history, now, std::max(observation.latency, microseconds{0}));
}

void distrust_identity(TargetHistory& history, MonoTime now) {
  history.identity.check.due = now;
  history.identity.check.refusals = 0;
}

bool must_tell_identity(const TargetHistory& history) {
  return history.identity.in_doubt && history.identity.status == IdentityHistory::Status::kVerified;
}

bool heads_contradict(const TargetHistory& history) {
  return history.heads.falls >= constants::kHeadFallsRecur;
}

namespace {

/// nullptr: kBlock's, which no target has, or that of a canary which is gone.
CheckState* check_state_of(TargetHistory& history, const Check& check) {
  switch (check.kind) {
    case CheckKind::kIdentity:
      return &history.identity.check;
    case CheckKind::kSyncing:
      return &history.node.syncing_check;
    case CheckKind::kPeers:
      return &history.node.peers_check;
    case CheckKind::kCanary:
      return check.argument < history.node.canaries.size() ? &history.node.canaries[check.argument].check : nullptr;
    case CheckKind::kBlock:
      return nullptr;
  }
  return nullptr;
}

void fold_identity(TargetHistory& history, const Answer& answer, const Chain& chain) {
  using Identity = IdentityHistory::Status;
  const MonoTime now = answer.received.mono;
  CheckState& check = history.identity.check;
  check.waiting = false;
  if (answer.value) {
    history.identity.seen = answer.value->text;
    const bool right = chain.identity.empty() || chain.identity == answer.value->text;
    history.identity.status = right ? Identity::kVerified : Identity::kWrong;
    history.identity.untold = history.identity.in_doubt = false;
    check.refusals = 0;
    if (!right) check.due = now;
    return;
  }
  const Reason why = answer.value.error().code;
  history.identity.untold = !is_transport(why) && why != Reason::kRateLimited;
  if (why != Reason::kRateLimited) history.identity.in_doubt = true;
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
  const bool head_comes = history.heads.newest && !history.probes.failure && !history.probes.limited;
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
      if (settle(history.node.syncing_check)) history.node.blocks_missing.reset();
      if (!answer.value) return;
      history.node.blocks_missing = answer.value->number;
      ++history.node.observations;
      return;
    case CheckKind::kPeers:
      if (settle(history.node.peers_check)) history.node.peers.reset();
      if (answer.value) history.node.peers = answer.value->number;
      return;
    case CheckKind::kCanary: {
      if (answer.check.argument >= history.node.canaries.size()) return;
      CanaryHistory& canary = history.node.canaries[answer.check.argument];
      canary.check.waiting = false;
      if (answer.value) {
        canary.failure.reset();
      } else if (answer.value.error().code != Reason::kRateLimited) {
        canary.failure = answer.value.error();
      } else {
        return;
      }
      ++history.node.observations;
      return;
    }
    case CheckKind::kBlock:
      return;
  }
}

bool came_from_future(const HeadHistory& heads) {
  return heads.newest && heads.newest->timestamp > heads.received.wall + constants::kClockTolerance;
}

TargetHistory awoken(TargetHistory&& history, milliseconds slept, Now now, bool clock_behind) {
  const bool from_future =
      !clock_behind && history.heads.newest && history.heads.newest->timestamp > now.wall + constants::kClockTolerance;
  if (slept <= constants::kSleepLongest && !from_future) return std::move(history);
  TargetHistory out = outlasting(std::move(history));
  // The first verdict decides alone, as for one that is new. Its ejections stay counted.
  out.ejection.is_out = false;
  out.live.ejected_because.clear();
  out.ejection.returned_at.reset();
  return out;
}

TargetHistory outlasting(TargetHistory&& was) {
  TargetHistory out;
  out.latency = was.latency;
  out.errors = was.errors;
  out.live = std::move(was.live);
  out.live.waiting_ms.reset();
  out.live.waiting_since.reset();
  out.live.aborts.reset();
  out.live.saturation.reset();
  out.ejection = was.ejection;
  return out;
}

BackendHistory with_servers(BackendHistory&& was, std::vector<TargetHistory>&& servers,
                            std::vector<TargetHistory>&& references, std::span<const std::optional<std::size_t>> from) {
  BackendHistory out = std::move(was);
  const std::size_t before = out.servers.size();
  out.servers = std::move(servers);
  out.references = std::move(references);
  forget_checks(out.forks);
  const auto map_each = [&]<typename T>(std::vector<T>& values) {
    std::vector<T> then = std::exchange(values, {});
    if (then.size() != before) return;
    for (const std::optional<std::size_t>& i : from) values.push_back(i ? then[*i] : T{});
  };
  map_each(out.shares.last);
  map_each(out.shares.scores);
  map_each(out.shares.kept);
  const auto map_one = [&](std::optional<std::uint32_t>& server) {
    const auto now = server ? std::ranges::find(from, std::optional<std::size_t>(*server)) : from.end();
    server = now == from.end() ? std::nullopt : std::optional(static_cast<std::uint32_t>(now - from.begin()));
  };
  map_one(out.leader.active.leader);
  map_one(out.leader.active.challenger);
  map_one(out.leader.backup);
  return out;
}

void forget_checks(TargetHistory& history) {
  history.probes.sent_at.reset();
  const auto forget = [](CheckState& check) {
    if (check.waiting) check = {};
  };
  forget(history.identity.check);
  forget(history.node.syncing_check);
  forget(history.node.peers_check);
  for (CanaryHistory& c : history.node.canaries) forget(c.check);
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
