#pragma once

#include "base/time.hpp"
#include "weighter/state/history.hpp"
#include "weighter/state/live_delta.hpp"

/// What a provider carries: it answers what is beyond that with 4xx, or lets it wait.
namespace rpcw {

/// Follows how a server answers while requests wait there. `left`: the part that is left of what was known at the read
/// before, `seconds` ago.
void note_saturation(TargetHistory& target, const LiveDelta& delta, double seconds, double left);

/// What was answered with something else than a 4xx since the read before, `seconds` ago, a second. The memory of some
/// seconds still holds what came before a limit was met, but where another HAProxy was read in between, this one has
/// counted over a longer time, and only a part of the requests.
double carried(const LiveHistory& live, const LiveDelta& delta, double seconds);

/// Follows a provider's quota: down at once to what it has carried, and up again in steps that are small at first and
/// become rarer with each time the limit is met, so that traffic stays at the limit instead of swinging around it.
/// `everywhere`: the rate of 4xx that all servers show, since the requests are bad. `carried_per_s`: what was answered
/// since the last read. `fair_per_s`: an equal part of the backend's requests. A server that lets requests wait instead
/// of refusing them has met its limit too.
void steer_quota(LiveHistory& live, double everywhere, double carried_per_s, double total_per_s, double fair_per_s,
                 MonoTime now);

/// A probe met the limit. `left`: the part of the quota, or of what is sent, that is left. Nothing happens while the
/// last change has not shown yet.
void lower_quota(LiveHistory& live, double left, MonoTime now);

}  // namespace rpcw
