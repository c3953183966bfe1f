#include "config/chain.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace rpcw {
namespace {

using namespace std::chrono_literals;

TEST_CASE("chains: by name, in order, each with its source") {
  const auto chains = known_chains();
  CHECK(chains.size() == 78);
  CHECK(std::ranges::is_sorted(chains, {}, &Chain::name));
  CHECK(std::ranges::count(chains, std::string_view("evm"), &Chain::family) == 50);
  std::set<std::string> names;
  std::set<std::string> evm_ids;
  for (const Chain& chain : chains) {
    CAPTURE(chain.name);
    CHECK(names.insert(chain.name).second);
    CHECK(std::ranges::all_of(chain.name,
                              [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; }));
    CHECK(find_chain(chain.name) == &chain);
    CHECK_FALSE(chain.title.empty());
    CHECK_FALSE(chain.source.empty());
    CHECK_FALSE(chain.identity.empty());
    if (chain.family == "evm") CHECK(evm_ids.insert(chain.identity).second);
  }
  CHECK(find_chain("Ethereum") == nullptr);
  CHECK(find_chain("") == nullptr);
}

TEST_CASE("chains: EVM chain ids") {
  const std::map<std::string, std::string> expected{
      {"ethereum", "1"},      {"base", "8453"},       {"arbitrum-one", "42161"},
      {"op-mainnet", "10"},   {"polygon-pos", "137"}, {"avalanche-c-chain", "43114"},
      {"linea", "59144"},     {"zksync-era", "324"},  {"unichain", "130"},
      {"world-chain", "480"}, {"sonic", "146"},       {"celo", "42220"},
      {"codex", "81224"},     {"hyperevm", "999"},    {"ink", "57073"},
      {"plume", "98866"},     {"sei", "1329"},        {"xdc", "50"},
      {"monad", "143"}};
  std::map<std::string, std::string> found;
  for (const Chain& chain : known_chains())
    if (chain.family == "evm") found[chain.name] = chain.identity;
  for (const auto& [name, id] : expected) {
    CAPTURE(name);
    CHECK(found[name] == id);
  }
}

TEST_CASE("chains: limits") {
  struct Case {
    const char* name;
    milliseconds block_time;
    milliseconds max_block_age;
    milliseconds max_lag;
    std::uint32_t fork_depth;
  };
  const Case cases[] = {
      {"ethereum", 12s, 60s, 30s, 3},        {"base", 200ms, 15s, 10s, 10},      {"arbitrum-one", 250ms, 30s, 15s, 8},
      {"polygon-pos", 1750ms, 30s, 15s, 3},  {"plume", 250ms, 120s, 60s, 8},     {"monad", 400ms, 20s, 10s, 5},
      {"sonic", 300ms, 30s, 15s, 7},         {"bitcoin", 600s, 7200s, 1800s, 3}, {"aptos", 100ms, 15s, 10s, 20},
      {"algorand", 2800ms, 25s, 12500ms, 3}, {"near", 600ms, 20s, 10s, 4},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const Chain* chain = find_chain(c.name);
    REQUIRE(chain != nullptr);
    CHECK(chain->block_time.count() == c.block_time.count());
    REQUIRE(chain->max_block_age.has_value());
    CHECK(chain->max_block_age->count() == c.max_block_age.count());
    CHECK(chain->max_lag.count() == c.max_lag.count());
    CHECK(chain->fork_depth == c.fork_depth);
  }
  for (const Chain& chain : known_chains()) {
    CAPTURE(chain.name);
    CHECK(chain.block_time > 0ms);
    CHECK(chain.max_lag >= 10s);
    CHECK(2 * chain.max_lag >= 5 * chain.block_time);
    REQUIRE(chain.max_block_age.has_value());
    CHECK(*chain.max_block_age >= 15s);
    CHECK(chain.max_lag < *chain.max_block_age);
  }
}

TEST_CASE("chains: limits made from a block time") {
  CHECK(default_max_block_age(12s).count() == 180'000);
  CHECK(default_max_block_age(100ms).count() == 15'000);
  CHECK(default_max_lag(60s, 12s).count() == 30'000);
  CHECK(default_max_lag(60s, 60s).count() == 150'000);
  CHECK(default_max_lag(10s, 1s).count() == 10'000);
  CHECK(default_max_lag(std::nullopt, 2s).count() == 15'000);
  CHECK(default_fork_depth(12s) == 3);
  CHECK(default_fork_depth(300ms) == 7);
  CHECK(default_fork_depth(1ms) == 64);
  CHECK(default_fork_depth(0ms) == 64);
}

TEST_CASE("families: found by name") {
  CHECK(known_families().size() == 16);
  for (const KnownFamily& family : known_families()) CHECK(find_family(family.name) == &family);
  CHECK(find_family("EVM") == nullptr);
  for (const Chain& chain : known_chains()) {
    REQUIRE(find_family(chain.family) != nullptr);
    CHECK(chain.offers == find_family(chain.family)->offers);
  }
}

}  // namespace
}  // namespace rpcw
