// run: the loop against providers that fail and a HAProxy that comes and goes.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

const Weights kAll{{"a", 86}, {"b", 85}, {"c", 85}};
const Weights kWithoutB{{"a", 128}, {"b", 0}, {"c", 128}};

std::uint64_t heads_asked(const sim::Provider& provider) {
  return provider.stats().by_method["eth_getBlockByNumber"];
}

}  // namespace

TEST_CASE("run converges, takes a failing provider out after fall probes and brings it back after rise") {
  const Stage stage;
  std::string text = stage.toml({.probe = "timeout = \"5s\"\nfall = 3\nrise = 2"});
  text.replace(text.find("fast_interval = \"100ms\""), 23, "fast_interval = \"700ms\"");
  text.replace(text.find("interval = \"200ms\""), 18, "interval = \"700ms\"");
  Program program({"run", "--config", stage.folder.write("config.toml", text)});
  CHECK(stage.reaches(kAll));

  stage.providers[1]->reset_stats();
  stage.break_provider(1);
  CHECK(stage.reaches(kWithoutB));
  const std::uint64_t failures = heads_asked(*stage.providers[1]);
  CHECK(failures >= 3);
  CHECK(failures <= 4);
  CHECK(program.says("rpc/b: healthy -> degraded"));
  CHECK(program.says("rpc/b: degraded -> ejected, weight"));
  CHECK(program.says("(http_status: HTTP 503, error -32000"));

  stage.providers[1]->reset_stats();
  stage.mend_provider(1);
  CHECK(eventually([&] { return stage.weights() != kWithoutB; }));
  const std::uint64_t successes = heads_asked(*stage.providers[1]);
  CHECK(successes >= 2);
  CHECK(successes <= 3);
  CHECK(program.says("rpc/b: ejected -> healthy, weight 0 -> "));
  CHECK(stage.reaches(kAll));
  CHECK(program.stop() == 0);
  CHECK(program.out() == "");
}

TEST_CASE("the first round of many providers is one request to each, also where some answer no batches") {
  const Stage stage(36);
  stage.providers[1]->set({.fault = sim::Fault::http_status, .fault_methods = {"batch"}, .http_status = 400});
  stage.providers[2]->set({.chain_id = 56});
  stage.providers[3]->set({.fault = sim::Fault::hang, .fault_methods = {"batch"}});
  Program program({"run", "--config", stage.config({.interval = "1h"})});
  REQUIRE(stage.reaches([&] {
    Weights all;
    for (const auto* p : stage.providers) all[p->name()] = p->name() == "c" ? 0U : p->name() < "m" ? 8U : 7U;
    return all;
  }()));
  for (const sim::Provider* p : stage.providers) {
    CAPTURE(p->name());
    const sim::Stats stats = p->stats();
    const bool alone = p->name() == "b" || p->name() == "d";
    CHECK(stats.by_method.at("eth_chainId") == (alone ? 2 : 1));
    if (!alone) CHECK(stats.requests <= 2);
  }
  CHECK(program.stop() == 0);
}

TEST_CASE("run tells each change once, and nothing while nothing changes") {
  const Stage stage;
  Program program({"run", "--config", stage.config()});
  REQUIRE(stage.reaches(kAll));
  REQUIRE(stage.goes_on(5));
  const std::vector<std::string> lines = program.lines();
  CHECK(lines.size() == 5);  // the start, HAProxy, three servers
  for (const char* server : {"a", "b", "c"}) CHECK(program.count(fmt::format("rpc/{}: ", server)) == 1);
  // The sentence says it all: no key=value follows it.
  CHECK(program.count("backend=") == 0);
  CHECK(program.stop() == 0);
}

