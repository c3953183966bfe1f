#pragma once

#include <string>

#include "config/config.hpp"

namespace rpcw::cli {

/// The program's understanding of a configuration, for a person: what `check` prints when all is well. At most 80
/// columns wide unless a single name or URL is longer. Holds no secret: URLs are redacted, of headers only the names
/// are shown.
std::string describe(const config::Config& config);

}  // namespace rpcw::cli
