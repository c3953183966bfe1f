#pragma once

#include "weighter/allocate/allocation.hpp"

namespace rpcw {

/// Fewer than min_healthy are healthy: targets as the configuration's `fallback` has them, for servers of the best
/// standing that HAProxy can use. Sets `out.fallback` to what is done, which is kEqual where nothing could be kept.
void fall_back(Allocation& a, const Members& active, const Members& backups);

}  // namespace rpcw
