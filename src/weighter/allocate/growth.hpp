#pragma once

#include <span>
#include <vector>

#include "weighter/allocate/allocation.hpp"

namespace rpcw {

/// Parts of the group's traffic by score (`scores` as `sharing`), each below what it may have now: it grows only so
/// fast, carries no more than its quota or plan, and not too much while faults come in rows. The sum is 1. Says in
/// `limited_by` what has cut a part off.
std::vector<double> grown_shares(Allocation& a, const Members& sharing, std::span<const double> scores);

}  // namespace rpcw
