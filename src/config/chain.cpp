#include "config/chain.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace rpcw {
namespace {

constexpr std::array<std::string_view, 16> kFamilyNames{
    "evm",       "solana",      "algorand", "aptos", "sui",      "hedera",  "near", "cometbft",
    "substrate", "stellar-rpc", "horizon",  "xrpl",  "starknet", "bitcoin", "tron", "beacon"};
static_assert(kFamilyNames.size() == static_cast<std::size_t>(Family::kBeacon) + 1);

struct Row {
  std::string_view name;
  Family family;
  /// 0: none, or not an EIP-155 one.
  std::uint64_t chain_id;
  unsigned block_time_ms;
  unsigned max_block_age_s;
};

// Block times are the nominal ones; where sources give a range, its lower end: too long a time makes honest heads look
// impossible, too short a one is put right by measuring. Ages are about 10 to 20 block times, at least 15 s, and more
// where blocks come on demand, where gaps are known, and where timestamps are whole seconds.
constexpr Row kRows[] = {
    {"algorand", Family::kAlgorand, 0, 2800, 25},
    {"aptos", Family::kAptos, 0, 100, 15},
    {"arbitrum-one", Family::kEvm, 42161, 250, 30},
    {"avalanche-c-chain", Family::kEvm, 43114, 1000, 60},
    {"base", Family::kEvm, 8453, 200, 15},
    {"bitcoin", Family::kBitcoin, 0, 600'000, 7200},
    {"celo", Family::kEvm, 42220, 1000, 30},
    {"codex", Family::kEvm, 81224, 2000, 30},
    {"ethereum", Family::kEvm, 1, 12'000, 60},
    {"ethereum-beacon", Family::kBeacon, 0, 12'000, 60},
    // Hedera's relay and Tron's /jsonrpc speak EVM with these ids.
    {"hedera", Family::kHedera, 295, 2000, 30},
    {"hyperevm", Family::kEvm, 999, 1000, 30},
    {"ink", Family::kEvm, 57073, 1000, 20},
    {"linea", Family::kEvm, 59144, 2000, 60},
    {"monad", Family::kEvm, 143, 400, 20},
    {"near", Family::kNear, 0, 600, 20},
    {"noble", Family::kCometbft, 0, 1500, 30},
    {"op-mainnet", Family::kEvm, 10, 2000, 30},
    {"plume", Family::kEvm, 98866, 250, 120},
    {"polkadot-asset-hub", Family::kSubstrate, 0, 2000, 60},
    {"polygon-pos", Family::kEvm, 137, 1750, 30},
    {"sei", Family::kEvm, 1329, 400, 20},
    {"solana", Family::kSolana, 0, 200, 30},
    {"sonic", Family::kEvm, 146, 300, 30},
    {"starknet", Family::kStarknet, 0, 2000, 60},
    {"stellar", Family::kStellarRpc, 0, 5000, 30},
    {"sui", Family::kSui, 0, 250, 15},
    {"tron", Family::kTron, 728126428, 3000, 30},
    {"unichain", Family::kEvm, 130, 1000, 20},
    {"world-chain", Family::kEvm, 480, 2000, 30},
    {"xdc", Family::kEvm, 50, 2000, 60},
    {"xrpl", Family::kXrpl, 0, 3000, 30},
    {"zksync-era", Family::kEvm, 324, 200, 120},
};
static_assert(std::ranges::is_sorted(kRows, {}, &Row::name));

/// Bitcoin's age limit is wide because a gap of an hour between two blocks is no rarity, not because a node may lag
/// that long: three blocks behind the others are too many.
constexpr milliseconds kBitcoinMaxLag{1'800'000};

std::vector<Chain> make_chains() {
  std::vector<Chain> out;
  for (const Row& row : kRows) {
    Chain chain;
    chain.name = row.name;
    chain.family = row.family;
    if (row.chain_id != 0) chain.chain_id = row.chain_id;
    chain.block_time = milliseconds(row.block_time_ms);
    chain.max_block_age = milliseconds(std::int64_t{row.max_block_age_s} * 1000);
    chain.max_lag =
        row.family == Family::kBitcoin ? kBitcoinMaxLag : default_max_lag(chain.max_block_age, chain.block_time);
    chain.fork_depth = default_fork_depth(chain.block_time);
    out.push_back(std::move(chain));
  }
  return out;
}

}  // namespace

std::string_view to_string(Family family) {
  return kFamilyNames.at(static_cast<std::size_t>(family));
}

std::optional<Family> family_from_string(std::string_view name) {
  const auto at = std::ranges::find(kFamilyNames, name);
  if (at == kFamilyNames.end()) return std::nullopt;
  return static_cast<Family>(at - kFamilyNames.begin());
}

std::span<const std::string_view> family_names() {
  return kFamilyNames;
}

bool family_supported(Family family) {
  return family == Family::kEvm;
}

milliseconds default_max_block_age(milliseconds block_time) {
  constexpr milliseconds kLeast{15'000};
  return std::max(kLeast, 15 * block_time);
}

milliseconds default_max_lag(std::optional<milliseconds> max_block_age, milliseconds block_time) {
  constexpr milliseconds kLeast{10'000};
  const milliseconds age = max_block_age.value_or(default_max_block_age(block_time));
  return std::max({kLeast, age / 2, block_time * 5 / 2});
}

std::uint32_t default_fork_depth(milliseconds block_time) {
  constexpr std::int64_t kCoveredMs = 2000;
  constexpr std::int64_t kLeast = 3;
  constexpr std::int64_t kMost = 64;
  const std::int64_t time = std::max<std::int64_t>(1, block_time.count());
  return static_cast<std::uint32_t>(std::clamp((kCoveredMs + time - 1) / time, kLeast, kMost));
}

std::span<const Chain> known_chains() {
  static const std::vector<Chain> chains = make_chains();
  return chains;
}

const Chain* find_chain(std::string_view name) {
  const auto chains = known_chains();
  const auto at = std::ranges::find(chains, name, &Chain::name);
  return at == chains.end() ? nullptr : &*at;
}

}  // namespace rpcw
