#pragma once

#include <cstdint>

namespace rpcw::bench {

/// Calls of `operator new` by this thread since it began; what is given back is not taken off.
std::uint64_t allocations();

}  // namespace rpcw::bench
