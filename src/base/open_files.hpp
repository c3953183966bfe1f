#pragma once

#include <cstddef>
#include <expected>
#include <string>

namespace rpcw {

/// Raises the soft limit on open files as far as `wanted` needs. A sentence with the numbers when the hard limit is
/// too low.
std::expected<void, std::string> ensure_open_files(std::size_t wanted);

}  // namespace rpcw
