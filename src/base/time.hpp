#pragma once

#include <chrono>
#include <cstdint>

namespace rpcw {

using std::chrono::milliseconds;

/// Wall clock: what block timestamps are compared with. It may jump in either direction.
using WallTime = std::chrono::sys_time<milliseconds>;

/// Monotonic clock since an arbitrary start: what intervals and decay are measured with. It never goes back.
using MonoTime = std::chrono::duration<std::int64_t, std::micro>;

/// Both clocks at one moment. The pure parts take it as an argument and never read a clock themselves.
struct Now {
  WallTime wall{};
  MonoTime mono{};
};

}  // namespace rpcw