TEST_CASE("every line of a JSON log is an object that says what changed and why") {
  const Stage stage;
  Program program({"run", "--config", stage.config({.log = "format = \"json\""})});
  REQUIRE(stage.reaches(kAll));
  stage.break_provider(1, sim::Fault::rpc_error);
  REQUIRE(stage.reaches(kWithoutB));
  CHECK(program.stop() == 0);
  unsigned of_b = 0;
  for (const std::string& line : program.lines()) {
    const auto doc = json(line);
    CHECK(names(doc).starts_with("time level event message"));
    if (!doc.HasMember("server") || at(doc, "/server").GetString() != std::string("b")) continue;
    CHECK(at(doc, "/event").GetString() == std::string("state_changed"));
    CHECK(at(doc, "/backend").GetString() == std::string("rpc"));
    const std::array states{"unknown", "healthy", "degraded", "ejected"};
    CHECK(at(doc, "/from_state").GetString() == std::string(states.at(of_b)));
    const std::string state = at(doc, "/to_state").GetString();
    CHECK(state == states.at(++of_b));
    // Before the first decision there was none.
    CHECK(doc.HasMember("from_weight") == (of_b > 1));
    if (of_b > 1) CHECK(at(doc, "/from_weight").IsInt());
    if (state == "healthy")
      CHECK_FALSE(doc.HasMember("reasons"));
    else
      CHECK(at(doc, "/reasons/0/code").GetString() == std::string("rpc_error"));
    if (state == "ejected") CHECK(at(doc, "/to_weight").GetInt() == 0);
  }
  CHECK(of_b == 3);
}

TEST_CASE("a HAProxy that goes is told once, and so is its return") {
  Stage stage;
  Program program({"run", "--config", stage.config()});
  REQUIRE(stage.reaches(kAll));
  // A read that was under way may fail in another way before, which is told as well.
  constexpr std::string_view kGone = "cannot connect: ";
  for (std::size_t round = 1; round <= 2; ++round) {
    stage.haproxy.stop();
    CHECK(program.says(kGone, round));
    CHECK(stage.goes_on(8));
    stage.haproxy.restart();
    CHECK(program.says("is back: version", round));
    CHECK(stage.reaches(kAll));
  }
  CHECK(program.count(kGone) == 2);
  CHECK(program.count("is back") == 2);
  CHECK(program.stop() == 0);
}

TEST_CASE("run waits for a HAProxy that is not there yet") {
  Stage stage;
  stage.haproxy.stop();
  Program program({"run", "--config", stage.config()});
  CHECK(program.says("HAProxy cannot be used"));
  CHECK(stage.goes_on(3));
  stage.haproxy.restart();
  CHECK(stage.reaches(kAll));
  CHECK(program.count("HAProxy cannot be used") == 1);
  CHECK(program.says("is there: version"));
  CHECK(program.count("is there: version") == 1);
  CHECK(program.stop() == 0);
}

TEST_CASE("a HAProxy that hangs is told once and has its weights when it goes on") {
  Stage stage;
  Program program({"run", "--config", stage.config({.haproxy_timeout = "300ms"})});
  REQUIRE(stage.reaches(kAll));
  stage.haproxy.pause();
  CHECK(program.says("HAProxy cannot be used"));
  stage.break_provider(1);
  CHECK(program.says("rpc/b: degraded -> ejected"));
  stage.haproxy.resume();
  CHECK(stage.reaches(kWithoutB));
  CHECK(program.count("HAProxy cannot be used") == 1);
  CHECK(program.stop() == 0);
}

TEST_CASE("a reload of HAProxy loses the weights for a moment only") {
  Stage stage(3, "", true);
  Program program({"run", "--config", stage.config()});
  REQUIRE(stage.reaches(kAll));
  stage.haproxy.reload();
  CHECK(stage.reaches(kAll));
  CHECK(program.says("was reloaded: pid "));
  CHECK(program.count("cannot be used") == 0);
  CHECK(program.stop() == 0);
}

TEST_CASE("weights that another writer changes are put back") {
  const Stage stage;
  Program program({"run", "--config", stage.config()});
  REQUIRE(stage.reaches(kAll));
  check(stage.haproxy, "set weight rpc/a 0; set weight rpc/c 256");
  CHECK(stage.reaches(kAll));
  CHECK(program.stop() == 0);
  CHECK(stage.weights() == kAll);  // they stay
}

TEST_CASE("a server in maintenance leaves the shares and comes back") {
  const Stage stage;
  Program program({"run", "--config", stage.config()});
  REQUIRE(stage.reaches(kAll));
  check(stage.haproxy, "set server rpc/b state maint");
  CHECK(stage.reaches({{"a", 128}, {"b", 85}, {"c", 128}}));
  CHECK(program.says("rpc/b: healthy -> disabled"));
  check(stage.haproxy, "set server rpc/b state ready");
  CHECK(stage.reaches(kAll));
  CHECK(program.stop() == 0);
}

