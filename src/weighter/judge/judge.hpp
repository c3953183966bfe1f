#pragma once

#include "base/time.hpp"
#include "config/config.hpp"
#include "weighter/judge/live.hpp"
#include "weighter/judge/verdict.hpp"
#include "weighter/state/history.hpp"

/// From observations to verdicts. No I/O, no clock, no randomness: the time is an argument, and the same calls give the
/// same verdicts.
namespace rpcw {

/// Judges a backend's targets as they stand and counts the observations that came since the last call toward fall and
/// rise. `requests`: which ones HAProxy sends to a server.
BackendVerdict judge(BackendHistory& history, const config::Backend& backend, const config::Probe& probe, Now now,
                     Requests requests = Requests::kOfAll);

/// In [0, 1]: 1 up to one block and 2 s behind, then linear down to 0 at `max_lag`.
double freshness(milliseconds lag, milliseconds block_time, milliseconds max_lag);

}  // namespace rpcw
