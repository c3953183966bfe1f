#pragma once

#include <string_view>

namespace rpcw::cli {

/// Writes results to standard output; throws std::runtime_error when it cannot be written.
void print(std::string_view text);

}  // namespace rpcw::cli
