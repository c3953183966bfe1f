// run: signals at any moment, and configurations that change under it.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <string>

#include "integration/http_get.hpp"
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
      check(stage.haproxy, "set weight rpc/a 1; set weight rpc/b 1; set weight rpc/c 1");
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
  CHECK(program.says("unknown ->", 3));
  CHECK(program.count("unknown ->") == 3);

  // A provider gets more, and no server is unknown again. Growth goes in steps
  // as long as the load lets it: small ones are not in the log at this level.
  std::string text = stage.toml();
  text.replace(text.find("name = \"a\""), 10, "name = \"a\"\n  preference = 2.0");
  stage.folder.write("config.toml", text);
  program.signal(SIGHUP);
  CHECK(stage.reaches({{"a", 128}, {"b", 64}, {"c", 64}}));
  CHECK(program.says("unknown ->", 3));
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
  check(stage.haproxy, fmt::format("experimental-mode on; add server rpc/extra 127.0.0.1:{} weight 1", extra.port()));
  check(stage.haproxy, "enable server rpc/extra");
  stage.folder.write("config.toml", stage.toml({.probe = "timeout = \"1500ms\""}) + Stage::server(extra));
  program.signal(SIGHUP);
  REQUIRE(asked(extra, 1));
  CHECK(program.count("rpc/extra") == 0);
  Weights before = kAll;
  before["extra"] = 1;
  CHECK(stage.weights() == before);
  CHECK(stage.reaches({{"a", 64}, {"b", 64}, {"c", 64}, {"extra", 64}}));
  CHECK(program.says("rpc/extra: unknown -> healthy"));
  CHECK(program.says("unknown ->", 4));
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
  CHECK(program.says("was read again", 2));
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
  // Signals that arrive while one is under way become one: how many are left depends on the machine.
  CHECK(program.says("was read again", 2));
  CHECK(program.count("was read again") >= 2);
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

// ---- files that cannot be a configuration

namespace {

std::string repeated(std::string_view text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
}

void make_pipe(const std::string& path) {
  std::filesystem::remove(path);
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
}

}  // namespace

