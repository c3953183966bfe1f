#pragma once

#include "weighter/state/history.hpp"

/// How much traffic a server has, and how long it usually takes.
namespace rpcw {

/// 0 where the whole is 0.
double ratio(double part, double whole);

/// Requests a second; 0: nothing was measured. Right from the first read on, as counts and seconds fade alike.
double rate_of(const LiveHistory& live);

/// How long an answer takes, in ms; 0: not known. A server that has become slower is so for probes as well.
double usual_ms(const TargetHistory& target);

}  // namespace rpcw
