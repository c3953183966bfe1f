#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.hpp"
#include "config/chain.hpp"
#include "rpc/family/spec.hpp"

/// Values of answers as their families write them.
namespace rpcw::rpc::family {

/// Absent: it is no non-negative integer of that coding, or does not fit.
std::optional<std::uint64_t> number_in(const Picked& value, Coding coding);

/// `received`: when the answer came. `chain`: whose slots are counted; nullptr or without a genesis time: slots give no
/// time. Absent: it is no time of that coding, or beyond the year 5138.
std::optional<WallTime> time_in(const Picked& value, Coding coding, WallTime received, const Chain* chain);

/// Whether `text` is the base58 text `digest`, or the first four bytes of what that stands for, as eight hexadecimal
/// digits.
bool same_digest(std::string_view text, std::string_view digest);

/// As it is compared. Empty: it is none of that coding, or longer than 256 bytes, or not printable.
std::string text_in(const Picked& value, Coding coding);

}  // namespace rpcw::rpc::family
