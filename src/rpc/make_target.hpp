#pragma once

#include <span>

#include "config/chain.hpp"
#include "config/config.hpp"
#include "rpc/http_client.hpp"

namespace rpcw::rpc {

/// A target whose `scrub` knows all that is sent to it or to the proxy before it: its URL and headers, the canaries,
/// the requests of a family of the configuration's own, user info of the proxy. Throws what HttpTarget's constructor
/// throws.
HttpTarget make_target(const config::Target& target, std::span<const config::Canary> canaries, const Chain& chain,
                       const config::Probe& settings);

}  // namespace rpcw::rpc
