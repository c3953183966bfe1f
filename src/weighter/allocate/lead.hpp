#pragma once

#include "weighter/allocate/allocation.hpp"

namespace rpcw {

/// Strategy `leader`: one server of each group gets everything.
void lead(Allocation& a, const Members& active, const Members& backups);

}  // namespace rpcw
