// run: signals at any moment, and configurations that change under it.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <csignal>
#include <functional>
#include <random>

#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

const Weights kAll{{"a", 86}, {"b", 85}, {"c", 85}};

bool asked(const sim::Provider& provider, std::uint64_t times) {
  return eventually([&] { return provider.stats().requests >= times; });
}

}  // namespace

TEST_CASE("SIGTERM and SIGINT end it soon and with 0, whatever it is doing") {
  Stage stage;
  std::minstd_rand random(20);  // the same moments in every run, as far as the machine allows
  const auto pause = [&] { std::this_thread::sleep_for(std::chrono::milliseconds(random() % 60)); };
  struct Moment {
    const char* name;
    std::function<void(const Program&)> reach;
  };
  const std::vector<Moment> moments{
      {"at the start", [&](const Program&) {}},
      {"a little later", [&](const Program&) { pause(); }},
      {"providers accept no connection", [&](const Program&) { pause(); }},
      {"providers hang", [&](const Program&) { CHECK(asked(*stage.providers[2], 1)); }},
      {"while pushing",
       [&](const Program&) {
         CHECK(asked(*stage.providers[2], 2));
         pause();
       }},
      {"HAProxy is stopped",
       [&](const Program&) {
         CHECK(stage.reaches(kAll));
         stage.haproxy.pause();
         CHECK(asked(*stage.providers[2], 6));
       }},
      {"a name is looked up", [&](const Program&) { CHECK(asked(*stage.providers[2], 1)); }},
  };
  for (unsigned round = 0; round < 3; ++round) {
    for (const Moment& moment : moments) {
      const int number = (round + static_cast<unsigned>(&moment - moments.data())) % 2 == 0 ? SIGTERM : SIGINT;
      CAPTURE(std::string(moment.name));
      CAPTURE(number);
      const std::string_view name = moment.name;
      for (sim::Provider* p : stage.providers) {
        sim::Behaviour b;
        if (name == "providers hang") b.fault = sim::Fault::hang;
        if (name == "providers accept no connection") b.fault = sim::Fault::accept_silent;
        p->set(b);
        p->reset_stats();
      }
      ask(stage.haproxy, "set weight rpc/a 1; set weight rpc/b 1; set weight rpc/c 1");
      std::string text = stage.toml();
      if (name == "a name is looked up")
        text += "[[backend.server]]\nname = \"d\"\nurl = \"http://no-such-host.invalid/\"\n";
      Program program({"run", "--config", stage.folder.write("config.toml", text)});
      REQUIRE(program.says("rpc-weighter"));
      moment.reach(program);
      CHECK(program.stop(number) == 0);
      CHECK(program.count(number == SIGTERM ? "SIGTERM: stopping" : "SIGINT: stopping") == 1);
      CHECK(program.count("stopped; HAProxy keeps the last weights") == 1);
      CHECK(program.count("HAProxy has not answered") == (name == "HAProxy is stopped" ? 1 : 0));
      stage.haproxy.resume();
    }
  }
}

TEST_CASE("a second signal does not wait for HAProxy") {
  Stage stage;
  Program program({"run", "--config", stage.config()});
  REQUIRE(stage.reaches(kAll));
  stage.haproxy.pause();
  REQUIRE(asked(*stage.providers[0], stage.providers[0]->stats().requests + 3));
  program.signal(SIGTERM);
  REQUIRE(program.says("SIGTERM: stopping"));
  CHECK(program.stop(SIGINT) == 0);
  CHECK(program.count("HAProxy has not answered") == 0);
}

TEST_CASE("SIGHUP takes a good file over without a jump") {
  const Stage stage;
  Program program({"run", "--config", stage.config()});
  REQUIRE(stage.reaches(kAll));
  program.signal(SIGHUP);
  CHECK(program.says("config.toml was read again"));
  CHECK(asked(*stage.providers[0], stage.providers[0]->stats().requests + 3));
  CHECK(stage.weights() == kAll);
  CHECK(program.count("unknown ->") == 3);

  // A provider gets more: its line alone, and no server is unknown again.
  std::string text = stage.toml();
  text.replace(text.find("name = \"a\""), 10, "name = \"a\"\n  preference = 2.0");
  stage.folder.write("config.toml", text);
  program.signal(SIGHUP);
  CHECK(stage.reaches({{"a", 128}, {"b", 64}, {"c", 64}}));
  CHECK(program.says("rpc/a: healthy, weight 86 -> "));
  CHECK(program.count("unknown ->") == 3);

  // It goes on watching.
  stage.break_provider(2);
  CHECK(stage.reaches({{"a", 171}, {"b", 85}, {"c", 0}}));
  CHECK(program.stop() == 0);
}

