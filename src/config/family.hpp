#pragma once

#include <span>
#include <string_view>

namespace rpcw {

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
  /// Requests that one head takes.
  unsigned head_requests = 1;

  friend bool operator==(const Offers&, const Offers&) = default;
};

/// A family by name, such as "evm".
struct KnownFamily {
  std::string_view name;
  Offers offers;
};

/// All of them, in the order in which they are listed to users.
std::span<const KnownFamily> known_families();
/// nullptr: there is none of that name.
const KnownFamily* find_family(std::string_view name);

}  // namespace rpcw
