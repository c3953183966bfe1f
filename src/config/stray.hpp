#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace rpcw::config {

/// The offset of the first character beyond ASCII that stands where TOML has none: outside of strings and comments, or
/// in a multi-line string directly behind a backslash (and the line's end and blanks that it takes with it). Typically
/// a typographic quotation mark. Ends without a finding at an unfinished string, which the parser reports.
std::optional<std::size_t> find_stray_character(std::string_view text);

}  // namespace rpcw::config
