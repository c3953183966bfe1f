#pragma once

#include <cstdint>

#include "config/config.hpp"

/// How often each target is probed, and what that costs. Pure.
namespace rpcw {

/// Requests a day to one target, all being well.
struct Bill {
  std::uint64_t heads = 0;
  std::uint64_t identity = 0;
  /// Sync state, and peers where they matter.
  std::uint64_t node_state = 0;
  std::uint64_t canaries = 0;

  [[nodiscard]] std::uint64_t sum() const { return heads + identity + node_state + canaries; }
  Bill& operator+=(const Bill& more);
};

/// With a head each `interval`. References are asked for heads and identity alone. Block hashes, which tell forks, are
/// not counted: as long as providers show each other's blocks none is asked for.
Bill bill_of(const config::Backend& backend, bool reference, milliseconds interval);

/// The pace of one target. Its interval is the one that its table names, else that of [probe]; "auto" is kOwnEvery for
/// a host of the own network and [probe]'s for all others. A budget makes an interval that the file names no shorter;
/// with "auto" the interval is as short as the budget allows, and at least kOwnEvery. The budget of [probe] is none of
/// a host of the own network whose interval is "auto".
config::Pace pace_of(const config::Target& target, bool reference, const config::Backend& backend,
                     const config::Probe& probe);

/// Whether its interval follows from its address: "auto", and no budget of its own.
bool paced_by_address(const config::Target& target, const config::Probe& probe);
/// A pace with this interval and no budget.
config::Pace pace_with(milliseconds interval, const config::Probe& probe);

/// Sets the pace of all targets with a URL or a table of their own. Servers that `discover` finds get theirs when they
/// are found.
void set_paces(config::Config& config);

}  // namespace rpcw
