#pragma once

#include <string>
#include <string_view>

namespace rpcw {

/// At least one digit, and nothing else.
bool is_hex(std::string_view digits);
std::string_view without_0x(std::string_view text);

// Hexadecimal texts as they are compared. Empty: the text is none.

/// Any number of digits, with or without 0x; without it, in lower case.
std::string hex_text(std::string_view text);
/// 0x and 64 digits; in lower case.
std::string hash_text(std::string_view text);
/// A number with or without 0x: 0x and lower-case digits without leading zeros.
std::string felt_text(std::string_view text);

}  // namespace rpcw
