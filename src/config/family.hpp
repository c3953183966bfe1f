#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

namespace rpcw {

/// How a family's providers name their network.
enum class IdForm : std::uint8_t {
  kText,    ///< any text
  kNumber,  ///< 1 to 2^63 - 1, as decimal text
  kHex,     ///< hexadecimal digits, with or without 0x
  kHash,    ///< 0x and 64 hexadecimal digits
  kFelt,    ///< a number as 0x-hex
};

/// A network's identity as it is compared with answers: `0x1` is "1" where networks are numbers, and hexadecimal digits
/// are in lower case. Empty: no provider of the family could have it.
std::string canonical_identity(IdForm form, std::string_view written);
/// What is right in a configuration: a noun with an example.
std::string_view identity_text(IdForm form);

/// Which answers a chain family can give, as far as rules and schedules depend on it. The requests behind them are
/// rpc/family's.
struct Offers {
  /// A head has a hash.
  bool hash = true;
  /// A head has a time; else a head is as old as the last rise of its height.
  bool time = true;
  /// Checks besides the head.
  bool identity = true;
  bool syncing = true;
  bool peers = true;
  bool block = true;
  IdForm id_form = IdForm::kText;
  /// Requests that one head takes.
  unsigned head_requests = 1;

  friend bool operator==(const Offers&, const Offers&) = default;
};

/// What nodes of a family can answer to the identity check, besides its form.
struct IdRule {
  /// What is right: a noun with an example; empty: identity_text of the form.
  std::string_view expected{};
  /// Of a text as canonical_identity gives it; nullptr: any.
  bool (*possible)(std::string_view) = nullptr;
  /// Where networks are numbers: the largest one.
  std::uint64_t largest = std::numeric_limits<std::int64_t>::max();
  /// A number is a name too.
  bool takes_integer = false;
  /// No public network has a space in it.
  bool one_word = true;
};

/// A family by name, such as "evm".
struct KnownFamily {
  std::string_view name;
  Offers offers;
  IdRule id{};
};

/// All of them, in the order in which they are listed to users.
std::span<const KnownFamily> known_families();
/// nullptr: there is none of that name.
const KnownFamily* find_family(std::string_view name);

}  // namespace rpcw
