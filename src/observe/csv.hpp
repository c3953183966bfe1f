#pragma once

#include <string>
#include <string_view>

namespace rpcw::observe {

/// A field of a CSV row, in quotes where RFC 4180 wants them.
inline std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

}  // namespace rpcw::observe
