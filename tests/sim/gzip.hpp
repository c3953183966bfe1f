#pragma once

#include <string>
#include <string_view>

namespace sim::detail {

std::string gzip(std::string_view data);

/// 64 MB of spaces in some 64 kB, made once.
const std::string& gzip_bomb();

}  // namespace sim::detail
