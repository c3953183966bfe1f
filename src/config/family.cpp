#include "config/family.hpp"

#include <algorithm>
#include <array>

namespace rpcw {
namespace {

constexpr Offers kAll{};

// A test compares these with the requests of rpc/family.
constexpr std::array<KnownFamily, 16> kFamilies{{
    {"evm", kAll},
    {"solana", {.hash = false, .peers = false}},
    {"algorand", {.hash = false, .peers = false}},
    {"aptos", {.hash = false, .syncing = false, .peers = false}},
    {"sui", {.syncing = false, .peers = false}},
    {"hedera", {.syncing = false, .peers = false}},
    {"near", kAll},
    {"cometbft", kAll},
    {"substrate", {.hash = false, .head_requests = 2}},
    {"stellar-rpc", {.hash = false, .syncing = false, .peers = false}},
    {"horizon", {.hash = false, .peers = false}},
    {"xrpl", kAll},
    {"starknet", {.peers = false}},
    {"bitcoin", kAll},
    {"tron", {.syncing = false}},
    {"beacon", kAll},
}};

}  // namespace

std::span<const KnownFamily> known_families() {
  return kFamilies;
}

const KnownFamily* find_family(std::string_view name) {
  const auto at = std::ranges::find(kFamilies, name, &KnownFamily::name);
  return at == kFamilies.end() ? nullptr : &*at;
}

}  // namespace rpcw
