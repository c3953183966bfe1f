#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace rpcw::rpc {

/// A value found in a JSON text.
struct Picked {
  enum class Kind : std::uint8_t { kMissing, kNull, kBool, kNumber, kString, kObject, kArray };
  Kind kind = Kind::kMissing;
  /// The text of a number as it was written, of a string after unescaping, "true" or "false", of a container that holds
  /// nothing "{}" or "[]"; else empty.
  std::string text;

  [[nodiscard]] bool present() const { return kind != Kind::kMissing && kind != Kind::kNull; }
};

inline constexpr std::size_t kMostPointers = 16;
inline constexpr std::size_t kMostSteps = 8;

/// Picks the values at some JSON pointers (RFC 6901) out of a text in one pass, building no
/// document: a block with a thousand transaction hashes costs no memory. RapidJSON's SAX reader in its place misses a
/// goal of bench/scale, see docs/benchmarks.md. Nesting of any depth is safe. With duplicate keys the last one wins.
/// `out` is as long as `pointers`. Returns false when the text is not one whole JSON value in UTF-8; of what no pointer
/// leads to or into only the end is looked for. Throws std::logic_error for more pointers than kMostPointers, or of
/// more than kMostSteps steps.
bool pick(std::string_view json, std::span<const std::string_view> pointers, std::span<Picked> out);

/// The same for each element of an array, one after the other: `visit` finds them in `out`, and may end it by false.
/// Returns false when it was ended or the text is not one whole array in UTF-8; some elements may have been visited.
bool pick_each(std::string_view json, std::span<const std::string_view> pointers, std::span<Picked> out,
               const std::function<bool()>& visit);

/// A non-negative integer written as 0x-hex, as decimal digits, or as a JSON number; absent for anything else or when
/// it does not fit.
std::optional<std::uint64_t> to_integer(const Picked& value);

}  // namespace rpcw::rpc
