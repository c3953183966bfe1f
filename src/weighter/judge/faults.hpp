#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "config/config.hpp"
#include "weighter/judge/heads.hpp"
#include "weighter/state/history.hpp"
#include "weighter/state/reason.hpp"

/// What is wrong with a target by its own answers, and in which words. Live traffic is judged elsewhere (live.hpp).
namespace rpcw {

/// What a backend's targets are judged by at one moment. Refers to all that it is given.
struct Moment {
  const config::Backend& backend;
  const config::Probe& probe;
  const HeadView& heads;
  const BlockTime& measured;
  /// What a block is worth: see block_time_for_lag.
  milliseconds block_time{};
  Now now;
};

/// Why the target gets nothing at once, whatever its history: wrong chain, forked, or a head that cannot be. Absent:
/// nothing of the kind.
std::optional<ReasonNote> disqualification(const TargetHistory& target, const Moment& at);

/// What counts toward `fall`; empty: nothing, or nothing is known yet. Of a failed probe only that failure.
std::vector<ReasonNote> faults(const TargetHistory& target, const config::Target& config, const Moment& at);

/// How far the target's newest block is behind the agreed head, for a person. Precondition: it has shown a head.
std::string lag_text(const TargetHistory& target, const Moment& at);

}  // namespace rpcw
