#pragma once

#include "weighter/time.hpp"

/// How often a provider is asked for what is not its head. The prober keeps to it, and `check` counts with it what the
/// probes cost.
namespace rpcw {

/// Chain id. A provider that is moved to another chain under the same URL is found within this time.
inline constexpr milliseconds kIdentityEvery{60'000};
/// Sync state and number of peers: they change slowly, and many providers answer neither.
inline constexpr milliseconds kNodeStateEvery{300'000};

}  // namespace rpcw