TEST_CASE("a dry run says what it would do, once, and does nothing") {
  const Stage stage;
  const Weights before = stage.weights();
  Program program({"run", "--config", stage.config(), "--dry-run"});
  CHECK(program.says("dry run: would set weight rpc/a 1 -> 86"));
  CHECK(stage.goes_on(5));
  CHECK(program.count("would set weight rpc/a") == 1);
  CHECK(stage.weights() == before);
  CHECK(program.stop() == 0);
}

TEST_CASE("a refusal is told once and not tried again and again") {
  const Stage stage;
  Program program({"run", "--config",
                   stage.config({.endpoints = fmt::format("\"unix:{}\"", stage.haproxy.path("operator.sock"))})});
  CHECK(program.says("Permission denied", 3));
  CHECK(stage.goes_on(8));
  CHECK(program.count("Permission denied") == 3);
  CHECK(program.stop() == 0);
}

TEST_CASE("a server that HAProxy lacks is told once, and the others are served") {
  Stage stage;
  const auto& extra = stage.world.add("extra");
  Program program({"run", "--config", stage.folder.write("config.toml", stage.toml() + Stage::server(extra))});
  CHECK(stage.reaches({{"a", 86}, {"b", 85}, {"c", 85}}));
  CHECK(stage.goes_on(8));
  CHECK(program.says("has no server extra"));
  CHECK(program.count("has no server extra") == 1);
  CHECK(program.stop() == 0);
}

TEST_CASE("no healthy server: equal weights, and a line at either end") {
  const Stage stage;
  Program program({"run", "--config", stage.config()});
  REQUIRE(stage.reaches(kAll));
  for (std::size_t i = 0; i < 3; ++i) stage.break_provider(i);
  CHECK(program.says("0 of 3 servers healthy, min_healthy is 1: all get the same weight"));
  // Equal but for the one that is over, which is not worth a push.
  CHECK(eventually([&] {
    const Weights w = stage.weights();
    return w.size() == 3 && std::ranges::all_of(w, [](const auto& of) { return of.second == 85 || of.second == 86; });
  }));
  CHECK(program.count("no provider of any backend can be reached") == 0);  // they answer, if with errors
  for (std::size_t i = 0; i < 3; ++i) stage.mend_provider(i);
  CHECK(program.says("enough servers are healthy again"));
  CHECK(program.stop() == 0);
  CHECK(program.count("min_healthy is 1") == 1);
}

TEST_CASE("no provider reachable: it says to look at one's own network, once") {
  const Stage stage;
  Program program({"run", "--config", stage.config()});
  REQUIRE(stage.reaches(kAll));
  for (std::size_t i = 0; i < 3; ++i) stage.break_provider(i, sim::Fault::refuse);
  CHECK(program.says("no provider of any backend can be reached"));
  for (std::size_t i = 0; i < 3; ++i) stage.mend_provider(i);
  CHECK(program.says("providers can be reached again"));
  CHECK(stage.reaches(kAll));
  CHECK(program.stop() == 0);
}

TEST_CASE("a backup and a maintenance are known before anything is pushed") {
  sim::World world;
  const Folder folder;
  const auto& first = world.add("first");
  const auto& spare = world.add("spare");
  HaproxyProcess haproxy(
      haproxy_cfg(fmt::format("backend rpc\n  server first 127.0.0.1:{}\n  server spare 127.0.0.1:{} backup weight 9",
                              first.port(), spare.port())));
  world.find("first")->update([](sim::Behaviour& b) { b.fault = sim::Fault::http_status; });
  haproxy.stop();
  const std::string config = folder.write(
      "config.toml", Stage::tables(fmt::format("\"unix:{}\"", haproxy.admin_socket()), {.log = "level = \"debug\""}) +
                         "[[backend]]\nname = \"rpc\"\nchain = \"simchain\"\nstrategy = \"equal\"\n" +
                         Stage::server(first) + Stage::server(spare));
  Program program({"run", "--config", config});
  CHECK(program.says("rpc/spare: unknown -> healthy"));  // decided before HAProxy was ever seen
  haproxy.restart();
  CHECK(eventually([&] { return weights_of(haproxy) == Weights{{"first", 0}, {"spare", 256}}; }));
  CHECK(program.says("rpc/spare set to 256"));
  CHECK(program.says("rpc/first set to 0"));
  CHECK(program.stop() == 0);
  CHECK(program.count("/spare set to") == 1);
  CHECK(program.count("/first set to") == 1);
}