TEST_CASE("SIGHUP: a decision waits for new servers only, and the weights stay meanwhile") {
  Stage stage;
  auto& extra = stage.world.add("extra");
  Program program({"run", "--config", stage.config({.probe = "timeout = \"1500ms\""})});
  REQUIRE(stage.reaches(kAll));
  extra.update([](sim::Behaviour& b) { b.latency_ms = 1000; });
  ask(stage.haproxy, fmt::format("experimental-mode on; add server rpc/extra 127.0.0.1:{} weight 1", extra.port()));
  ask(stage.haproxy, "enable server rpc/extra");
  stage.folder.write("config.toml", stage.toml({.probe = "timeout = \"1500ms\""}) + Stage::server(extra));
  program.signal(SIGHUP);
  REQUIRE(asked(extra, 1));
  CHECK(program.count("rpc/extra") == 0);
  Weights before = kAll;
  before["extra"] = 1;
  CHECK(stage.weights() == before);
  CHECK(stage.reaches({{"a", 64}, {"b", 64}, {"c", 64}, {"extra", 64}}));
  CHECK(program.says("rpc/extra: unknown -> healthy"));
  CHECK(program.count("unknown ->") == 4);
  CHECK(program.stop() == 0);
}

TEST_CASE("SIGHUP with a broken file: its errors are told with their lines, and everything goes on as it was") {
  const Stage stage;
  Program program({"run", "--config", stage.config()});
  REQUIRE(stage.reaches(kAll));
  stage.config({.probe = "fal = 2\nrise = 99"});
  program.signal(SIGHUP);
  CHECK(program.says("going on with the configuration as it was"));
  CHECK(program.says("config.toml:9:1:"));
  CHECK(program.says("config.toml:10:8:"));
  CHECK(program.says("2 errors in the configuration"));
  CHECK(program.count("nothing was probed") == 0);
  stage.break_provider(1);
  CHECK(stage.reaches({{"a", 128}, {"b", 0}, {"c", 128}}));

  std::filesystem::remove(stage.folder.path("config.toml"));
  program.signal(SIGHUP);
  CHECK(program.says("going on with the configuration as it was", 2));
  stage.mend_provider(1);
  CHECK(stage.reaches(kAll));

  stage.config({.log = "format = \"json\""});
  program.signal(SIGHUP);
  CHECK(program.says("\"message\":\"SIGHUP: "));
  CHECK(program.stop() == 0);
}

TEST_CASE("watch_config: a file that was replaced is read, a broken one told once") {
  const Stage stage;
  Program program({"run", "--config", stage.config({.top = "watch_config = true"})});
  REQUIRE(stage.reaches(kAll));
  std::string text = stage.toml({.top = "watch_config = true"});
  const std::string good = text;
  text.replace(text.find("name = \"a\""), 10, "name = \"a\"\n  preference = 2.0");
  stage.folder.write("config.toml", text);
  CHECK(program.says("watch_config: "));
  CHECK(stage.reaches({{"a", 128}, {"b", 64}, {"c", 64}}));

  stage.folder.write("config.toml", "[haproxy");
  CHECK(program.says("is not usable; going on"));
  stage.folder.write("config.toml", good);
  CHECK(stage.reaches(kAll));
  CHECK(program.count("is not usable") == 1);
  CHECK(program.count("was read again") == 2);
  CHECK(program.stop() == 0);
}

TEST_CASE("a storm of SIGHUPs does no harm") {
  Stage stage;
  Program program({"run", "--config", stage.config()});
  REQUIRE(program.says("rpc-weighter"));
  for (unsigned i = 0; i < 300; ++i) {
    program.signal(SIGHUP);
    if (i % 3 == 0) std::this_thread::sleep_for(1ms);  // else the kernel makes one of them all
  }
  CHECK(stage.reaches(kAll));
  CHECK(program.count("was read again") >= 10);
  stage.break_provider(1);
  CHECK(stage.reaches({{"a", 128}, {"b", 0}, {"c", 128}}));
  SUBCASE("then SIGTERM") {
    CHECK(program.stop() == 0);
  }
  SUBCASE("and SIGTERM in the middle of one") {
    for (unsigned i = 0; i < 20; ++i) program.signal(SIGHUP);
    CHECK(program.stop() == 0);
  }
  SUBCASE("and SIGTERM while HAProxy hangs") {
    stage.haproxy.pause();
    for (unsigned i = 0; i < 20; ++i) program.signal(SIGHUP);
    CHECK(program.stop() == 0);
  }
}
