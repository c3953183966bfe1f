#pragma once

#include <string>

#include "config/context.hpp"

namespace rpcw::config {

/// What servers and references have in common: url or url_file, headers, operator.
void read_target(Reader& r, const Context& context, Target& out);

/// The URL template of `discover`; empty when it is wrong.
std::string read_discover(Reader& r, const Context& context, const Found<std::string>& from);

}  // namespace rpcw::config
