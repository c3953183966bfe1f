#pragma once

#include "weighter/allocate/allocation.hpp"

namespace rpcw {

/// Which tiers of the active servers serve: the lowest ones with min_healthy healthy servers between them. A higher
/// tier joins at once, and leaves after kTierSpareFor.
void choose_tier(Allocation& a, const Members& active);

}  // namespace rpcw
