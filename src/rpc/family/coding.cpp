#include "rpc/family/coding.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include "base/hex.hpp"
#include "base/text.hpp"

namespace rpcw::rpc::family {
namespace {

using Kind = Picked::Kind;
using std::chrono::seconds;

/// Beyond that a time point in milliseconds overflows; no chain's clock is near it.
constexpr std::uint64_t kLatestSecond = 100'000'000'000;
/// Ripple's epoch, 2000-01-01T00:00:00Z (xrpl.org, "Specifying Time").
constexpr std::uint64_t kRippleEpoch = 946'684'800;
constexpr std::size_t kLongestText = 256;

template <typename T>
std::optional<T> whole(std::string_view digits, int base = 10) {
  T out{};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out, base);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return out;
}

/// So many units since 1970, of which `per_second` are a second.
std::optional<WallTime> since_epoch(std::optional<std::uint64_t> count, std::uint64_t per_second) {
  if (!count || *count / per_second > kLatestSecond) return std::nullopt;
  const std::uint64_t ms = per_second >= 1000 ? *count / (per_second / 1000) : *count * (1000 / per_second);
  return WallTime{milliseconds{static_cast<std::int64_t>(ms)}};
}

/// Of a second's fraction, its first three digits.
std::optional<unsigned> fraction_ms(std::string_view digits) {
  if (digits.empty() || digits.size() > 9 || digits.find_first_not_of("0123456789") != std::string_view::npos)
    return std::nullopt;
  std::string three(digits.substr(0, 3));
  three.resize(3, '0');
  return whole<unsigned>(three);
}

std::optional<WallTime> dotted(std::string_view text) {
  const std::size_t dot = text.find('.');
  const auto out = since_epoch(whole<std::uint64_t>(text.substr(0, dot)), 1);
  if (!out || dot == std::string_view::npos) return out;
  const auto ms = fraction_ms(text.substr(dot + 1));
  return ms ? std::optional(*out + milliseconds{*ms}) : std::nullopt;
}

/// 2026-11-21T06:40:00.530341781Z, or with an offset such as +02:00.
std::optional<WallTime> rfc3339(std::string_view text) {
  constexpr std::string_view kForm = "0000-00-00T00:00:00";
  if (text.size() <= kForm.size()) return std::nullopt;
  for (std::size_t i = 0; i < kForm.size(); ++i) {
    const char c = text[i];
    const bool fits = kForm[i] == '0'   ? c >= '0' && c <= '9'
                      : kForm[i] == 'T' ? c == 'T' || c == 't' || c == ' '
                                        : c == kForm[i];
    if (!fits) return std::nullopt;
  }
  const auto part = [&](std::size_t at, std::size_t size) { return *whole<unsigned>(text.substr(at, size)); };
  const std::chrono::year_month_day day{std::chrono::year{static_cast<int>(part(0, 4))}, std::chrono::month{part(5, 2)},
                                        std::chrono::day{part(8, 2)}};
  // 60 is a leap second.
  if (!day.ok() || part(11, 2) > 23 || part(14, 2) > 59 || part(17, 2) > 60) return std::nullopt;
  WallTime out = std::chrono::sys_days{day} + std::chrono::hours{part(11, 2)} + std::chrono::minutes{part(14, 2)} +
                 seconds{part(17, 2)};
  text.remove_prefix(kForm.size());
  if (text.starts_with('.')) {
    const std::size_t end = std::min(text.find_first_not_of("0123456789", 1), text.size());
    const auto ms = fraction_ms(text.substr(1, end - 1));
    if (!ms) return std::nullopt;
    out += milliseconds{*ms};
    text.remove_prefix(end);
  }
  if (text == "Z" || text == "z") return out;
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return std::nullopt;
  const auto hours = whole<unsigned>(text.substr(1, 2));
  const auto minutes = whole<unsigned>(text.substr(4, 2));
  if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  const auto offset = std::chrono::hours{*hours} + std::chrono::minutes{*minutes};
  return text[0] == '+' ? out - offset : out + offset;
}

/// The time in Solana's clock account, 40 bytes of which it is the last eight, the lowest byte first
/// (docs.solanalabs.com, runtime/sysvars).
std::optional<std::uint64_t> clock_in(std::string_view base64) {
  constexpr std::size_t kDigits = 56;
  constexpr std::size_t kTime = 32;
  constexpr std::size_t kBytes = 40;
  if (base64.size() != kDigits) return std::nullopt;
  std::array<unsigned char, kDigits / 4 * 3> bytes{};
  if (EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(base64.data()), kDigits) < 0)
    return std::nullopt;
  std::uint64_t out = 0;
  for (std::size_t i = kBytes; i > kTime; --i) out = out << 8U | bytes.at(i - 1);
  return out;
}

