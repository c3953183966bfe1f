#pragma once

#include <string>
#include <string_view>

#include "config/reader.hpp"

namespace rpcw::config {

/// A JSON pointer (RFC 6901) of at most eight steps. A missing one that is needed is an error.
void read_pointer(Reader& r, std::string_view key, std::string& out, bool needed);

}  // namespace rpcw::config
