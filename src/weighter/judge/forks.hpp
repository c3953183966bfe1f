#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "weighter/state/history.hpp"
#include "weighter/state/observation.hpp"

/// Tells which target is on which chain. Heads alone cannot: a node on a fork goes on making blocks at the same pace.
/// So hashes are compared at one height that all have passed long enough ago. Most of these checks are saved by the
/// heads that probes bring anyway: two targets are on one chain when one has shown the other's newest block.
namespace rpcw {

/// A target with a head that others can be compared with.
struct ForkVote {
  /// Servers count from 0, references on from there.
  std::uint32_t member = 0;
  std::string_view operator_name;
};

/// Ends a comparison whose answers are all there, or that has waited too long. Of at least three operators, those
/// against a majority are `forked`. Without a majority it is a tie, which is noted and changes nothing.
void end_fork_check(BackendHistory& history, const config::Backend& backend, const config::Probe& probe, MonoTime now);

/// Begins a comparison when one is due, a target was never compared, or heads contradict each other; another one when
/// the height where they do is deep enough.
/// `votes`: the targets within max_lag of the agreed head.
void scan_for_forks(BackendHistory& history, const config::Backend& backend, std::span<const ForkVote> votes,
                    MonoTime now);

/// The target's URL may serve another chain by now: the chain id is due, but not sooner than `least` after the last
/// check of it.
void recheck_identity(TargetHistory& target, MonoTime now, milliseconds least);

struct BlockCheck {
  /// Servers count from 0, references on from there.
  std::uint32_t member = 0;
  Check check;
};
/// The hashes to ask for now, marked as asked; empty: none.
std::vector<BlockCheck> fork_checks(BackendHistory& history);

/// Folds the answer to one of these checks in. An answer that the comparison does not wait for any more is dropped.
void fold_block(BackendHistory& history, std::uint32_t member, const Answer& answer);

}  // namespace rpcw