/// 16 hex digits, the lowest byte first.
std::optional<std::uint64_t> little_endian(std::string_view hex) {
  hex = without_0x(hex);
  if (hex.size() != 16 || !is_hex(hex)) return std::nullopt;
  std::uint64_t out = 0;
  for (std::size_t i = hex.size(); i > 0; i -= 2) out = out << 8U | *whole<unsigned>(hex.substr(i - 2, 2), 16);
  return out;
}

}  // namespace

std::optional<std::uint64_t> number_in(const Picked& value, Coding coding) {
  if (coding != Coding::kHex || value.kind != Kind::kString) return to_integer(value);
  return whole<std::uint64_t>(without_0x(value.text), 16);
}

std::optional<WallTime> time_in(const Picked& value, Coding coding, WallTime received, const Chain* chain) {
  constexpr std::uint64_t kMillion = 1'000'000;
  const bool text = value.kind == Kind::kString;
  switch (coding) {
    case Coding::kSeconds:
      return since_epoch(to_integer(value), 1);
    case Coding::kMinerSeconds: {
      const auto time = since_epoch(to_integer(value), 1);
      return time ? std::optional(std::min(*time, received)) : std::nullopt;
    }
    case Coding::kMilliseconds:
      return since_epoch(to_integer(value), 1000);
    case Coding::kMicroseconds:
      return since_epoch(to_integer(value), kMillion);
    case Coding::kNanoseconds:
      return since_epoch(to_integer(value), 1000 * kMillion);
    case Coding::kMedianSeconds: {
      constexpr int kBlocksSince = 5;
      const auto time = since_epoch(to_integer(value), 1);
      if (!time) return std::nullopt;
      return std::min(*time + kBlocksSince * (chain != nullptr ? chain->block_time : milliseconds{0}), received);
    }
    case Coding::kClockSysvar:
      return text ? since_epoch(clock_in(value.text), 1) : std::nullopt;
    case Coding::kRippleSeconds: {
      const auto count = to_integer(value);
      return count && *count <= kLatestSecond ? since_epoch(*count + kRippleEpoch, 1) : std::nullopt;
    }
    case Coding::kDottedSeconds:
      return text ? dotted(value.text) : since_epoch(to_integer(value), 1);
    case Coding::kRfc3339:
      return text ? rfc3339(value.text) : std::nullopt;
    case Coding::kScaleMilliseconds:
      return text ? since_epoch(little_endian(value.text), 1000) : std::nullopt;
    case Coding::kNanosecondsAgo: {
      const auto count = to_integer(value);
      if (!count) return std::nullopt;
      return received - milliseconds{static_cast<std::int64_t>(*count / kMillion)};
    }
    case Coding::kSlots: {
      const auto slot = to_integer(value);
      if (!slot || chain == nullptr || !chain->genesis) return std::nullopt;
      const auto time = static_cast<std::uint64_t>(chain->block_time.count());
      if (*slot > kLatestSecond * 1000 / std::max<std::uint64_t>(time, 1)) return std::nullopt;
      return *chain->genesis + milliseconds{static_cast<std::int64_t>(*slot * time)};
    }
    default:
      return std::nullopt;
  }
}

bool same_digest(std::string_view text, std::string_view digest) {
  constexpr std::string_view kDigits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
  constexpr std::size_t kBytes = 32;
  constexpr std::size_t kShort = 4;
  if (text == digest) return true;
  std::array<unsigned char, kBytes> bytes{};
  for (const char c : digest) {
    std::size_t carry = kDigits.find(c);
    if (carry == std::string_view::npos) return false;
    for (auto byte = bytes.rbegin(); byte != bytes.rend(); ++byte) {
      carry += std::size_t{58} * *byte;
      *byte = static_cast<unsigned char>(carry & 0xFFU);
      carry >>= 8U;
    }
  }
  std::string first;
  for (std::size_t i = 0; i < kShort; ++i) first += fmt::format("{:02x}", bytes.at(i));
  return lower(text) == first;
}

std::string text_in(const Picked& value, Coding coding) {
  if (coding == Coding::kIdNumber || (coding == Coding::kAnyId && value.kind == Kind::kNumber)) {
    const auto number = to_integer(value);
    return number ? fmt::format("{}", *number) : std::string();
  }
  const std::string& text = value.text;
  if (value.kind != Kind::kString || text.size() > kLongestText) return {};
  switch (coding) {
    case Coding::kHash32:
      return hash_text(text);
    case Coding::kHexText:
      return hex_text(text);
    case Coding::kFelt:
      return felt_text(text);
    default: {
      const bool printable = std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
      return printable ? text : std::string();
    }
  }
}

}  // namespace rpcw::rpc::family
