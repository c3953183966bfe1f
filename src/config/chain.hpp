#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/time.hpp"

namespace rpcw {

/// The protocol a chain's nodes speak. Which of them this build can probe is `family_supported`.
enum class Family : std::uint8_t {
  kEvm,
  kSolana,
  kAlgorand,
  kAptos,
  kSui,
  kHedera,
  kNear,
  kCometbft,
  kSubstrate,
  kStellarRpc,
  kHorizon,
  kXrpl,
  kStarknet,
  kBitcoin,
  kTron,
  kBeacon,
};

/// The name used in configuration files, such as "evm" or "stellar-rpc".
std::string_view to_string(Family family);
std::optional<Family> family_from_string(std::string_view name);
/// All family names, in the order of the enum.
std::span<const std::string_view> family_names();
/// Whether this build can probe the family.
bool family_supported(Family family);

/// A chain and its limits. Where a limit is not known from a specification, docs/chains.md says where it is from.
struct Chain {
  /// As in `chain = "ethereum"`: lower case, digits and dashes.
  std::string name;
  Family family = Family::kEvm;
  /// EIP-155 chain id; absent: identity is not checked. Some chains of other families have one too, for their EVM
  /// endpoints.
  std::optional<std::uint64_t> chain_id;
  /// Nominal time between blocks; measured from the heads once they are seen. Above 0.
  milliseconds block_time{};
  /// Wall clock minus the head's timestamp above which a head is too old; absent: never ("off").
  std::optional<milliseconds> max_block_age;
  /// How far behind the agreed head, in time, before a server counts as lagging. Above 0.
  milliseconds max_lag{};
  /// Blocks below the lowest head at which hashes are compared.
  std::uint32_t fork_depth = 3;
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
