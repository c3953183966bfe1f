// The strategies against a real HAProxy, and what the report tells of them.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>

#include "integration/program_stage.hpp"
#include "model/recompute.hpp"

using namespace rpcw::test;

namespace {

void slow(sim::Provider& provider, double ms) {
  provider.update([&](sim::Behaviour& b) { b.latency_ms = ms; });
}

void lag(sim::Provider& provider, std::uint64_t blocks) {
  provider.update([&](sim::Behaviour& b) { b.lag_blocks = blocks; });
}

/// The file with the strategy that is chosen when none is named.
std::string without_strategy(const Stage& stage) {
  return stage.config({.backend = ""});
}

std::string with_strategy(const Stage& stage, std::string_view name) {
  return stage.config({.backend = fmt::format("strategy = \"{}\"", name)});
}

/// Waits until HAProxy's weights are as `fine` wants them.
template <typename Condition>
bool become(const Stage& stage, Condition fine) {
  Weights last;
  const bool reached = eventually([&] {
    last = stage.weights();
    return last.size() == stage.providers.size() && fine(last);
  });
  if (!reached)
    for (const auto& [name, weight] : last) MESSAGE(name, " has ", weight);
  return reached;
}

/// Waits until a provider's fault has hit so many more requests.
bool felt(sim::Provider& provider, std::uint64_t times) {
  const std::uint64_t before = provider.stats().faulty;
  return eventually([&] { return provider.stats().faulty >= before + times; });
}

}  // namespace

TEST_CASE("adaptive, the default: a fast server gets more, as much as it is faster") {
  const Stage stage;
  slow(*stage.providers[0], 60);
  slow(*stage.providers[1], 180);
  slow(*stage.providers[2], 180);
  Program program({"run", "--config", without_strategy(stage)});
  // 1/60 to 1/180 is 3 to 1; a busy machine adds to all latencies.
  CHECK(become(stage, [](const Weights& w) {
    return sum(w) == 256 && w.at("a") > 2 * w.at("b") && w.at("a") < 4 * w.at("b") && w.at("b") + 8 >= w.at("c") &&
           w.at("c") + 8 >= w.at("b");
  }));
  // Bad news is believed sooner than good news.
  slow(*stage.providers[0], 1000);
  CHECK(
      become(stage, [](const Weights& w) { return sum(w) == 256 && w.at("b") > w.at("a") && w.at("c") > w.at("a"); }));
  CHECK(program.stop() == 0);
}

TEST_CASE("adaptive: a server that lags by blocks loses share, then everything, and comes back") {
  const Stage stage;
  Program program({"run", "--config", without_strategy(stage)});
  REQUIRE(become(stage, [](const Weights& w) { return sum(w) == 256 && w.at("c") >= 60; }));
  // 18 s of 30 s: (30 - 18) / (30 - 1 - 2) of its score is left.
  lag(*stage.providers[2], 18);
  CHECK(become(stage, [](const Weights& w) { return sum(w) == 256 && w.at("c") > 0 && w.at("c") <= 60; }));
  CHECK(program.says("rpc/c: healthy -> degraded"));
  CHECK(program.says("(block_lag: "));
  const Result seen = run({"once", "--dry-run", "--config", without_strategy(stage), "--format", "json"});
  const auto doc = json(seen.out);
  CHECK(at(doc, "/backends/0/strategy").GetString() == std::string("adaptive"));
  CHECK(at(doc, "/backends/0/servers/2/reasons/0/code").GetString() == std::string("block_lag"));
  CHECK(at(doc, "/backends/0/servers/2/inputs/freshness").GetDouble() == doctest::Approx(12.0 / 27).epsilon(0.2));
  CHECK(at(doc, "/backends/0/servers/0/inputs/freshness").GetDouble() == 1);
  const Result table = run({"once", "--dry-run", "--config", without_strategy(stage)});
  CHECK(table.out.find(" behind 1") != std::string::npos);
  CHECK(table.out.find("limit 30 s (block_lag, score x 0.") != std::string::npos);

  lag(*stage.providers[2], 40);
  CHECK(become(stage, [](const Weights& w) { return w.at("c") == 0; }));
  lag(*stage.providers[2], 0);
  CHECK(become(stage, [](const Weights& w) { return sum(w) == 256 && w.at("c") >= 60; }));
  CHECK(program.stop() == 0);
}

