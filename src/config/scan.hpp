#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace rpcw::config {

/// Tables and arrays within each other, and parts of a dotted key. Far above any configuration, and far below the
/// depth at which the TOML library's recursion ends the stack.
inline constexpr unsigned kMostLevels = 32;

/// A place that the TOML library must not be given. Debian's toml++ (3.3) recurses once for each part of a dotted key,
/// which its own limit of nesting does not count, and tells a stray character without its place.
struct Obstacle {
  enum class Kind : std::uint8_t {
    /// A character beyond ASCII outside of strings and comments, or in a multi-line string directly behind a backslash
    /// (and the line's end and blanks that it takes with it). Typically a typographic quotation mark.
    kStray,
    /// A key of more than `kMostLevels` parts, or as many arrays and inline tables within each other.
    kTooDeep,
  };
  Kind kind = Kind::kStray;
  /// In bytes from the beginning of the text.
  std::size_t offset = 0;
};

/// The first obstacle. Ends without one at an unfinished string, which the parser reports.
std::optional<Obstacle> find_obstacle(std::string_view text);

}  // namespace rpcw::config
