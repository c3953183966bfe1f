#pragma once

#include <cstdint>
#include <string>

#include "config/config.hpp"

namespace rpcw::config {

/// The program's understanding of a configuration, for a person: what `check` prints when all is well. At most 80
/// columns wide unless a single name or URL is longer. Holds no secret: URLs are redacted, of headers only the names
/// are shown.
std::string describe(const Config& config);

/// How many requests a day the probes of a backend cost each of its providers, all being well: heads, identity,
/// sync state, peers and canaries. References are asked for heads and identity alone.
std::uint64_t probe_requests_per_day(const Config& config, const Backend& backend);

}  // namespace rpcw::config
