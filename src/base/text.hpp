#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/time.hpp"

/// Text that several layers write and compare in the same way.
namespace rpcw {

/// ASCII letters in lower case; other bytes stay, whatever the locale.
constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
std::string lower(std::string_view text);

/// Well-formed UTF-8 by RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF.
bool is_utf8(std::string_view text);

/// Text from outside as a terminal or a log may have it: control characters, and the characters that no one sees or
/// that turn the direction of writing, as `\x1b` and `\u202e`. What is no UTF-8 goes byte by byte.
std::string harmless(std::string_view text);

/// As one word of a shell: in '…'.
std::string shell_quoted(std::string_view text);

/// A numeric IPv4 or IPv6 address, the latter without brackets.
bool is_ip_address(const std::string& host);

/// "2026-01-31 23:59:59.123", UTC.
std::string date_and_time(WallTime time);
/// "2026-01-31T23:59:59.123Z" (RFC 3339).
std::string rfc3339(WallTime time);

/// "850 ms", "2.5 s", "90 s", "12 min", "3 h", "5 d": rounded to what a person needs.
std::string span_text(milliseconds span);
/// Of one above a limit: "more than 2 h" where it would read the same as the limit.
std::string span_above(milliseconds span, milliseconds limit);

/// "1 weight", "3 weights": a number and its noun, whose plural ends in s.
std::string counted(std::uint64_t number, std::string_view noun);

/// "a, b, c and 7 more": as many names as are shown, and the number of the rest.
class NameList {
 public:
  explicit NameList(std::size_t most_shown = 5) : most_shown_(most_shown) {}

  /// `remark` follows the name where it is shown.
  void add(std::string_view name, std::string_view remark = {});
  [[nodiscard]] std::size_t count() const { return count_; }
  /// Empty: no name was added.
  [[nodiscard]] std::string text() const;

 private:
  std::size_t most_shown_;
  std::size_t count_ = 0;
  std::string shown_;
};

/// FNV-1a of `text`, after `basis` (http://www.isthe.com/chongo/tech/comp/fnv/). The same on every machine. No defence
/// against a peer that looks for collisions.
inline constexpr std::uint64_t kFnvBasis = 14695981039346656037U;
std::uint64_t fnv1a(std::string_view text, std::uint64_t basis = kFnvBasis);

/// "localhost", an IPv4 address 127.*, or ::1 with or without brackets: an address of this machine alone.
bool is_loopback(std::string_view host);
/// A host as URLs have it: an IPv6 address in brackets.
std::string url_host(std::string_view host);

}  // namespace rpcw
