#include "base/hex.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace rpcw {

bool is_hex(std::string_view digits) {
  return !digits.empty() && digits.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

std::string_view without_0x(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  return text;
}

std::string hex_text(std::string_view text) {
  return is_hex(without_0x(text)) ? lower(without_0x(text)) : std::string();
}

std::string hash_text(std::string_view text) {
  return text.size() == 66 && text.starts_with("0x") && is_hex(without_0x(text)) ? lower(text) : std::string();
}

std::string felt_text(std::string_view text) {
  std::string_view digits = without_0x(text);
  if (!is_hex(digits)) return {};
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size() - 1));
  return "0x" + lower(digits);
}

}  // namespace rpcw
