// One node, several doors: a backend that follows another one, with a real HAProxy.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>

#include "integration/load.hpp"
#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

/// The stage's providers again behind a backend `ws`, and there a server that `rpc` lacks.
std::string two_doors(const Stage& stage, std::string_view more = "") {
  std::string ws = "backend ws\n  balance leastconn\n";
  for (const auto* p : stage.providers)
    ws += fmt::format("  server {} 127.0.0.1:{} weight 100\n", p->name(), p->port());
  return haproxy_cfg(stage.providers, {.more = ws + std::string(more)});
}

constexpr std::string_view kFollower = "[[backend]]\nname = \"ws\"\nfollows = \"rpc\"\nstrategy = \"equal\"\n";

std::string config_of(const Stage& stage, const HaproxyProcess& haproxy, std::string_view follower = kFollower) {
  Stage::Keys keys;
  keys.endpoints = fmt::format("\"unix:{}\"", haproxy.admin_socket());
  return stage.folder.write("config.toml", stage.toml(keys) + std::string(follower));
}

const Weights kThirds{{"a", 86}, {"b", 85}, {"c", 85}};
const Weights kWithoutA{{"a", 0}, {"b", 128}, {"c", 128}};

}  // namespace

TEST_CASE("follows: one probe judges a node behind both backends") {
  const Stage stage;
  const HaproxyProcess haproxy(two_doors(stage));
  const std::string config = config_of(stage, haproxy);
  const std::uint64_t before = stage.contacts();
  const Result once = run({"once", "--config", config, "--format", "json"});
  CHECK(once.code == 0);
  const auto report = json(once.out);
  CHECK(at(report, "/backends/0/follows").IsNull());
  CHECK(std::string(at(report, "/backends/1/follows").GetString()) == "rpc");
  CHECK(std::string(at(report, "/backends/1/chain").GetString()) == "simchain");
  CHECK(std::string(at(report, "/backends/1/servers/0/state").GetString()) == "healthy");
  CHECK(at(report, "/backends/1/servers/0/block/number") == at(report, "/backends/0/servers/0/block/number"));
  CHECK(weights_of(haproxy, "rpc") == kThirds);
  CHECK(weights_of(haproxy, "ws") == kThirds);
  // As many requests as without the follower.
  const std::uint64_t both = stage.contacts() - before;
  CHECK(run({"once", "--config", config_of(stage, haproxy, ""), "--format", "json"}).code == 0);
  CHECK(stage.contacts() - before == 2 * both);

  const std::string again = config_of(stage, haproxy);
  Program program({"run", "--config", again, "--state", stage.folder.path("state")});
  stage.break_provider(0);
  CHECK(eventually([&] { return weights_of(haproxy, "rpc") == kWithoutA && weights_of(haproxy, "ws") == kWithoutA; }));
  stage.mend_provider(0);
  CHECK(eventually([&] { return weights_of(haproxy, "rpc") == kThirds && weights_of(haproxy, "ws") == kThirds; }));
  // What an operator takes out of one stays in the other.
  check(haproxy, "set server ws/b state maint");
  CHECK(eventually([&] { return weights_of(haproxy, "ws")["a"] == 128; }));
  CHECK(weights_of(haproxy, "rpc") == kThirds);
  check(haproxy, "set server ws/b state ready");
  CHECK(eventually([&] { return weights_of(haproxy, "ws") == kThirds; }));

  SUBCASE("SIGHUP brings it in and takes it out") {
    config_of(stage, haproxy, "");
    program.signal(SIGHUP);
    CHECK(program.says("was read again"));
    check(haproxy, "set weight ws/a 7");
    CHECK(stage.goes_on(3));
    CHECK(weights_of(haproxy, "ws")["a"] == 7);
    config_of(stage, haproxy);
    program.signal(SIGHUP);
    CHECK(eventually([&] { return weights_of(haproxy, "ws") == kThirds; }));
  }
  CHECK(program.stop() == 0);
  const Result restarted = run({"once", "--config", again, "--state", stage.folder.path("state")});
  CHECK(restarted.code == 0);
  CHECK(restarted.err.empty());
}

