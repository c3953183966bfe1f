#include "base/columns.hpp"

#include <algorithm>

namespace rpcw {
namespace {

/// All but the first byte of a code point are 10xxxxxx.
bool begins_code_point(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
}

}  // namespace

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, begins_code_point));
}

std::string first_columns(std::string_view text, std::size_t columns) {
  const auto end = std::ranges::find_if(text, [&](char c) { return begins_code_point(c) && columns-- == 0; });
  return {text.begin(), end};
}

std::string padded_to(std::string_view text, std::size_t columns) {
  std::string out(text);
  out.append(columns - std::min(columns, columns_of(text)), ' ');
  return out;
}

}  // namespace rpcw
