#include "base/text.hpp"

#include <arpa/inet.h>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <cstring>

namespace rpcw {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = lower(c);
  return out;
}

// RapidJSON's own check takes three times as long as parsing itself. Nearly all text is ASCII, taken 64 bytes at a
// time.
bool is_utf8(std::string_view text) {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = at + text.size();
  while (at != end) {
    std::array<std::uint64_t, 8> words;  // NOLINT: written below
    while (end - at >= static_cast<std::ptrdiff_t>(sizeof words)) {
      std::memcpy(words.data(), at, sizeof words);
      std::uint64_t bits = 0;
      for (const std::uint64_t w : words) bits |= w;
      if ((bits & 0x8080808080808080U) != 0) break;
      at += sizeof words;
    }
    if (at == end) break;
    const unsigned first = *at++;
    if (first < 0x80) continue;
    // Of the second byte: the ranges that leave out overlong forms, surrogates and what is above U+10FFFF.
    unsigned low = 0x80;
    unsigned high = 0xBF;
    int more = 0;
    if (first >= 0xC2 && first <= 0xDF) {
      more = 1;
    } else if (first >= 0xE0 && first <= 0xEF) {
      more = 2;
      if (first == 0xE0) low = 0xA0;
      if (first == 0xED) high = 0x9F;
    } else if (first >= 0xF0 && first <= 0xF4) {
      more = 3;
      if (first == 0xF0) low = 0x90;
      if (first == 0xF4) high = 0x8F;
    } else {
      return false;
    }
    for (; more > 0; --more) {
      if (at == end || *at < low || *at > high) return false;
      ++at;
      low = 0x80;
      high = 0xBF;
    }
  }
  return true;
}

namespace {

/// The character at the beginning of well-formed text that is not empty, and its length.
struct Character {
  char32_t code = 0;
  std::size_t bytes = 1;
};

Character first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  const char32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::size_t bytes = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  char32_t code = first & (0xFFU >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) code = (code << 6U) | (byte(i) & 0x3FU);
  return {code, bytes};
}

/// C0, C1 and DEL; marks of direction, joiners and blanks without width (Unicode's class Cf in its general block), line
/// and paragraph separators, and the byte order mark.
bool is_harmful(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0xAD || c == 0x61C || c == 0x180E ||
         (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
         (c >= 0xFFF9 && c <= 0xFFFB) || (c >= 0xE0000 && c <= 0xE007F);
}

}  // namespace

std::string harmless(std::string_view text) {
  const bool utf8 = is_utf8(text);
  std::string out;
  while (!text.empty()) {
    const Character c =
        utf8 ? first_character(text) : Character{static_cast<char32_t>(static_cast<unsigned char>(text[0])), 1};
    if (c.code < 0x20 || c.code == 0x7F || (!utf8 && c.code >= 0x80))
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(c.code));
    else if (is_harmful(c.code))
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c.code));
    else
      out += text.substr(0, c.bytes);
    text.remove_prefix(c.bytes);
  }
  return out;
}

std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  }
  return out + "'";
}

bool is_ip_address(const std::string& host) {
  in6_addr scratch{};
  return inet_pton(AF_INET, host.c_str(), &scratch) == 1 || inet_pton(AF_INET6, host.c_str(), &scratch) == 1;
}

std::string date_and_time(WallTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  return fmt::format("{:%F %T}.{:03}", fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)),
                     (time - seconds).count());
}

std::string rfc3339(WallTime time) {
  std::string out = date_and_time(time) + "Z";
  out[out.find(' ')] = 'T';
  return out;
}

std::string span_text(milliseconds span) {
  const std::int64_t ms = span.count();
  if (ms < 1000) return fmt::format("{} ms", ms);
  if (ms < 10'000 && ms % 1000 != 0) return fmt::format("{:.1f} s", static_cast<double>(ms) / 1000.0);
  if (ms < 120'000) return fmt::format("{} s", ms / 1000);
  if (ms < 2 * 3'600'000) return fmt::format("{} min", ms / 60'000);
  if (ms < 48LL * 3'600'000) return fmt::format("{} h", ms / 3'600'000);
  return fmt::format("{} d", ms / 86'400'000);
}

std::string span_above(milliseconds span, milliseconds limit) {
  std::string out = span_text(span);
  return out == span_text(limit) ? "more than " + out : out;
}

std::string counted(std::uint64_t number, std::string_view noun) {
  return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s");
}

void NameList::add(std::string_view name, std::string_view remark) {
  if (count_++ < most_shown_) shown_ += fmt::format("{}{}{}", shown_.empty() ? "" : ", ", name, remark);
}

std::string NameList::text() const {
  return count_ <= most_shown_ ? shown_ : fmt::format("{} and {} more", shown_, count_ - most_shown_);
}

std::uint64_t fnv1a(std::string_view text, std::uint64_t basis) {
  std::uint64_t h = basis;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return h;
}

bool is_loopback(std::string_view host) {
  if (host.starts_with("127.")) return host.find_first_not_of("0123456789.") == std::string_view::npos;
  return host == "localhost" || host == "::1" || host == "[::1]";
}

std::string url_host(std::string_view host) {
  return host.find(':') == std::string_view::npos ? std::string(host) : fmt::format("[{}]", host);
}

}  // namespace rpcw
