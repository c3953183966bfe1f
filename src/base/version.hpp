#pragma once

#include <string_view>

namespace rpcw {

/// The program's version as in CMakeLists.txt, such as "0.1.0".
std::string_view version();
/// The commit that was built, as `git describe` shows it; empty: not known.
std::string_view revision();

}  // namespace rpcw
