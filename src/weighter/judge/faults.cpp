#include "weighter/judge/faults.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/text.hpp"
#include "weighter/constants.hpp"

namespace rpcw {
namespace {

using std::chrono::duration_cast;

bool lags_too_far(const TargetHistory& t, const Moment& at) {
  const std::uint64_t blocks = t.heads.lag_blocks.value_or(0);
  // A single block of distance is where two good nodes stand when one has just been made.
  const bool in_time = blocks > 1 && lag_time(blocks, at.block_time) > at.backend.chain.max_lag;
  return in_time || (at.backend.max_block_lag && blocks > *at.backend.max_block_lag);
}

}  // namespace

std::optional<ReasonNote> disqualification(const TargetHistory& t, const Moment& at) {
  if (t.identity.status == IdentityHistory::Status::kWrong)
    return ReasonNote{Reason::kWrongChain, fmt::format("answers for chain {}, {} is {}", t.identity.seen,
                                                       at.backend.chain.name, at.backend.chain.identity)};
  if (!t.forks.minority.empty()) return ReasonNote{Reason::kForked, t.forks.minority};
  if (!t.heads.newest || t.probes.failure) return std::nullopt;
  if (!at.heads.clock_behind && came_from_future(t.heads))
    return ReasonNote{Reason::kBlockAhead,
                      fmt::format("head {} was dated {} in the future when it came", t.heads.newest->number,
                                  span_text(t.heads.newest->timestamp - t.heads.received.wall))};
  if (at.heads.agreed && t.heads.newest->number > at.heads.agreed->number) {
    const std::uint64_t ahead = t.heads.newest->number - at.heads.agreed->number;
    // Its date tells a liar from one that is back first after an outage of all: then the agreed head is the old one.
    if (!rise_explained(ahead, t.heads.newest->timestamp - at.heads.agreed_timestamp, at.block_time,
                        at.backend.chain.max_lag))
      return ReasonNote{Reason::kBlockAhead,
                        fmt::format("head {} is {} blocks ahead of {}, on which {} agree{}", t.heads.newest->number,
                                    ahead, at.heads.agreed->number, counted(at.heads.agreed->agreed_by, "operator"),
                                    at.heads.agreed->agreed_by == 1 ? "s" : "")};
  }
  if (t.heads.jumped && t.heads.previous)
    return ReasonNote{Reason::kBlockAhead,
                      fmt::format("head {} rose faster than the block time allows, and no other operator confirms it",
                                  t.heads.newest->number)};
  return std::nullopt;
}

std::vector<ReasonNote> faults(const TargetHistory& t, const config::Target& target, const Moment& at) {
  std::vector<ReasonNote> out;
  if (t.probes.failure) {
    out.push_back({t.probes.failure->code, t.probes.failure->detail});
    return out;
  }
  if (!t.heads.newest) return out;
  const milliseconds age = std::max(at.now.wall - t.heads.newest->timestamp, milliseconds{0});
  if (at.backend.chain.max_block_age && !at.heads.clock_ahead &&
      too_old(t, *at.backend.chain.max_block_age, config::interval_of(target, at.probe), at.now))
    out.push_back({Reason::kBlockTooOld, fmt::format("block {} is {} old, limit {}", t.heads.newest->number,
                                                     span_above(age, *at.backend.chain.max_block_age),
                                                     span_text(*at.backend.chain.max_block_age))});
  if (heads_contradict(t))
    out.push_back({Reason::kBlockLag, fmt::format("its head falls back by more than max_lag again and again, {} of {} "
                                                  "heads in a row did not: two pools of nodes may answer here",
                                                  t.heads.steady, constants::kSteadyHeads)});
  else if (lags_too_far(t, at))
    out.push_back({Reason::kBlockLag, lag_text(t, at)});
  if (const auto median = median_latency(t.latency); median && *median > at.backend.max_latency)
    out.push_back(
        {Reason::kLatencyTooHigh, fmt::format("{} (median of {}), limit {}",
                                              span_above(duration_cast<milliseconds>(*median), at.backend.max_latency),
                                              t.latency.count, span_text(at.backend.max_latency))});
  if (says_it_is_syncing(t, at.measured, at.backend))
    out.push_back(
        {Reason::kSyncing, *t.node.blocks_missing == kUnknownGap
                               ? "the node says that it is still syncing"
                               : fmt::format("the node says that it lacks {} blocks", *t.node.blocks_missing)});
  for (std::size_t k = 0; k < t.node.canaries.size(); ++k)
    if (const auto& failure = t.node.canaries[k].failure)
      out.push_back({Reason::kCanaryFailed, fmt::format("{}: {}: {}", config::name_of(at.backend.canaries[k]),
                                                        to_string(failure->code), failure->detail)});
  return out;
}

std::string lag_text(const TargetHistory& t, const Moment& at) {
  const std::uint64_t blocks = t.heads.lag_blocks.value_or(0);
  std::string limit = span_text(at.backend.chain.max_lag);
  if (at.backend.max_block_lag) limit += fmt::format(" or {} blocks", *at.backend.max_block_lag);
  return fmt::format("{} ({}) behind {}, limit {}", counted(blocks, "block"),
                     span_text(lag_time(blocks, at.block_time)), t.heads.newest->number + blocks, limit);
}

}  // namespace rpcw
