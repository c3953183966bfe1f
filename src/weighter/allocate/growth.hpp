#pragma once

#include <span>
#include <vector>

#include "weighter/allocate/allocation.hpp"

namespace rpcw {

/// Parts of the group's traffic by score, which add up to 1. Each stays below the server's limits: growth, quota, plan,
/// and half of the traffic while faults come in rows. `scores` are in the order of `sharing`. Sets `limited_by`.
std::vector<double> grown_shares(Allocation& a, const Members& sharing, std::span<const double> scores);

}  // namespace rpcw
