#pragma once

#include <string>

#include "config/config.hpp"

namespace rpcw::cli {

/// Asks every server of backends whose family is defined in the file once for everything, and says what stands at each
/// of the family's pointers. Empty: there is no such backend.
std::string read_pointers(const config::Config& config);

}  // namespace rpcw::cli
