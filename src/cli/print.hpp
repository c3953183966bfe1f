#pragma once

#include <string_view>

#include "observe/render.hpp"

namespace rpcw::cli {

/// As the terminal or file that standard output is allows, and the environment wants.
observe::TableStyle table_style();
/// To standard output, at once. Throws std::runtime_error.
void print(std::string_view text);

}  // namespace rpcw::cli
