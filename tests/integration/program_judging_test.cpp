// What is asked besides heads: forks, sync state, peers, canaries, the chain's identity.
#include <doctest/doctest.h>

#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

rapidjson::Document scores(const Stage& stage, const Stage::Keys& keys = {}) {
  const Result r = run({"scores", "--config", stage.config(keys), "--format", "json"});
  CHECK(r.code == 0);
  return json(r.out);
}

std::string state(const rapidjson::Document& report, std::size_t server) {
  return at(report, "/backends/0/servers/" + std::to_string(server) + "/state").GetString();
}

/// The first reason's code and detail; empty: it has none.
std::string reason(const rapidjson::Document& report, std::size_t server) {
  const auto& reasons = at(report, "/backends/0/servers/" + std::to_string(server) + "/reasons");
  if (reasons.Empty()) return {};
  return std::string(reasons[0]["code"].GetString()) + ": " + reasons[0]["detail"].GetString();
}

std::uint64_t asked(const sim::Provider& provider, std::string_view method) {
  const auto stats = provider.stats();
  const auto at = stats.by_method.find(method);
  return at == stats.by_method.end() ? 0 : at->second;
}

}  // namespace

TEST_CASE("a provider on a fork is found in a single pass, and costs nothing while all agree") {
  const Stage stage(4);
  scores(stage);
  for (const sim::Provider* p : stage.providers) CHECK(asked(*p, "eth_getBlockByNumber") <= 2);
  stage.providers[1]->set({.fork_from = 900});
  const auto report = scores(stage);
  CHECK(state(report, 1) == "ejected");
  CHECK(reason(report, 1).starts_with("forked: block "));
  CHECK(reason(report, 1).ends_with(sim::block_hash(1, 900).substr(0, 2) +
                                    reason(report, 1).substr(reason(report, 1).rfind("0x") + 2)));
  for (const std::size_t i : {0U, 2U, 3U}) CHECK(state(report, i) == "healthy");
  // Nobody else's word is worth less for it: the fork's head is no voice.
  CHECK(at(report, "/backends/0/head/agreed_by").GetUint() == 3);
}

TEST_CASE("two against two is noted, and changes nothing") {
  const Stage stage(4);
  stage.providers[0]->set({.fork_from = 900});
  stage.providers[1]->set({.fork_from = 900});
  const auto report = scores(stage);
  for (std::size_t i = 0; i < 4; ++i) CHECK(state(report, i) == "healthy");
  REQUIRE(at(report, "/backends/0/notes").Size() == 1);
  CHECK(at(report, "/backends/0/notes/0/code").GetString() == std::string("fork_tie"));
}

TEST_CASE("run finds a fork that begins while it runs, and its end") {
  const Stage stage(3);
  Program program({"run", "--config", stage.config()});
  CHECK(stage.reaches({{"a", 86}, {"b", 85}, {"c", 85}}));
  stage.providers[1]->set({.fork_from = 900});
  // Chains are compared every 10 s at the most.
  CHECK(stage.reaches({{"a", 128}, {"b", 0}, {"c", 128}}, std::chrono::seconds{40}));
  CHECK(program.says("rpc/b: healthy -> ejected, weight"));
  CHECK(program.says("(forked: block "));
  stage.providers[1]->set({});
  CHECK(eventually([&] { return stage.weights()["b"] > 0; }, std::chrono::seconds{40}));
  CHECK(program.stop() == 0);
}

TEST_CASE("a syncing node is out, and one that is two blocks from its target is not") {
  const Stage stage(3);
  stage.providers[0]->set({.syncing = true, .syncing_blocks = 1000});
  stage.providers[1]->set({.syncing = true, .syncing_blocks = 2});
  const auto report = scores(stage);
  CHECK(state(report, 0) == "ejected");
  CHECK(reason(report, 0) == "syncing: the node says that it lacks 1000 blocks");
  CHECK(state(report, 1) == "healthy");
  CHECK(state(report, 2) == "healthy");
}

TEST_CASE("what a provider does not offer is no failure, and is not asked for again") {
  const Stage stage(2);
  for (sim::Provider* p : stage.providers) p->set({.unsupported_methods = {"eth_syncing", "net_peerCount"}});
  Program program({"run", "--config", stage.config({.backend = "strategy = \"equal\"\nmin_peers = 3"})});
  CHECK(stage.reaches({{"a", 128}, {"b", 128}}));
  CHECK(eventually([&] { return asked(*stage.providers[0], "eth_getBlockByNumber") >= 10; }));
  CHECK(asked(*stage.providers[0], "eth_syncing") == 1);
  CHECK(asked(*stage.providers[0], "net_peerCount") == 1);
  CHECK(program.stop() == 0);
}

TEST_CASE("peers are asked for only when min_peers wants them, and too few weigh less") {
  const Stage stage(2);
  stage.providers[1]->set({.peers = 2});
  scores(stage);
  CHECK(asked(*stage.providers[1], "net_peerCount") == 0);
  const auto report = scores(stage, {.backend = "strategy = \"equal\"\nmin_peers = 3"});
  CHECK(asked(*stage.providers[1], "net_peerCount") == 1);
  CHECK(state(report, 1) == "degraded");
  CHECK(reason(report, 1) == "too_few_peers: 2 peers, min_peers 3");
  CHECK(at(report, "/backends/0/servers/0/weight").GetUint() == 171);
  CHECK(at(report, "/backends/0/servers/1/weight").GetUint() == 85);
}

TEST_CASE("a canary that fails takes its server out after fall of its own answers, and brings it back") {
  const Stage stage(3);
  std::string text = stage.toml({.probe = "timeout = \"5s\"\nfall = 2\nrise = 1"});
  text.insert(
      text.find("  [[backend.server]]"),
      "  [[backend.canary]]\n  method = \"eth_call\"\n  params = [{ to = \"0x00\" }, \"latest\"]\n  interval = \"1s\"\n");
  Program program({"run", "--config", stage.folder.write("config.toml", text)});
  CHECK(stage.reaches({{"a", 86}, {"b", 85}, {"c", 85}}));
  stage.providers[1]->set({.fault = sim::Fault::rpc_error, .fault_methods = {"eth_call"}});
  CHECK(stage.reaches({{"a", 128}, {"b", 0}, {"c", 128}}));
  CHECK(program.says("(canary_failed: eth_call: rpc_error: error -32000: internal error)"));
  stage.mend_provider(1);
  // While it is out the canary is asked every 30 s.
  CHECK(eventually([&] { return stage.weights()["b"] > 0; }, std::chrono::seconds{60}));
  CHECK(program.stop() == 0);
}

TEST_CASE("a provider whose chain changes behind the same URL is asked who it is when its head jumps") {
  const Stage stage(3);
  Program program({"run", "--config", stage.config()});
  CHECK(stage.reaches({{"a", 86}, {"b", 85}, {"c", 85}}));
  const std::uint64_t before = asked(*stage.providers[1], "eth_chainId");
  stage.providers[1]->set({.chain_id = 56, .ahead_blocks = 1'000'000});
  CHECK(stage.reaches({{"a", 128}, {"b", 0}, {"c", 128}}));
  CHECK(eventually([&] { return asked(*stage.providers[1], "eth_chainId") > before; }));
  CHECK(program.stop() == 0);
}
