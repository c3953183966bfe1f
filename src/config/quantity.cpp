#include "config/quantity.hpp"

#include <fmt/format.h>

#include <array>
#include <limits>
#include <span>

namespace rpcw::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
  /// Below this many the next unit reads better: 24h rather than 1d, 60s rather than 1m.
  std::uint64_t fewest = 1;
};

// Largest first: a text is written in the first one that divides evenly.
constexpr std::array<Unit, 5> kDurations{
    {{"d", 86'400'000, 2}, {"h", 3'600'000}, {"m", 60'000, 2}, {"s", 1000}, {"ms", 1}}};
constexpr std::array<Unit, 7> kSizes{{{"GiB", 1ULL << 30U},
                                      {"MiB", 1ULL << 20U},
                                      {"KiB", 1ULL << 10U},
                                      {"GB", 1'000'000'000},
                                      {"MB", 1'000'000},
                                      {"KB", 1000},
                                      {"B", 1}}};
/// In thousandths of a request a minute: 60,000 of them are one a second.
constexpr std::array<Unit, 2> kRates{{{"/s", 60'000}, {"/m", 1000}}};

/// In requests in 30 days.
constexpr std::array<Unit, 2> kBudgets{{{"/month", 1}, {"/day", 30}}};

/// In the smallest unit; saturates. Decimal digits by hand, since a double would make 0.3 s out of 0.1 s three times
/// over, and since `from_chars` takes "1e9" and "inf".
std::expected<std::uint64_t, QuantityFault> parse(std::string_view text, std::span<const Unit> units,
                                                  std::uint64_t largest) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  __extension__ using Wide = unsigned __int128;
  // Times the largest unit this still fits, and with all decimals it is still more than any limit allows.
  constexpr Wide kCap = Wide{10'000'000'000'000'000} * 1'000'000'000'000;
  constexpr unsigned kMostDecimals = 12;

  Wide digits = 0;
  Wide divisor = 1;
  std::size_t at = 0;
  unsigned decimals = 0;
  bool any = false;
  bool point = false;
  bool too_fine = false;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '.' && !point && any) {
      point = true;
      continue;
    }
    if (c < '0' || c > '9') break;
    any = true;
    if (point && ++decimals > kMostDecimals) {
      too_fine = too_fine || c != '0';
      continue;
    }
    if (digits < kCap) digits = digits * 10 + static_cast<unsigned>(c - '0');
    if (point) divisor *= 10;
  }
  if (!any || (point && decimals == 0)) return std::unexpected(QuantityFault::kNotOne);
  const std::string_view suffix = text.substr(at);
  if (suffix.empty()) return std::unexpected(negative ? QuantityFault::kNegative : QuantityFault::kNoUnit);
  for (const Unit& unit : units) {
    if (unit.name != suffix) continue;
    if (negative) return std::unexpected(QuantityFault::kNegative);
    if (digits >= kCap) return largest;
    const Wide scaled = digits * unit.factor;
    if (too_fine || scaled % divisor != 0) return std::unexpected(QuantityFault::kTooFine);
    const Wide value = scaled / divisor;
    return value > largest ? largest : static_cast<std::uint64_t>(value);
  }
  return std::unexpected(QuantityFault::kNotOne);
}

}  // namespace

std::expected<milliseconds, QuantityFault> parse_duration(std::string_view text) {
  const auto value = parse(text, kDurations, static_cast<std::uint64_t>(std::numeric_limits<milliseconds::rep>::max()));
  if (!value) return std::unexpected(value.error());
  return milliseconds(static_cast<milliseconds::rep>(*value));
}

std::string duration_text(milliseconds value) {
  if (value.count() <= 0) return fmt::format("{}s", value.count() / 1000);
  const auto count = static_cast<std::uint64_t>(value.count());
  for (const Unit& unit : kDurations)
    if (count % unit.factor == 0 && count / unit.factor >= unit.fewest && (unit.factor > 1 || count < 1000))
      return fmt::format("{}{}", count / unit.factor, unit.name);
  std::string seconds = fmt::format("{}.{:03}", count / 1000, count % 1000);
  seconds.erase(seconds.find_last_not_of('0') + 1);
  return seconds + 's';
}

std::expected<std::uint64_t, QuantityFault> parse_size(std::string_view text) {
  return parse(text, kSizes, std::numeric_limits<std::uint64_t>::max());
}

std::string size_text(std::uint64_t bytes) {
  for (const Unit& unit : kSizes)
    if (bytes != 0 && bytes % unit.factor == 0) return fmt::format("{}{}", bytes / unit.factor, unit.name);
  return "0B";
}

std::expected<double, QuantityFault> parse_rate(std::string_view text) {
  const auto value = parse(text, kRates, std::numeric_limits<std::uint64_t>::max());
  if (!value) return std::unexpected(value.error());
  return static_cast<double>(*value) / 60'000.0;
}

std::expected<double, QuantityFault> parse_budget(std::string_view text) {
  const auto value = parse(text, kBudgets, std::numeric_limits<std::uint64_t>::max());
  if (!value) return std::unexpected(value.error());
  return static_cast<double>(*value) / 30.0;
}

std::string rate_text(double per_second) {
  return per_second < 1 ? fmt::format("{:.10g}/m", per_second * 60) : fmt::format("{:.10g}/s", per_second);
}

}  // namespace rpcw::config