TEST_CASE("SIGHUP with a file that is meant to do harm: its fault is told in a few lines, and everything goes on") {
  const Stage stage;
  const std::string path = stage.config();
  Program program({"run", "--config", path});
  REQUIRE(stage.reaches(kAll));
  std::size_t told = 0;
  const auto survives = [&](const char* what) {
    CAPTURE(std::string(what));
    const std::size_t before = program.count("config.toml");
    program.signal(SIGHUP);
    CHECK(program.says("going on with the configuration as it was", ++told));
    CHECK(program.says(what));
    CHECK(program.count("config.toml") <= before + 53);
    CHECK(stage.goes_on(2));
  };
  stage.folder.write("config.toml", repeated("x.", 50'000) + "y=1");
  survives("nested too deeply");
  stage.folder.write("config.toml", repeated("[[backend]]\n", 1'000'000));
  survives("it is longer than 1048576 bytes");
  stage.folder.write("config.toml", repeated("[[backend]]\n", 80'000));
  survives("239950 more errors are not shown");
  CHECK(program.says("240000 errors in the configuration"));
  make_pipe(path);
  survives("it is no regular file");
  stage.break_provider(1);
  CHECK(stage.reaches({{"a", 128}, {"b", 0}, {"c", 128}}));
  CHECK(program.stop() == 0);

  const auto checked = run({"check", "--config", path});
  CHECK(checked.code == 2);
  CHECK(checked.took < 10s);
}

TEST_CASE("watch_config: a pipe in the file's place is told once and holds nothing up") {
  const Stage stage;
  const std::string path = stage.config({.top = "watch_config = true"});
  Program program({"run", "--config", path});
  REQUIRE(stage.reaches(kAll));
  make_pipe(path);
  CHECK(program.says("it is no regular file"));
  CHECK(program.says("watch_config: "));
  CHECK(stage.goes_on(12));
  CHECK(program.count("it is no regular file") == 1);
  std::string text = stage.toml({.top = "watch_config = true"});
  text.replace(text.find("name = \"a\""), 10, "name = \"a\"\n  preference = 2.0");
  stage.folder.write("config.toml", text);
  CHECK(stage.reaches({{"a", 128}, {"b", 64}, {"c", 64}}));
  CHECK(program.stop() == 0);
}

// ---- a standard error that takes nothing

TEST_CASE("a log that is not read stops nothing, and SIGTERM ends the program") {
  Stage stage;
  const std::string config = stage.config({.log = "level = \"debug\""});
  const std::string pipe = stage.folder.path("pipe");
  int reader = -1;
  Process::Setup setup;
  SUBCASE("a pipe that is full") {
    make_pipe(pipe);
    reader = open(pipe.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(reader >= 0);
    while (write(reader, "x", 1) == 1) continue;
    setup.err_to = pipe;
  }
  SUBCASE("a full disk") {
    setup.err_to = "/dev/full";
  }
  SUBCASE("closed") {
    setup.err_to = "-";
  }
  Program program({"run", "--config", config}, setup);
  CHECK(stage.reaches(kAll));
  stage.break_provider(1);
  CHECK(stage.reaches({{"a", 128}, {"b", 0}, {"c", 128}}));
  for (int i = 0; i < 20; ++i) program.signal(SIGHUP);
  stage.mend_provider(1);
  CHECK(stage.reaches(kAll));
  CHECK(program.stop() == 0);
  if (reader >= 0) close(reader);
}

TEST_CASE("a log that is read again says how many lines were lost") {
  const Stage stage;
  const std::string pipe = stage.folder.path("pipe");
  make_pipe(pipe);
  const int reader = open(pipe.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(reader >= 0);
  // With `trace` nothing more is said than with `debug`, so errors in the file make the lines.
  const std::uint16_t port = free_port();
  const std::string config = stage.config({.listen = fmt::format("\"127.0.0.1:{}\"", port)});
  Program program({"run", "--config", config}, {.err_to = pipe});
  REQUIRE(stage.reaches(kAll));
  stage.folder.write("config.toml", repeated("[[backend]]\n", 100));
  std::string text;
  const auto read_on = [&] {
    char block[65536];  // NOLINT: filled by the kernel
    ssize_t n = 0;
    while ((n = read(reader, block, sizeof block)) > 0) text.append(block, static_cast<std::size_t>(n));
  };
  const auto refused = [&] {
    constexpr std::string_view kCount = "rpc_weighter_config_reloads_total{result=\"failure\"} ";
    const std::string body = http_get(port, "/metrics").body;
    const std::size_t at = body.find(kCount);
    return at == std::string::npos ? 0 : std::stoul(body.substr(at + kCount.size()));
  };
  // Each has 50 lines of 70 bytes and more, and the pipe and the queue take a little more than a mebibyte.
  constexpr unsigned long kEnough = 400;
  CHECK(eventually([&] {
    program.signal(SIGHUP);
    return refused() >= kEnough;
  }));
  CHECK(stage.goes_on(2));
  CHECK(eventually([&] {
    program.signal(SIGHUP);
    read_on();
    return text.find(" lines were lost, since standard error could not be written") != std::string::npos;
  }));
  CHECK(program.stop() == 0);
  close(reader);
}

// ---- reloads during the first round

TEST_CASE("a SIGHUP now and then does not begin the waiting for a provider that hangs anew") {
  const Stage stage;
  stage.break_provider(2, sim::Fault::hang);
  check(stage.haproxy, "set weight rpc/a 1; set weight rpc/b 1; set weight rpc/c 1");
  Program program({"run", "--config", stage.config({.probe = "timeout = \"1500ms\""})});
  REQUIRE(program.says("rpc-weighter"));
  const auto begun = Clock::now();
  bool decided = false;
  // Each time before the time-out.
  while (!decided && Clock::now() < begun + kPatience) {
    program.signal(SIGHUP);
    const auto next = Clock::now() + 700ms;
    while (!decided && Clock::now() < next) {
      std::this_thread::sleep_for(20ms);
      const Weights now = stage.weights();
      decided = now.at("a") > 64 && now.at("b") > 64;
    }
  }
  CHECK(decided);
  CHECK(program.stop() == 0);
}

TEST_CASE("a file that is refused for its port changes nothing about the log either") {
  const Stage stage;
  Program program({"run", "--config", stage.config()});
  REQUIRE(stage.reaches(kAll));
  Stage::Keys keys;
  keys.log = "format = \"json\"\nlevel = \"error\"";
  // No address of this machine.
  keys.listen = "\"192.0.2.1:1\"";
  stage.config(keys);
  program.signal(SIGHUP);
  REQUIRE(program.says("asks for a port that cannot be used"));
  stage.break_provider(1);
  REQUIRE(program.says("rpc/b: degraded -> ejected"));
  CHECK(program.count("{\"time\"") == 0);
  stage.mend_provider(1);
  // With a file that is taken, it is as that says.
  keys.listen = "\"\"";
  keys.log = "format = \"json\"";
  stage.config(keys);
  program.signal(SIGHUP);
  REQUIRE(program.says("\"event\":\"config_reloaded\""));
  CHECK(program.stop() == 0);
}

namespace {

/// Whether the process runs the program, which holds the signal back by now.
bool holds_back(const Program& program, int number) {
  std::error_code error;
  const std::string folder = fmt::format("/proc/{}", program.pid());
  const auto exe = std::filesystem::read_symlink(folder + "/exe", error);
  if (error || exe.filename() != std::filesystem::path(program_path()).filename()) return false;
  std::ifstream in(folder + "/status");
  constexpr std::string_view kBlocked = "SigBlk:";
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(kBlocked))
      return (std::stoull(line.substr(kBlocked.size()), nullptr, 16) >> static_cast<unsigned>(number - 1) & 1U) != 0;
  return false;
}

}  // namespace

TEST_CASE("signals that come while the file is read at the start take effect after it") {
  const Folder folder;
  // Reading this takes a while.
  std::string text =
      "[haproxy]\nendpoints = [\"unix:/no/such.sock\"]\n[http]\nlisten = \"\"\n[[backend]]\nname = \"rpc\"\n"
      "chain = \"ethereum\"\n";
  for (int i = 0; i < 14'000; ++i)
    text += fmt::format("[[backend.server]]\nname=\"s{0}\"\nurl=\"http://127.0.0.1:1/{0}\"\n", i);
  const std::string config = folder.write("config.toml", text);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
    CAPTURE(number);
    Program program({"run", "--config", config});
    REQUIRE(eventually([&] { return holds_back(program, number); }));
    REQUIRE(program.count("starts") == 0);
    program.signal(number);
    if (number == SIGHUP) {
      CHECK(program.says("SIGHUP: "));
      program.signal(SIGTERM);
    }
    CHECK(program.wait() == 0);
    CHECK(program.count("stopped; HAProxy keeps the last weights") == 1);
  }
}
