#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "config/config.hpp"
#include "weighter/state/history.hpp"

/// What the providers' heads say together.
namespace rpcw {

struct AgreedHead {
  std::uint64_t number = 0;
  /// Operators that have reached it.
  unsigned agreed_by = 0;

  friend bool operator==(const AgreedHead&, const AgreedHead&) = default;
};

/// An operator's opinion on the head. Two keys at one vendor are one voice.
struct Voice {
  std::string_view operator_name;
  std::uint64_t number = 0;
};

/// Three operators or more: the highest number that at least two have reached, so that one liar cannot move it. Two:
/// the higher one, unless they are more than `max_lag_blocks` apart, when nobody can tell who is right (absent). One:
/// its own. None: absent.
std::optional<AgreedHead> agree_on_head(std::span<const Voice> voices, double max_lag_blocks);

/// What a backend's heads say at one moment.
struct HeadView {
  std::optional<AgreedHead> agreed;
  /// Of the agreed head; of several that have just reached it, the latest.
  WallTime agreed_timestamp{};
  /// Two operators are too far apart and nobody else can tell who is right.
  bool no_quorum = false;
  /// Two operators or more have fresh heads, they agree, and all of them are too old: the chain stands still, or our
  /// clock is wrong.
  bool halted = false;
  /// Two operators or more have fresh heads, and all of them lie in the future: this machine's clock is behind.
  bool clock_behind = false;
};

/// Finds the agreed head, marks heads that jumped further than time explains, measures the block time, and compares
/// chains when that is due.
HeadView look_at_heads(BackendHistory& history, const config::Backend& backend, const config::Probe& probe, Now now);

/// Whether blocks can have been made so fast: what they cover by the block time is at most a few times what their
/// timestamps advance, plus max_lag.
bool rise_explained(std::uint64_t blocks, milliseconds dated, milliseconds block_time, milliseconds max_lag);

/// Whether `head` is dated further into the future than a clock may be off.
bool in_future(const Head& head, Now now);

/// Blocks as time, saturating.
milliseconds lag_time(std::uint64_t blocks, milliseconds block_time);

}  // namespace rpcw
