#pragma once

#include <optional>
#include <vector>

#include "config/config.hpp"
#include "weighter/state/history.hpp"
#include "weighter/state/observation.hpp"

/// What a target is asked besides its head. Pure: the caller sends the questions.
namespace rpcw {

/// The checks that are due, marked as asked. References are asked for their identity alone: they have no weight.
/// None while the provider limits our rate, and none whose last answer has not come.
std::vector<Check> due_checks(TargetHistory& target, bool reference, const BlockTime& block_time,
                              const config::Backend& backend, MonoTime now);

/// How long after the last probe the next one is due: `fast_interval` while the server's state is in doubt. Probes must
/// not keep a rate limit alive: with each in a row they become rarer, or as the provider asks, within reason.
/// `outage`: how long no server of its backend has been healthy; absent: some server is.
milliseconds probe_interval(const TargetHistory& history, const config::Target& target, const config::Probe& probe,
                            MonoTime now, std::optional<MonoTime> outage = std::nullopt);

/// The interval of a server that has just returned, at most the usual one.
milliseconds return_interval(const config::Target& target, const config::Probe& probe);
/// The server returned so lately that this is its interval.
bool is_returning(const TargetHistory& history, const config::Target& target, const config::Probe& probe, MonoTime now);

}  // namespace rpcw
