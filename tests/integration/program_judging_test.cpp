// What is asked besides heads: forks, sync state, peers, canaries, the chain's identity.
#include <doctest/doctest.h>
#include <sys/resource.h>

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
  // The others' votes count as before: the fork's head has none.
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

TEST_CASE("a syncing node is out, and one that is two blocks from its target, or level with the others, is not") {
  const Stage stage(4);
  stage.providers[0]->set({.lag_blocks = 900, .syncing = true, .syncing_blocks = 1000});
  stage.providers[1]->set({.syncing = true, .syncing_blocks = 2});
  stage.providers[2]->set({.syncing = true, .syncing_blocks = 300'000});
  const auto report = scores(stage);
  CHECK(state(report, 0) == "ejected");
  const auto& reasons = at(report, "/backends/0/servers/0/reasons");
  const auto& last = reasons[reasons.Size() - 1];
  CHECK(last["code"].GetString() == std::string("syncing"));
  CHECK(last["detail"].GetString() == std::string("the node says that it lacks 1000 blocks"));
  for (const std::size_t i : {1U, 2U, 3U}) CHECK(state(report, i) == "healthy");
}

TEST_CASE("a provider that refuses to tell its chain for a while is found out soon afterwards") {
  const Stage stage(3);
  stage.providers[1]->set({.chain_id = 56,
                           .fault = sim::Fault::rpc_error,
                           .fault_methods = {"eth_chainId"},
                           .rpc_error_message = "backend not available"});
  Program program({"run", "--config", stage.config()});
  CHECK(stage.reaches({{"a", 86}, {"b", 85}, {"c", 85}}));
  CHECK(eventually([&] { return asked(*stage.providers[1], "eth_chainId") >= 3; }));
  CHECK(stage.weights()["b"] == 85);
  stage.providers[1]->set({.chain_id = 56});
  CHECK(stage.reaches({{"a", 128}, {"b", 0}, {"c", 128}}));
  CHECK(program.says("(wrong_chain: answers for chain 56"));
  CHECK(program.stop() == 0);
}

TEST_CASE("one of two that answers 403 for a while and comes back as another chain is found out") {
  const Stage stage(2);
  Program program({"run", "--config", stage.config()});
  CHECK(stage.reaches({{"a", 128}, {"b", 128}}));
  stage.providers[1]->set({.fault = sim::Fault::http_status, .http_status = 403});
  CHECK(stage.reaches({{"a", 256}, {"b", 0}}));
  CHECK(stage.goes_on(10));
  // It tells its chain not even then, for a while.
  stage.providers[1]->set({.chain_id = 56,
                           .lag_blocks = 500,
                           .timestamp_offset_s = 500,
                           .fault = sim::Fault::http_status,
                           .fault_methods = {"eth_chainId"},
                           .http_status = 403});
  CHECK(stage.goes_on(10));
  CHECK(stage.weights()["b"] <= 1);
  stage.providers[1]->set({.chain_id = 56, .lag_blocks = 500, .timestamp_offset_s = 500});
  CHECK(program.says("wrong_chain: answers for chain 56"));
  CHECK(stage.reaches({{"a", 256}, {"b", 0}}));
  CHECK(program.stop() == 0);
}

TEST_CASE("a provider with two pools of nodes, one of which stands at block 16, is out until that is mended") {
  const Stage stage(3);
  Program program({"run", "--config", stage.config()});
  CHECK(stage.reaches({{"a", 86}, {"b", 85}, {"c", 85}}));
  stage.providers[1]->set({.other_pool_head = 16});
  CHECK(stage.reaches({{"a", 128}, {"b", 0}, {"c", 128}}));
  CHECK(stage.goes_on(20));
  CHECK(stage.weights()["b"] == 0);
  CHECK(program.says("falls back by more than max_lag again and again"));
  stage.mend_provider(1);
  CHECK(eventually([&] { return stage.weights()["b"] > 0; }, std::chrono::seconds{40}));
  CHECK(program.stop() == 0);
}

TEST_CASE("two of five that claim 500 blocks more at a fresh start get nothing") {
  const Stage stage(5);
  for (const std::size_t i : {0U, 1U}) stage.providers[i]->set({.ahead_blocks = 500});
  const auto report = scores(stage);
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(state(report, i) == (i < 2 ? "ejected" : "healthy"));
    if (i < 2) CHECK(reason(report, i).starts_with("block_ahead: "));
  }
  CHECK(at(report, "/backends/0/head/agreed_by").GetUint() == 3);

  // Two against two: there is no majority.
  const Stage even(4);
  for (const std::size_t i : {0U, 1U}) even.providers[i]->set({.ahead_blocks = 500});
  const auto tied = scores(even);
  for (std::size_t i = 0; i < 4; ++i) CHECK(state(tied, i) == "healthy");
  CHECK(at(tied, "/backends/0/notes/0/code").GetString() == std::string("no_quorum"));
}

TEST_CASE("an answer to another request is a bad answer") {
  const Stage stage(2);
  stage.break_provider(1, sim::Fault::other_id);
  const auto report = scores(stage);
  CHECK(state(report, 0) == "healthy");
  CHECK(state(report, 1) == "ejected");
  CHECK(reason(report, 1) == "bad_answer: it answers another request: its id is not ours");
}

TEST_CASE("check --online tells a network that the key is not enabled for as an error of configuration") {
  const Stage stage(2);
  stage.providers[1]->set({.fault = sim::Fault::http_status,
                           .http_status = 403,
                           .http_body = R"({"error":{"code":-32600,"message":"App not enabled for network"}})"});
  const Result r = run({"check", "--online", "--config", stage.config()});
  CHECK(r.code == 1);
  // The table may break the line anywhere.
  std::string words = r.out;
  std::erase_if(words, [](char c) { return c == ' ' || c == '\n'; });
  CHECK_MESSAGE(words.find("anerrorofconfiguration") != std::string::npos, r.out);
}

TEST_CASE("probes that wait for hung ones in our own queue cost healthy providers nothing") {
  const Stage stage(6);
  for (const std::size_t i : {2U, 3U, 4U, 5U}) stage.providers[i]->set({.latency_ms = 10});
  Program program(
      {"run", "--config",
       stage.config({.probe = "timeout = \"1s\"\nmax_in_flight = 2", .backend = "strategy = \"adaptive\""})});
  CHECK(eventually([&] { return sum(stage.weights()) == 256; }));
  for (const std::size_t i : {2U, 3U, 4U, 5U}) stage.break_provider(i, sim::Fault::hang);
  CHECK(eventually([&] {
    const Weights w = stage.weights();
    return w.at("c") + w.at("d") + w.at("e") + w.at("f") == 0;
  }));
  // The hung ones hold both places nearly all the time, and the other two wait for seconds.
  const Weights settled = stage.weights();
  CHECK(settled.at("a") + settled.at("b") == 256);
  for (int i = 0; i < 5; ++i) {
    CHECK(stage.goes_on(1));
    const Weights w = stage.weights();
    CHECK(w.at("a") >= 64);
    CHECK(w.at("b") >= 64);
  }
  CHECK(program.count("rpc/a: healthy ->") == 0);
  CHECK(program.count("rpc/b: healthy ->") == 0);
  CHECK(program.stop() == 0);
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

TEST_CASE("a provider whose chain changes behind the same URL is asked for its identity when its head jumps") {
  const Stage stage(3);
  Program program({"run", "--config", stage.config()});
  CHECK(stage.reaches({{"a", 86}, {"b", 85}, {"c", 85}}));
  const std::uint64_t before = asked(*stage.providers[1], "eth_chainId");
  stage.providers[1]->set({.chain_id = 56, .ahead_blocks = 1'000'000});
  CHECK(stage.reaches({{"a", 128}, {"b", 0}, {"c", 128}}));
  CHECK(eventually([&] { return asked(*stage.providers[1], "eth_chainId") > before; }));
  CHECK(program.stop() == 0);
}

TEST_CASE(
    "descriptors that run out cost no server its weight, and one that was out returns when there are some again") {
  const Stage stage(3);
  Program program({"run", "--config", stage.config()});
  CHECK(stage.reaches({{"a", 86}, {"b", 85}, {"c", 85}}));
  stage.break_provider(1, sim::Fault::refuse);
  CHECK(stage.reaches({{"a", 128}, {"b", 0}, {"c", 128}}));
  rlimit before{};
  REQUIRE(prlimit(program.pid(), RLIMIT_NOFILE, nullptr, &before) == 0);
  rlimit none = before;
  none.rlim_cur = 3;
  REQUIRE(prlimit(program.pid(), RLIMIT_NOFILE, &none, nullptr) == 0);
  stage.mend_provider(1);
  // Its connection ends, and there is no new one.
  stage.break_provider(2, sim::Fault::refuse);
  stage.mend_provider(2);
  CHECK(program.says("rpc/c: healthy -> degraded"));
  const std::uint64_t asked_before = stage.providers[0]->stats().requests;
  CHECK(eventually([&] { return stage.providers[0]->stats().requests > asked_before + 10; }));
  CHECK(stage.weights() == Weights{{"a", 128}, {"b", 0}, {"c", 128}});
  REQUIRE(prlimit(program.pid(), RLIMIT_NOFILE, &before, nullptr) == 0);
  CHECK(stage.reaches({{"a", 86}, {"b", 85}, {"c", 85}}));
  CHECK(program.count("rpc/c: degraded -> ejected") == 0);
  CHECK(program.stop() == 0);
}
