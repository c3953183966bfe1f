#pragma once

#include <string_view>

namespace rpcw {

/// The program's version as in CMakeLists.txt, such as "0.1.0".
std::string_view version();

}  // namespace rpcw
