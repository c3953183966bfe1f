#pragma once

#include <optional>
#include <vector>

#include "config/config.hpp"
#include "weighter/state/history.hpp"
#include "weighter/state/observation.hpp"

/// Which checks a target gets besides its head, and when. Pure: the caller sends them.
namespace rpcw {

/// The checks that are due, marked as sent. A reference has no weight, so only its identity is checked. None while the
/// provider limits our rate, and none whose last answer has not come.
std::vector<Check> due_checks(TargetHistory& target, bool reference, const BlockTime& block_time,
                              const config::Backend& backend, MonoTime now);

/// How long after the last probe the next one is due: `fast_interval` while the server's state is in doubt. Probes must
/// not keep a rate limit alive: the interval doubles with each one in a row, or is as long as the provider asks, at
/// most kLongestRetryAfter. `outage`: how long no server of its backend has been healthy; absent: some server is.
milliseconds probe_interval(const TargetHistory& history, const config::Target& target, const config::Probe& probe,
                            MonoTime now, std::optional<MonoTime> outage = std::nullopt);

/// The interval of a server that has just returned, at most the usual one.
milliseconds return_interval(const config::Target& target, const config::Probe& probe);
/// Whether the server returned so lately that `return_interval` is its interval.
bool is_returning(const TargetHistory& history, const config::Target& target, const config::Probe& probe, MonoTime now);

}  // namespace rpcw