TEST_CASE("follows: errors of the follower's own traffic count for both") {
  const Stage stage;
  const std::uint16_t port = free_port();
  const HaproxyProcess haproxy(
      two_doors(stage, fmt::format("frontend door\n  bind 127.0.0.1:{}\n  default_backend ws\n", port)));
  Stage::Keys keys;
  keys.endpoints = fmt::format("\"unix:{}\"", haproxy.admin_socket());
  // Probes are so rare that only live traffic can be the cause.
  keys.interval = keys.fast_interval = keys.eject_time = "10m";
  keys.backend = "strategy = \"equal\"\nmax_eject_time = \"10m\"";
  Program program({"run", "--config", stage.folder.write("config.toml", stage.toml(keys) + std::string(kFollower))});
  REQUIRE(eventually([&] { return weights_of(haproxy, "ws") == kThirds; }));
  const Load load(port, 90);
  REQUIRE(eventually([&] { return load.answers() > 30; }));
  // Probes answer well; real requests do not.
  stage.providers[0]->update([](sim::Behaviour& b) {
    b.fault = sim::Fault::http_status;
    b.http_status = 500;
    b.fault_methods = {std::string(Load::kMethod)};
  });
  CHECK(eventually([&] { return weights_of(haproxy, "ws") == kWithoutA && weights_of(haproxy, "rpc") == kWithoutA; },
                   3 * kPatience));
  CHECK(program.stop() == 0);
}

TEST_CASE("follows: a server that the other backend lacks is told, and so is a backend chosen alone") {
  const Stage stage;
  const HaproxyProcess haproxy(two_doors(stage, "  server extra 127.0.0.1:1 weight 44\n"));
  const std::string config = config_of(stage, haproxy);
  const auto report = json(run({"once", "--config", config, "--format", "json"}).out);
  CHECK(std::string(at(report, "/backends/1/notes/0/code").GetString()) == "unmanaged");
  CHECK(std::string(at(report, "/backends/1/notes/0/detail").GetString()) ==
        "server extra holds 44 of 300; rpc, which it follows, has no server of that name");
  const Result alone = run({"once", "--config", config, "--backend", "ws"});
  CHECK(alone.code == 2);
  CHECK(alone.err.find("--backend ws: its servers are judged in rpc, which it follows; add --backend rpc") !=
        std::string::npos);
  const Result checked = run({"check", "--config", config, "--online"});
  CHECK(checked.code == 0);
  CHECK(checked.out.find("rpc: its servers are judged there, no probes of its own") != std::string::npos);
  CHECK(checked.out.find("ws  follows rpc") != std::string::npos);
}

TEST_CASE("follows: a backend with `discover` is followed as servers come and go") {
  const Stage stage;
  const HaproxyProcess haproxy(two_doors(stage));
  Stage::Keys keys;
  const std::string file =
      Stage::tables(fmt::format("\"unix:{}\"", haproxy.admin_socket()), keys) +
      "[[backend]]\nname = \"rpc\"\nchain = \"simchain\"\nstrategy = \"equal\"\nramp = \"0s\"\neject_time = \"0s\"\n"
      "discover = \"http://{addr}/\"\n" +
      std::string(kFollower) + "[[backend.server]]\nname = \"b\"\npreference = 3\n";
  const std::string config = stage.folder.write("config.toml", file);
  const Weights preferred{{"a", 51}, {"b", 154}, {"c", 51}};
  const std::string recording = stage.folder.path("recording");
  Program program({"run", "--config", config, "--record", recording});
  CHECK(eventually([&] { return weights_of(haproxy, "rpc") == kThirds && weights_of(haproxy, "ws") == preferred; }));
  check(haproxy, "set server rpc/c state maint");
  check(haproxy, "del server rpc/c");
  CHECK(eventually([&] {
    return weights_of(haproxy, "rpc") == Weights{{"a", 128}, {"b", 128}} && weights_of(haproxy, "ws")["a"] == 64;
  }));
  // Without the words of the other tests' providers: no URL of this file has these secrets.
  stage.providers[0]->update([](sim::Behaviour& b) { b.fault = sim::Fault::http_status; });
  CHECK(eventually([&] { return weights_of(haproxy, "ws")["a"] == 0 && weights_of(haproxy, "rpc")["a"] == 0; }));
  CHECK(program.stop() == 0);
  const Result replayed = run({"replay", "--config", config, recording});
  CHECK(replayed.code == 0);
  CAPTURE(replayed.out);
  CHECK(replayed.err == "");
  CHECK(replayed.out.find("same weights in all ") != std::string::npos);
  CHECK(replayed.out.find("left out") == std::string::npos);
}
