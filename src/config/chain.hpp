#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/time.hpp"
#include "config/family.hpp"

namespace rpcw {

struct OwnFamily;

/// A chain and its limits. Where a limit is not known from a specification, docs/chains.md says where it is from.
struct Chain {
  /// As in `chain = "ethereum"`: lower case, digits and dashes.
  std::string name;
  /// The protocol that its nodes speak, by name.
  std::string family = "evm";
  /// The answer of a node of this chain to the family's identity check: a chain id in decimal, a network's name, a
  /// genesis hash; empty: identity is not checked.
  std::string identity;
  /// Nominal time between blocks; measured from the heads once they are seen. Above 0.
  milliseconds block_time{};
  /// Wall clock minus the head's timestamp above which a head is too old; absent: never ("off").
  std::optional<milliseconds> max_block_age;
  /// How far behind the agreed head, in time, before a server counts as lagging. Above 0.
  milliseconds max_lag{};
  /// Blocks below the lowest head at which hashes are compared.
  std::uint32_t fork_depth = 3;
  /// The family's.
  Offers offers{};
  /// When slot 0 was, for families whose heads tell slots instead of times; absent: such a head has no time.
  std::optional<WallTime> genesis{};
  /// The file's own family of that name; nullptr: it is a known one.
  std::shared_ptr<const OwnFamily> own_family{};
  /// For lists: the name in full, and where identity and limits are from. Of known chains alone.
  std::string_view title{};
  std::string_view source{};
};

/// Limits for a chain that comes without them. A head may be 15 blocks old, and at least 15 s: probes take time and
/// timestamps are whole seconds.
milliseconds default_max_block_age(milliseconds block_time);
/// Half of what a head may be old, since a lag is measured between servers and free of the clock's errors; at least
/// 10 s, and 2.5 blocks, so that one late block is no lag.
milliseconds default_max_lag(std::optional<milliseconds> max_block_age, milliseconds block_time);
/// 3 blocks, and enough to cover about 2 s on faster chains, at most 64.
std::uint32_t default_fork_depth(milliseconds block_time);

/// The chains known by name, ordered by name.
std::span<const Chain> known_chains();
/// The known chain of that name, or nullptr.
const Chain* find_chain(std::string_view name);

}  // namespace rpcw
