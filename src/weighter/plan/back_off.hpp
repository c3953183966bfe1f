#pragma once

#include "base/time.hpp"
#include "config/config.hpp"
#include "weighter/state/exchange.hpp"

namespace rpcw {

/// How long to wait after a failed exchange before the next attempt: `watch_interval`, doubled with each failure in a
/// row up to 5 s (or `watch_interval`, if that is longer). A local HAProxy that refuses or drops the connection is
/// tried every `watch_interval`: that costs nothing, and its weights are back sooner after a restart. `before`: the
/// wait after the failure before this one; 0: there was none.
milliseconds next_back_off(const config::Endpoint& endpoint, haproxy::Error error, milliseconds before,
                           milliseconds watch_interval);

}  // namespace rpcw
