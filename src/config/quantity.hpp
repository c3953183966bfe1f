#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "base/time.hpp"

/// Durations, sizes and rates as configuration files write them: a number and a unit, without a space.
namespace rpcw::config {

enum class QuantityFault : std::uint8_t {
  kNotOne,    ///< no number, or something after the unit
  kNoUnit,    ///< a bare number
  kNegative,  ///< whatever its size
  kTooFine,   ///< finer than a millisecond, or than a byte
};

/// "150ms", "1.5s", "5m", "24h", "1d". What is too large for the type becomes its largest value, so that a range check
/// refuses it.
std::expected<milliseconds, QuantityFault> parse_duration(std::string_view text);
/// The shortest text that `parse_duration` reads back as the same: 90 s is "90s", 300 s is "5m", 7340 ms is "7.34s".
std::string duration_text(milliseconds value);

/// "1000B", "500KB", "64KiB", "1MiB": powers of 1000 without the i, of 1024 with it.
std::expected<std::uint64_t, QuantityFault> parse_size(std::string_view text);
std::string size_text(std::uint64_t bytes);

/// "25/s", "90/m": requests in a second or a minute. Returns requests a second, to the 60,000th.
std::expected<double, QuantityFault> parse_rate(std::string_view text);
/// "25/s"; below one a second "30/m".
std::string rate_text(double per_second);

/// "600000/month", "20000/day": requests in 30 days or in one. Returns requests a day, to the 30th.
std::expected<double, QuantityFault> parse_budget(std::string_view text);

}  // namespace rpcw::config
