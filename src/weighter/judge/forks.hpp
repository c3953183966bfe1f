#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "weighter/state/history.hpp"
#include "weighter/state/observation.hpp"

/// Tells which target is on which chain. Heads alone cannot: a node that was left behind on a fork goes on making
/// blocks at the same pace. Hashes are compared at one height that all have passed long enough ago. What the probes
/// have brought anyway saves most questions: two targets of which one has shown the other's newest block are on one
/// chain.
namespace rpcw {

/// A target with a head that others can be compared with.
struct ForkVote {
  /// Servers count from 0, references on from there.
  std::uint32_t member = 0;
  std::string_view operator_name;
};

/// Ends a comparison whose answers are all there, or that has waited too long: of at least three operators, those
/// against a majority are `forked`; without a majority that is a tie, which is noted and changes nothing.
void end_fork_check(BackendHistory& history, const config::Backend& backend, const config::Probe& probe, MonoTime now);

/// Begins a comparison when one is due, a target was never compared, or heads contradict each other.
/// `votes`: of the targets within max_lag of the agreed head.
void scan_for_forks(BackendHistory& history, const config::Backend& backend, std::span<const ForkVote> votes,
                    MonoTime now);

/// The target may be another chain by now: its identity is due, but not sooner than `least` after the last time.
void ask_who_it_is(TargetHistory& target, MonoTime now, milliseconds least);

struct BlockCheck {
  /// Servers count from 0, references on from there.
  std::uint32_t member = 0;
  Check check;
};
/// The hashes to ask for now, marked as asked; empty: none.
std::vector<BlockCheck> fork_checks(BackendHistory& history);

/// Folds the answer to one of them in; one that is not waited for any more is dropped.
void fold_block(BackendHistory& history, std::uint32_t member, const Answer& answer);

}  // namespace rpcw