TEST_CASE("leader: promotion in the very pass in which the leader falls, and no way back by itself") {
  const Stage stage;
  const Weights a_leads{{"a", 256}, {"b", 0}, {"c", 0}};
  const Weights b_leads{{"a", 0}, {"b", 256}, {"c", 0}};
  const std::string config = with_strategy(stage, "leader");
  Program program({"run", "--config", config});
  REQUIRE(stage.reaches(a_leads));

  stage.break_provider(0);
  // There is always a leader: the new one rises before the old one falls.
  CHECK(become(stage, [&](const Weights& w) {
    CHECK(sum(w) > 0);
    return w == b_leads;
  }));
  const std::vector<std::string> lines = program.lines();
  const auto fall = std::ranges::find_if(
      lines, [](const std::string& l) { return l.find("rpc/a: degraded -> ejected, weight 256 -> 0") != l.npos; });
  REQUIRE(fall != lines.end());
  REQUIRE(fall + 1 != lines.end());
  CHECK((fall + 1)->find("rpc/b: healthy, weight 0 -> 256") != std::string::npos);

  stage.mend_provider(0);
  CHECK(program.says("rpc/a: ejected -> healthy, weight 0 (standby: b leads)"));
  CHECK(stage.weights() == b_leads);

  const auto doc = json(run({"once", "--dry-run", "--config", config, "--format", "json"}).out);
  for (const char* server : {"/backends/0/servers/0", "/backends/0/servers/2"}) {
    const auto& s = at(doc, server);
    CHECK(s["state"].GetString() == std::string("healthy"));
    REQUIRE(s["reasons"].Size() == 1);
    CHECK(s["reasons"][0]["code"].GetString() == std::string("standby"));
    CHECK(s["reasons"][0]["detail"].GetString() == std::string("b leads"));
    CHECK(s["weight"].GetUint() == 0);
    CHECK(s["score"].GetDouble() > 0);
  }
  CHECK(at(doc, "/backends/0/servers/1/reasons").Empty());
  CHECK(run({"once", "--dry-run", "--config", config}).out.find("leader b") != std::string::npos);

  CHECK(program.stop() == 0);
  for (int restart = 0; restart < 3; ++restart) {
    stage.providers[0]->reset_stats();
    Program again({"run", "--config", config});
    CHECK(again.says("rpc/b: unknown -> healthy"));
    CHECK(eventually([&] { return stage.providers[0]->stats().requests >= 6; }));
    CHECK(stage.weights() == b_leads);
    CHECK(again.stop() == 0);
  }
}

TEST_CASE("leader: the backup servers have one of their own, and it does not unseat the active one") {
  sim::World world;
  const Folder folder;
  std::string servers;
  std::string file;
  for (const char* name : {"a", "b", "spare", "reserve"}) {
    const auto& p = world.add(name);
    servers +=
        fmt::format("  server {} 127.0.0.1:{}{}\n", name, p.port(), std::string_view(name).size() > 1 ? " backup" : "");
    file += Stage::server(p);
  }
  const HaproxyProcess haproxy(haproxy_cfg("backend rpc\n  balance roundrobin\n" + servers));
  const std::string config = folder.write(
      "config.toml",
      Stage::tables(fmt::format("\"unix:{}\"", haproxy.admin_socket()), {}) +
          "[[backend]]\nname = \"rpc\"\nchain = \"simchain\"\nstrategy = \"leader\"\neject_time = \"0s\"\n" + file);
  Program program({"run", "--config", config});
  const auto reaches = [&](const Weights& wanted) { return eventually([&] { return weights_of(haproxy) == wanted; }); };
  CHECK(reaches({{"a", 256}, {"b", 0}, {"reserve", 0}, {"spare", 256}}));
  world.find("a")->update([](sim::Behaviour& b) { b.fault = sim::Fault::http_status; });
  CHECK(reaches({{"a", 0}, {"b", 256}, {"reserve", 0}, {"spare", 256}}));
  world.find("a")->set({});
  CHECK(program.says("rpc/a: ejected -> "));
  CHECK(program.says("standby: b leads)"));
  world.find("a")->reset_stats();
  CHECK(eventually([&] { return world.find("a")->stats().requests >= 6; }));
  CHECK(weights_of(haproxy) == Weights{{"a", 0}, {"b", 256}, {"reserve", 0}, {"spare", 256}});

  const Result table = run({"once", "--dry-run", "--config", config});
  CHECK(table.out.find("standby") != std::string::npos);
  CHECK(table.out.find("backup") != std::string::npos);
  world.find("a")->update([](sim::Behaviour& b) { b.fault = sim::Fault::http_status; });
  world.find("b")->update([](sim::Behaviour& b) { b.fault = sim::Fault::http_status; });
  CHECK(reaches({{"a", 0}, {"b", 0}, {"reserve", 0}, {"spare", 256}}));
  const Result taken_over = run({"once", "--dry-run", "--config", config});
  CHECK(taken_over.code == 0);
  CHECK(taken_over.out.find("No active server is healthy: the backup servers have the traffic.") != std::string::npos);
  CHECK(program.stop() == 0);
}

