// When too few servers are healthy, and what stands outside the shares.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

Result once(const std::string& config) {
  return run({"once", "--config", config, "--format", "json"});
}

}  // namespace

TEST_CASE("nothing healthy: equal weights, told by the exit code and the report") {
  const Stage stage;
  CHECK(once(stage.config({.backend = "strategy = \"inverse-latency\""})).code == 0);
  for (std::size_t i = 0; i < 3; ++i) stage.break_provider(i);
  const Result r = once(stage.config());
  CHECK(r.code == 1);
  CHECK(at(json(r.out), "/backends/0/fallback").GetString() == std::string("equal"));
  CHECK(stage.weights() == Weights{{"a", 85}, {"b", 85}, {"c", 85}});
}

TEST_CASE("nothing healthy: keep leaves the weights as they are") {
  const Stage stage;
  check(stage.haproxy, "set weight rpc/a 10; set weight rpc/b 20; set weight rpc/c 30");
  for (std::size_t i = 0; i < 3; ++i) stage.break_provider(i);
  const Result r = once(stage.config({.backend = "strategy = \"equal\"\nfallback = \"keep\""}));
  CHECK(r.code == 1);
  CHECK(at(json(r.out), "/backends/0/fallback").GetString() == std::string("keep"));
  CHECK(stage.weights() == Weights{{"a", 10}, {"b", 20}, {"c", 30}});

  check(stage.haproxy, "set weight rpc/a 0; set weight rpc/b 0; set weight rpc/c 0");
  const Result none = once(stage.config({.backend = "strategy = \"equal\"\nfallback = \"keep\""}));
  CHECK(none.code == 1);
  CHECK(at(json(none.out), "/backends/0/fallback").GetString() == std::string("equal"));
  CHECK(stage.weights() == Weights{{"a", 85}, {"b", 85}, {"c", 85}});
}

TEST_CASE("nothing healthy: least-bad follows the age of the blocks") {
  const Stage stage;
  for (std::size_t i = 0; i < 3; ++i)
    stage.providers[i]->update([i](sim::Behaviour& b) { b.timestamp_offset_s = i == 0 ? -100 : -100'000; });
  const Result r = once(stage.config({.backend = "strategy = \"equal\"\nfallback = \"least-bad\""}));
  CHECK(r.code == 1);
  CHECK(at(json(r.out), "/backends/0/fallback").GetString() == std::string("least-bad"));
  CHECK(stage.weights() == Weights{{"a", 254}, {"b", 1}, {"c", 1}});
}

TEST_CASE("nothing healthy: a server on another chain still gets nothing") {
  const Stage stage;
  stage.break_provider(0);
  stage.break_provider(1);
  stage.providers[2]->update([](sim::Behaviour& b) { b.chain_id = 5; });
  CHECK(once(stage.config()).code == 1);
  CHECK(stage.weights() == Weights{{"a", 128}, {"b", 128}, {"c", 0}});
}

TEST_CASE("a chain that stands still: those that answer share, the dead ones get nothing") {
  const Stage stage(4);
  Program program({"run", "--config", stage.config({.probe = "timeout = \"500ms\""})});
  CHECK(stage.reaches({{"a", 64}, {"b", 64}, {"c", 64}, {"d", 64}}));
  stage.break_provider(2, sim::Fault::hang);
  stage.break_provider(3, sim::Fault::refuse);
  CHECK(stage.reaches({{"a", 128}, {"b", 128}, {"c", 0}, {"d", 0}}));
  for (const std::size_t i : {0U, 1U})
    stage.providers[i]->update([](sim::Behaviour& b) { b.timestamp_offset_s = -3600; });
  CHECK(program.says("those that answer get the same weight"));
  const std::uint64_t before = stage.providers[0]->stats().requests;
  REQUIRE(eventually([&] { return stage.providers[0]->stats().requests >= before + 4; }));
  CHECK(stage.weights() == Weights{{"a", 128}, {"b", 128}, {"c", 0}, {"d", 0}});
  CHECK(program.stop() == 0);
}

TEST_CASE("a usable backup takes over from active servers that all fail") {
  sim::World world;
  const Folder folder;
  auto& first = world.add("first");
  auto& second = world.add("second");
  auto& spare = world.add("spare");
  const HaproxyProcess haproxy(
      haproxy_cfg(fmt::format("backend rpc\n  server first 127.0.0.1:{}\n  server second 127.0.0.1:{}\n"
                              "  server spare 127.0.0.1:{} backup",
                              first.port(), second.port(), spare.port())));
  std::string managed = Stage::tables(fmt::format("\"unix:{}\"", haproxy.admin_socket()), {}) +
                        "[[backend]]\nname = \"rpc\"\nchain = \"simchain\"\nstrategy = \"equal\"\n" +
                        Stage::server(first) + Stage::server(second);
  sim::Behaviour bad;
  bad.fault = sim::Fault::http_status;
  first.set(bad);
  second.set(bad);

  SUBCASE("one that the file does not name") {
    const Result r = once(folder.write("config.toml", managed));
    CHECK(at(json(r.out), "/backends/0/fallback").IsNull());
    CHECK(weights_of(haproxy) == Weights{{"first", 0}, {"second", 0}, {"spare", 1}});
    CHECK(r.code == 0);
  }
  SUBCASE("one that it does, healthy by our own verdict") {
    const Result r = once(folder.write("config.toml", managed + Stage::server(spare)));
    CHECK(at(json(r.out), "/backends/0/fallback").IsNull());
    CHECK(weights_of(haproxy) == Weights{{"first", 0}, {"second", 0}, {"spare", 256}});
    CHECK_FALSE(at(json(r.out), "/backends/0/servers/0/backup").GetBool());
    CHECK(at(json(r.out), "/backends/0/servers/2/backup").GetBool());
    CHECK(r.code == 0);
  }
  SUBCASE("not one that fails as well") {
    spare.set(bad);
    const Result r = once(folder.write("config.toml", managed + Stage::server(spare)));
    CHECK(at(json(r.out), "/backends/0/fallback").GetString() == std::string("equal"));
    CHECK(weights_of(haproxy).at("first") == 128);
    CHECK(weights_of(haproxy).at("second") == 128);
    CHECK(r.code == 1);
  }
}

TEST_CASE("a server in maintenance stands outside the shares and keeps its weight") {
  const Stage stage;
  for (const char* state : {"maint", "drain"}) {
    CAPTURE(state);
    check(stage.haproxy, "set weight rpc/b 7");
    check(stage.haproxy, fmt::format("set server rpc/b state {}", state));
    const Result r = once(stage.config());
    CHECK(r.code == 0);
    const auto doc = json(r.out);
    CHECK(at(doc, "/backends/0/servers/1/state").GetString() == std::string("disabled"));
    CHECK(at(doc, "/backends/0/servers/1/admin_state").GetString() == std::string(state));
    CHECK(stage.weights() == Weights{{"a", 128}, {"b", 7}, {"c", 128}});
    check(stage.haproxy, "set server rpc/b state ready");
  }
  CHECK(once(stage.config()).code == 0);
  CHECK(stage.weights() == Weights{{"a", 86}, {"b", 85}, {"c", 85}});
}
