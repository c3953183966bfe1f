#pragma once

#include <span>
#include <vector>

namespace rpcw {

/// A server's claim to its backend's traffic.
struct TrafficClaim {
  unsigned weight = 0;
  bool backup = false;
  bool disabled = false;
};

/// Each server's part of the traffic, in [0, 1], as HAProxy divides it: by weight among the active servers, or among
/// the backups where no active one has any. Disabled ones get nothing. `others`: the weight of active servers that are
/// not listed.
std::vector<double> traffic_shares(std::span<const TrafficClaim> servers, unsigned others = 0);

}  // namespace rpcw
