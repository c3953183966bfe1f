#pragma once

#include <cstddef>
#include <string>
#include <string_view>

/// UTF-8 text in a terminal's columns: one for each code point, as the program's own texts have no wider characters.
namespace rpcw {

std::size_t columns_of(std::string_view text);
/// Its first so many columns, or all of it.
std::string first_columns(std::string_view text, std::size_t columns);
/// With blanks at its end until it has so many; longer text stays as it is.
std::string padded_to(std::string_view text, std::size_t columns);

}  // namespace rpcw