TEST_CASE("tiers: when the own node fails the paid provider takes over, until the own node is back for a while") {
  const Stage stage(2);
  std::string text = stage.toml();
  const std::size_t second = text.find("name = \"b\"");
  REQUIRE(second != std::string::npos);
  text.insert(second, "tier = 1\n  ");
  const std::string config = stage.folder.write("config.toml", text);
  const Weights own{{"a", 256}, {"b", 0}};
  Program program({"run", "--config", config});
  REQUIRE(stage.reaches(own));
  CHECK(stage.goes_on(3));

  const Result table = run({"once", "--dry-run", "--config", config});
  CHECK(table.code == 0);
  CHECK(table.out.find("standby") != std::string::npos);
  CHECK(table.out.find("tier 1: servers of lower tiers are enough") != std::string::npos);
  const auto doc = json(run({"once", "--dry-run", "--config", config, "--format", "json"}).out);
  CHECK(at(doc, "/backends/0/servers/1/state").GetString() == std::string("healthy"));
  CHECK(at(doc, "/backends/0/servers/1/reasons/0/code").GetString() == std::string("standby"));
  CHECK(run({"check", "--config", config}).out.find("tier 1: serves while fewer than 1") != std::string::npos);

  stage.break_provider(0);
  CHECK(stage.reaches({{"a", 0}, {"b", 256}}));
  stage.mend_provider(0);
  // First both serve: a node that flaps must not move the bill each time.
  CHECK(become(stage, [](const Weights& w) { return w.at("a") > 0 && w.at("b") > 0; }));
  // Kept for 30 s (constants::kTierSpareFor).
  CHECK(stage.reaches(own, kPatience + std::chrono::seconds{30}));
  CHECK(program.stop() == 0);
}

TEST_CASE("every score that scores prints as JSON can be recomputed from that JSON alone") {
  const Stage stage(7);
  slow(*stage.providers[1], 55);
  slow(*stage.providers[2], 130);
  lag(*stage.providers[3], 15);
  stage.providers[4]->update([](sim::Behaviour& b) { b.quota_per_s = 0.001; });
  stage.break_provider(5);
  stage.providers[6]->update([](sim::Behaviour& b) {
    b.fault = sim::Fault::rpc_error;
    b.fault_ratio = 0.3;
    b.fault_methods = {"eth_getBlockByNumber"};
  });
  for (const std::string strategy : {"adaptive", "leader", "inverse-latency", "equal"}) {
    CAPTURE(strategy);
    std::string text = stage.toml({.backend = fmt::format("strategy = \"{}\"", strategy)});
    const std::size_t first = text.find("name = \"b\"");
    REQUIRE(first != std::string::npos);
    text.insert(first, "preference = 1.7\n  ");
    const std::string config = stage.folder.write("config.toml", text);
    // The unsteady one fails in its last probe now and then, and is out then.
    const bool smooth = strategy == "adaptive" || strategy == "leader";
    CHECK(eventually([&] {
      const Result r = run({"scores", "--config", config, "--samples", "5", "--format", "json"});
      const auto doc = json(r.out);
      rpcw::model::check_scores(doc);
      CHECK(at(doc, "/backends/0/servers/1/inputs/preference").GetDouble() == 1.7);
      CHECK(at(doc, "/backends/0/servers/0/score").GetDouble() > 0);
      CHECK(at(doc, "/backends/0/servers/5/score").GetDouble() == 0);
      if (smooth) CHECK(at(doc, "/backends/0/servers/3/inputs/freshness").GetDouble() < 1);
      const auto& rate = at(doc, "/backends/0/servers/6/inputs/error_rate");
      return !smooth || (rate.IsNumber() && rate.GetDouble() > 0);
    }));
  }
}

TEST_CASE("run tells a new reason of a server that stays out, and each of them once") {
  const Stage stage;
  Program program({"run", "--config", with_strategy(stage, "equal")});
  const Weights without_b{{"a", 128}, {"b", 0}, {"c", 128}};
  REQUIRE(stage.reaches({{"a", 86}, {"b", 85}, {"c", 85}}));
  stage.break_provider(1);
  REQUIRE(stage.reaches(without_b));
  for (int turn = 0; turn < 3; ++turn) {
    stage.break_provider(1, sim::Fault::rpc_error);
    CHECK(program.says("rpc/b: ejected, weight 0 (rpc_error: "));
    CHECK(felt(*stage.providers[1], 2));
    stage.break_provider(1);
    CHECK(felt(*stage.providers[1], 2));
  }
  CHECK(program.count("rpc/b: ejected, weight 0 (") == 1);
  stage.mend_provider(1);
  CHECK(program.says("rpc/b: ejected -> healthy"));
  // Another time, another story.
  stage.break_provider(1);
  CHECK(program.says("rpc/b: degraded -> ejected", 2));
  stage.break_provider(1, sim::Fault::rpc_error);
  CHECK(program.says("rpc/b: ejected, weight 0 (rpc_error: ", 2));
  CHECK(program.stop() == 0);
}
