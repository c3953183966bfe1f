#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "config/config.hpp"
#include "weighter/state/history.hpp"

/// The agreed head of a backend, and what its providers' heads say of each other.
namespace rpcw {

struct AgreedHead {
  std::uint64_t number = 0;
  /// Operators that have reached it.
  unsigned agreed_by = 0;

  friend bool operator==(const AgreedHead&, const AgreedHead&) = default;
};

/// An operator's vote on the head. Two keys at one vendor have one vote.
struct Vote {
  std::string_view operator_name;
  std::uint64_t number = 0;
  /// Wall clock minus the head's timestamp.
  milliseconds age{0};
};

/// One operator: its own head. Two: the higher one, unless they are more than `max_lag` apart. Three or more: the
/// highest number that two have reached, so that one liar cannot move it, unless as many or more contradict: their
/// heads are more than `max_lag` below and too fresh for the chain to have gone that far since. Then a majority of
/// those that contradict counts. Absent: there is none, or no operator voted.
std::optional<AgreedHead> agree_on_head(std::span<const Vote> votes, milliseconds block_time, milliseconds max_lag);

/// A backend's heads at one moment.
struct HeadView {
  std::optional<AgreedHead> agreed;
  /// Timestamp of the agreed head; of several heads of that number, the latest.
  WallTime agreed_timestamp{};
  /// The highest head that is younger than max_lag, and no higher than its date explains. Absent: there is none. One
  /// server alone may show it, so it ejects no other server. Servers whose blocks are older lose freshness by it.
  std::optional<Head> furthest;
  /// Operators are too far apart, and none of their heads has a majority.
  bool no_quorum = false;
  /// An operator that is within max_lag of the agreed head, empty: none is; and whether another one is, too.
  std::string_view near_operator;
  bool several_near = false;
  /// Two operators or more have fresh heads, they agree, and all of them are too old: the chain stands still, or our
  /// clock is wrong.
  bool halted = false;
  /// The same, but the agreed head rises: this machine's clock is ahead, or the chain's dates are late. Only lag tells.
  bool clock_ahead = false;
  /// The heads of most operators, two or more, came from the future: this machine's clock is behind.
  bool clock_behind = false;
  /// It was not known before: dates have ejected servers that are not to blame.
  bool clock_found_behind = false;

  /// Whether an operator other than this one is within max_lag of the agreed head.
  [[nodiscard]] bool others_near(std::string_view operator_name) const {
    return several_near || (!near_operator.empty() && near_operator != operator_name);
  }
};

/// Finds the agreed head, marks heads that jumped further than time explains, measures the block time, and compares
/// chains when that is due.
HeadView scan_heads(BackendHistory& history, const config::Backend& backend, const config::Probe& probe, Now now);

/// Whether `blocks` can have been made while timestamps advanced by `dated`: at most kExplainedPace times as fast as
/// the block time says, plus max_lag.
bool rise_explained(std::uint64_t blocks, milliseconds dated, milliseconds block_time, milliseconds max_lag);

/// Whether the target's newest block is older than `limit`. A slow probe interval must not age a block: of the time
/// since the answer at most one `interval`, the part of it above half of `limit`, is not counted.
bool too_old(const TargetHistory& target, milliseconds limit, milliseconds interval, Now now);

/// Blocks as time; far beyond any limit for a large number of them, and never out of range.
milliseconds lag_time(std::uint64_t blocks, milliseconds block_time);

/// Whether the node itself says that it is further behind than max_lag, and its head does not show the contrary.
bool says_it_is_syncing(const TargetHistory& target, const BlockTime& block_time, const config::Backend& backend);

}  // namespace rpcw
