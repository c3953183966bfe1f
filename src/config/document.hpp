#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

/// A TOML document as plain values with their places. It keeps the TOML library in one translation unit, and everything
/// else free of its templates.
namespace rpcw::config {

/// From 1; 0 when there is none.
struct Place {
  unsigned line = 0;
  unsigned column = 0;

  friend auto operator<=>(const Place&, const Place&) = default;
};

struct Member;

struct Node {
  enum class Kind : std::uint8_t { kString, kInteger, kFloat, kBoolean, kDate, kArray, kTable };

  Kind kind = Kind::kTable;
  Place place;
  std::string text;
  std::int64_t integer = 0;
  double number = 0;
  bool boolean = false;
  /// Of an array.
  std::vector<Node> items;
  /// Of a table, in the order of the file.
  std::vector<Member> members;

  [[nodiscard]] const Member* find(std::string_view key) const;
};

struct Member {
  std::string key;
  Place place;
  Node value;
};

/// "a string", "an integer", …
std::string_view kind_name(Node::Kind kind);

struct SyntaxError {
  Place place;
  /// Shows no text of the file beyond single characters and the names of keys.
  std::string message;
};

/// Far above any configuration; what a larger file makes of itself in memory is many times its size.
inline constexpr std::size_t kMostTextBytes = std::size_t{1} << 20U;

/// A text that is longer than `kMostTextBytes` or nested more deeply than 32 levels is refused too.
std::expected<Node, SyntaxError> parse_document(std::string_view text);

}  // namespace rpcw::config
