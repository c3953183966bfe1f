#pragma once

#include <string>

#include "config/context.hpp"

namespace rpcw::config {

/// Reads the keys that servers and references have in common: url or url_file, headers, operator, interval, budget.
/// `needs_url`: it is an error if neither is there; else the URL is empty then.
void read_target(Reader& r, const Context& context, Target& out, bool needs_url = true);

/// The URL template of `discover`; empty when it is wrong.
std::string read_discover(Reader& r, const Context& context, const Found<std::string>& from);

/// Headers that hold no secret: no variables, no check of what stands in the file.
void read_plain_headers(Reader& r, const Node& table, Headers& out);

}  // namespace rpcw::config
