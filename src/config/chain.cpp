#include "config/chain.hpp"

#include <algorithm>
#include <vector>

namespace rpcw {
namespace {

struct Row {
  std::string_view name;
  std::string_view title;
  std::string_view family;
  /// Empty: not checked.
  std::string_view identity;
  unsigned block_time_ms;
  unsigned max_block_age_s;
  /// 0: the default for these.
  unsigned max_lag_s;
  /// Where they are from. Snapshots: viem 0912a29 (2026-08-22), drpcorg/public 27d3273 (2026-08-19), chain-registry
  /// 627bbab (2026-08-21), superchain-registry 8336d2a (2026-08-04).
  std::string_view source;
};

// Block times are the nominal ones; where sources give a range, its lower end: too long a time makes honest heads look
// impossible, too short a one is put right by measuring. Ages are about 10 to 20 block times, at least 15 s, and more
// where blocks come on demand, where gaps are known, and where timestamps are whole seconds. With proof of work an age
// of 12 block times is exceeded once in 160,000 blocks; there three blocks behind the others are too many.
// clang-format off
constexpr Row kRows[] = {
    {"abstract", "Abstract", "evm", "2741", 200, 120, 0, "viem (0912a29); drpc 1 s; blocks on demand"},
    {"algorand", "Algorand", "algorand", "mainnet-v1.0", 2800, 25, 0, "go-algorand genesis; drpc 3 s"},
    {"aptos", "Aptos", "aptos", "1", 100, 15, 0, "aptos-core; drpc"},
    {"arbitrum-one", "Arbitrum One", "evm", "42161", 250, 30, 0, "nitro sequencer.go; viem; blocks on demand"},
    {"arbitrum-sepolia", "Arbitrum Sepolia", "evm", "421614", 250, 60, 0, "viem (0912a29); blocks on demand"},
    {"arc", "Arc", "evm", "5042", 500, 20, 0, "id: viem, drpc; time below drpc's 1 s"},
    {"arc-testnet", "Arc testnet", "evm", "5042002", 500, 20, 0, "id: viem, drpc; time below drpc's 1 s"},
    {"aurora", "Aurora", "evm", "1313161554", 600, 30, 0, "id: viem, drpc; time: NEAR's"},
    {"avalanche-c-chain", "Avalanche C-Chain", "evm", "43114", 1000, 60, 0, "viem 1.7 s, hyperlane 2 s; blocks on demand"},
    {"base", "Base", "evm", "8453", 200, 15, 0, "docs.chainstack.com base-denim-200ms-blocks; id: viem"},
    {"base-sepolia", "Base Sepolia", "evm", "84532", 200, 15, 0, "id: viem, drpc; time: Base's"},
    {"berachain", "Berachain", "evm", "80094", 2000, 30, 0, "viem (0912a29); drpc 6 s"},
    {"bitcoin", "Bitcoin", "bitcoin", "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f", 600'000, 7200, 1800, "drpc; bitcoin chainparams"},
    {"bitcoin-cash", "Bitcoin Cash", "bitcoin", "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f", 600'000, 7200, 1800, "drpc; block 0 is Bitcoin's"},
    {"blast", "Blast", "evm", "81457", 2000, 30, 0, "id: viem; drpc"},
    {"bnb-smart-chain", "BNB Smart Chain", "evm", "56", 750, 30, 0, "viem (0912a29), drpc"},
    {"celestia", "Celestia", "cometbft", "celestia", 6000, 60, 0, "chain-registry (627bbab); drpc"},
    {"celo", "Celo", "evm", "42220", 1000, 30, 0, "superchain-registry"},
    {"codex", "Codex", "evm", "81224", 2000, 30, 0, "id: viem; OP Stack's default time"},
    {"core", "Core", "evm", "1116", 3000, 45, 0, "id: viem; drpc"},
    {"cosmos-hub", "Cosmos Hub", "cometbft", "cosmoshub-4", 6000, 60, 0, "chain-registry (627bbab); drpc"},
    {"cronos", "Cronos", "evm", "25", 500, 30, 0, "id: viem, drpc; time below drpc's and hyperlane's 5 s"},
    {"dogecoin", "Dogecoin", "bitcoin", "1a91e3dace36e2be3bf030a65679fe821aa1d6ef92e7c9902eb318182c355691", 60'000, 900, 180, "drpc; dogecoin chainparams"},
    {"dydx", "dYdX", "cometbft", "dydx-mainnet-1", 800, 30, 0, "id: chain-registry (627bbab); time above v4-chain's commit time-out, 500 ms"},
    {"ethereum", "Ethereum", "evm", "1", 12'000, 60, 0, "execution-specs; viem, drpc"},
    {"ethereum-beacon", "Ethereum, consensus layer", "beacon", "0x4b363db94e286120d76eb905340fdd4e54bfe9f06bf33ff6cf5ad27f511bfe95", 12'000, 60, 0, "beacon-APIs; genesis at 1606824023"},
    {"filecoin", "Filecoin", "evm", "314", 30'000, 180, 0, "id: viem, drpc; 30 s epochs, some of them empty"},
    {"fraxtal", "Fraxtal", "evm", "252", 2000, 30, 0, "id: viem; drpc"},
    {"gnosis", "Gnosis", "evm", "100", 5000, 60, 0, "viem (0912a29); drpc 6 s"},
    {"hedera", "Hedera, mirror node", "hedera", "420fffe68fcd2a1eadcce589fdf9565bcf5a269d02232fe07cdc565b3b6f76ce46a9418ddc1bbe051d4894e04d091f8e", 2000, 30, 0, "block 0: hiero mirror node's tests; time: hedera.recordStream.logPeriod"},
    {"hedera-evm", "Hedera, JSON-RPC relay", "evm", "295", 2000, 30, 0, "id: viem; time: the mirror node's"},
    {"hoodi", "Hoodi", "evm", "560048", 12'000, 60, 0, "id: viem; drpc"},
    {"hyperevm", "HyperEVM", "evm", "999", 1000, 30, 0, "dev.to/swiftnodes, measured; id: viem"},
    {"injective", "Injective EVM", "evm", "1776", 700, 20, 0, "id: viem; drpc"},
    {"injective-cosmos", "Injective, CometBFT", "cometbft", "injective-1", 700, 20, 0, "chain-registry (627bbab); drpc"},
    {"ink", "Ink", "evm", "57073", 1000, 20, 0, "superchain-registry"},
    {"kaia", "Kaia", "evm", "8217", 1000, 20, 0, "id: viem; drpc"},
    {"kusama", "Kusama", "substrate", "0xb0a8d493285c2df73290dfb7e61f870f17b41801197a149ca93654499ea3dafe", 6000, 60, 0, "genesis: several repositories; time: polkadot-fellows/runtimes"},
    {"linea", "Linea", "evm", "59144", 2000, 60, 0, "viem; hyperlane 3 s"},
    {"litecoin", "Litecoin", "bitcoin", "12a765e31ffd4059bada1e25190f6e98c99d9714d334efa41a195a7e7e04bfe2", 150'000, 1800, 450, "drpc 3 min; litecoin chainparams"},
    {"mantle", "Mantle", "evm", "5000", 2000, 30, 0, "id: viem; drpc"},
    {"metis", "Metis", "evm", "1088", 2000, 300, 0, "id: viem, drpc; time below hyperlane's 5 s; blocks on demand"},
    {"mode", "Mode", "evm", "34443", 2000, 30, 0, "id: viem; drpc"},
    {"monad", "Monad", "evm", "143", 400, 20, 0, "viem; drpc 1 s"},
    {"moonbeam", "Moonbeam", "evm", "1284", 6000, 60, 0, "id: viem; drpc"},
    {"morph", "Morph", "evm", "2818", 1000, 60, 0, "id: viem; drpc"},
    {"near", "NEAR", "near", "mainnet", 600, 20, 0, "docs.near.org"},
    {"noble", "Noble", "cometbft", "noble-1", 1500, 30, 0, "chain-registry (627bbab); hyperlane"},
    {"op-mainnet", "OP Mainnet", "evm", "10", 2000, 30, 0, "superchain-registry"},
    {"op-sepolia", "OP Sepolia", "evm", "11155420", 2000, 30, 0, "id: viem; drpc"},
    {"opbnb", "opBNB", "evm", "204", 250, 20, 0, "id: viem; time: Fourier upgrade (Venus VIP-579)"},
    {"osmosis", "Osmosis", "cometbft", "osmosis-1", 1200, 30, 0, "id: chain-registry (627bbab); time below drpc's 2 s"},
    {"plume", "Plume", "evm", "98866", 250, 120, 0, "id: viem; nitro; blocks on demand"},
    {"polkadot", "Polkadot", "substrate", "0x91b171bb158e2d3848fa23a9f1c25182fb8e20313b2c1eb49219da7a70ce90c3", 6000, 60, 0, "genesis: several repositories; time: polkadot-fellows/runtimes"},
    {"polkadot-asset-hub", "Polkadot Asset Hub", "substrate", "0x68d56f15f85d3136970ec16946040bc1752654e906147f7e43e9d539d7c3de2f", 2000, 60, 0, "polkadot-fellows/runtimes"},
    {"polygon-amoy", "Polygon Amoy", "evm", "80002", 1750, 30, 0, "id: viem, drpc; time: Polygon PoS's"},
    {"polygon-pos", "Polygon PoS", "evm", "137", 1750, 30, 0, "PIP-86; viem 2 s"},
    {"scroll", "Scroll", "evm", "534352", 3000, 60, 0, "viem (0912a29), drpc"},
    {"sei", "Sei", "evm", "1329", 400, 20, 0, "id: viem; drpc 200 ms, measured 395 ms"},
    {"sei-cosmos", "Sei, CometBFT", "cometbft", "pacific-1", 400, 20, 0, "chain-registry (627bbab); time: Sei's"},
    {"sepolia", "Sepolia", "evm", "11155111", 12'000, 60, 0, "id: viem; drpc"},
    {"solana", "Solana", "solana", "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d", 200, 30, 0, "SIMD-0525, measured 214 ms"},
    {"solana-devnet", "Solana devnet", "solana", "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG", 200, 30, 0, "genesis: several repositories; time: Solana's"},
    {"solana-testnet", "Solana testnet", "solana", "4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY", 200, 30, 0, "genesis: several repositories; time: Solana's"},
    {"soneium", "Soneium", "evm", "1868", 2000, 30, 0, "id: viem; drpc"},
    {"sonic", "Sonic", "evm", "146", 300, 30, 0, "viem 630 ms, drpc 300 ms"},
    {"starknet", "Starknet", "starknet", "0x534e5f4d41494e", 2000, 60, 0, "docs.starknet.io, chain info"},
    {"stellar", "Stellar, RPC", "stellar-rpc", "Public Global Stellar Network ; September 2015", 5000, 30, 0, "stellar-rpc options.go; drpc"},
    {"stellar-horizon", "Stellar, Horizon", "horizon", "Public Global Stellar Network ; September 2015", 5000, 30, 0, "stellar-rpc options.go; drpc"},
    {"sui", "Sui", "sui", "4btiuiMPvEENsttpZC7CZ53DruC3MAgfznDbASZ7DR6S", 250, 15, 0, "drpc"},
    {"taiko", "Taiko", "evm", "167000", 500, 180, 0, "id: viem; time: docs.taiko.xyz, 0.5 to 2 s; blocks on demand"},
    {"tron", "Tron, HTTP API", "tron", "00000000000000001ebf88508a03865c71d452e25f4d51194196a1d22b6653dc", 3000, 30, 0, "java-tron Parameter.java"},
    {"tron-evm", "Tron, /jsonrpc", "evm", "728126428", 3000, 30, 0, "viem; java-tron Parameter.java"},
    {"unichain", "Unichain", "evm", "130", 1000, 20, 0, "superchain-registry"},
    {"world-chain", "World Chain", "evm", "480", 2000, 30, 0, "superchain-registry"},
    {"xdc", "XDC", "evm", "50", 2000, 60, 0, "XDPoSChain params/config.go"},
    {"xrpl", "XRP Ledger", "xrpl", "0", 3000, 30, 0, "xrpl-dev-portal"},
    {"zksync-era", "ZKsync Era", "evm", "324", 200, 120, 0, "viem 200 ms, code 1 s; blocks on demand"},
};
// clang-format on
static_assert(std::ranges::is_sorted(kRows, {}, &Row::name));

/// Slot 0 of Ethereum's consensus layer (beacon-APIs, genesis_time of mainnet).
constexpr WallTime kBeaconGenesis{milliseconds{1'606'824'023'000}};

std::vector<Chain> make_chains() {
  std::vector<Chain> out;
  for (const Row& row : kRows) {
    Chain chain;
    chain.name = row.name;
    chain.family = row.family;
    chain.identity = row.identity;
    if (const KnownFamily* family = find_family(row.family)) chain.offers = family->offers;
    chain.block_time = milliseconds(row.block_time_ms);
    chain.max_block_age = milliseconds(std::int64_t{row.max_block_age_s} * 1000);
    chain.max_lag = row.max_lag_s > 0 ? milliseconds(std::int64_t{row.max_lag_s} * 1000)
                                      : default_max_lag(chain.max_block_age, chain.block_time);
    chain.fork_depth = default_fork_depth(chain.block_time);
    if (chain.name == "ethereum-beacon") chain.genesis = kBeaconGenesis;
    chain.title = row.title;
    chain.source = row.source;
    out.push_back(std::move(chain));
  }
  return out;
}

}  // namespace

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
