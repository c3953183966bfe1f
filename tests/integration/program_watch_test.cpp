// How HAProxy is read again and again: large ones, those that start again, and those that only half work.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <thread>

#include "integration/fake_haproxy.hpp"
#include "integration/program_stage.hpp"

using namespace rpcw::test;
using namespace std::chrono_literals;

namespace {

const Weights kThirds{{"a", 86}, {"b", 85}, {"c", 85}};

std::string unix_endpoint(const std::string& path) {
  return fmt::format("\"unix:{}\"", path);
}

}  // namespace

TEST_CASE("a large HAProxy is read less often, and its reload is noticed all the same") {
  const Stage stage;
  std::string backend = "backend rpc\n  balance roundrobin\n";
  for (const auto* p : stage.providers) backend += fmt::format("  server {} 127.0.0.1:{}\n", p->name(), p->port());
  for (int i = 0; i < 4000; ++i) backend += fmt::format("  server other{} 127.0.0.1:1 disabled\n", i);
  HaproxyProcess haproxy(haproxy_cfg(backend), {.master = true});
  const auto reached = [&] {
    return eventually([&] {
      auto weights = weights_of(haproxy);
      return weights["a"] == 86 && weights["b"] == 85 && weights["c"] == 85;
    });
  };
  Program program({"run", "--config", stage.config({.endpoints = fmt::format("\"unix:{}\"", haproxy.admin_socket())})});
  CHECK(reached());
  CHECK(program.says("MB to read, so they are read every "));
  check(haproxy, "set weight rpc/b 7");
  CHECK(reached());
  haproxy.reload();
  CHECK(reached());
  CHECK(program.says("was reloaded: pid "));
  CHECK(program.count("MB to read, so they are read every ") == 1);
  CHECK(program.stop() == 0);
}

TEST_CASE("a restart with the same pid is no stranger's hand, and what it has counted before is no evidence") {
  const Stage stage;
  const std::string path = stage.folder.path("fake.sock");
  FakeHaproxy haproxy(path);
  Program program({"run", "--config", stage.config({.endpoints = unix_endpoint(path)})});
  const auto reached = [&] { return eventually([&] { return haproxy.weights() == kThirds; }); };
  CHECK(reached());
  // Five repairs within a minute would be a fight.
  for (std::uint64_t round = 1; round <= 7; ++round) {
    const std::uint64_t answered = haproxy.answered();
    REQUIRE(eventually([&] { return haproxy.answered() >= answered + 4; }));
    haproxy.restart(round * 1000);
    CHECK(reached());
  }
  CHECK(program.says("was restarted: pid 7 as before"));
  CHECK(program.count("contended") == 0);
  CHECK(program.count("live_errors") == 0);
  CHECK(program.count("cannot be") == 0);
  CHECK(program.stop() == 0);
}

TEST_CASE("sets that are cut off while reads work are told once, and so is their return") {
  const Stage stage;
  const std::string path = stage.folder.path("fake.sock");
  FakeHaproxy haproxy(path);
  haproxy.drop_sets(true);
  Program program({"run", "--config", stage.config({.endpoints = unix_endpoint(path)})});
  CHECK(program.says("HAProxy can be read, but its weights cannot be set: "));
  REQUIRE(eventually([&] { return haproxy.cut_off() >= 8; }));
  // Reads go on, and show what they have always shown.
  CHECK(program.count("cannot be set") == 1);
  CHECK(program.count("cannot be used") == 0);
  CHECK(program.count("is back") == 0);
  haproxy.drop_sets(false);
  CHECK(eventually([&] { return haproxy.weights() == kThirds; }));
  CHECK(program.says("its weights can be set again"));
  CHECK(program.count("cannot be set") == 1);
  CHECK(program.stop() == 0);
}

TEST_CASE("a local HAProxy that was gone for long has its weights back within a watch interval of its return") {
  Stage stage;
  Program program({"run", "--config", stage.config({.watch_interval = "500ms"})});
  REQUIRE(stage.reaches(kThirds));
  stage.haproxy.stop();
  // Doubled each time, the attempts would be 0.5, 1.5, 3.5 and 7.5 s after the first failure.
  std::this_thread::sleep_for(4500ms);
  stage.haproxy.restart();
  CHECK(stage.reaches(kThirds, 1500ms));
  CHECK(program.count("cannot be used") == 1);
  CHECK(program.stop() == 0);
}
