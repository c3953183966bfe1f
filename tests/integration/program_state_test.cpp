// --state: passes that know each other, and a loop that goes on where it was.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

const Weights kAll{{"a", 86}, {"b", 85}, {"c", 85}};
const Weights kWithoutB{{"a", 128}, {"b", 0}, {"c", 128}};

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

/// Lets the state be as much older, as if the next pass came so much later: tests don't sleep.
void age(const Folder& folder, std::chrono::milliseconds by) {
  std::string text = content(folder.path("state.json"));
  std::smatch found;
  REQUIRE(std::regex_search(text, found, std::regex(R"("saved_ms":(\d+))")));
  const std::string older = fmt::format("\"saved_ms\":{}", std::stoll(found[1]) - by.count());
  text.replace(static_cast<std::size_t>(found.position()), static_cast<std::size_t>(found.length()), older);
  folder.write("state.json", text);
}

/// With the times that a program from cron would have, given one pass every 30 s.
std::string slow_config(const Stage& stage) {
  std::string text = stage.toml();
  const auto set = [&text](std::string_view from, std::string_view to) {
    REQUIRE(text.find(from) != std::string::npos);
    text.replace(text.find(from), from.size(), to);
  };
  set("\ninterval = \"200ms\"", "\ninterval = \"15s\"");
  set("eject_time = \"0s\"", "eject_time = \"10s\"");
  set("ramp = \"0s\"", "ramp = \"1m\"");
  return stage.folder.write("config.toml", text);
}

std::string out_for_long(const Stage& stage) {
  std::string text = stage.toml();
  text.replace(text.find("eject_time = \"0s\""), 17, "eject_time = \"1h\"\nmax_eject_time = \"1h\"");
  return stage.folder.write("config.toml", text);
}

}  // namespace

TEST_CASE("ten passes from cron, with a state: fall, rise, ramp and growth as in run") {
  const Stage stage;
  const std::string config = slow_config(stage);
  const std::string state = stage.folder.path("state.json");
  int passes = 0;
  const auto pass = [&] {
    if (passes++ > 0) age(stage.folder, 30s);
    const Result r = run({"once", "--config", config, "--state", state, "--format", "json"});
    CHECK(r.code == 0);
    CHECK(r.err == "");
    return json(r.out);
  };
  const auto b = [](const rapidjson::Document& report, std::string_view what) -> const rapidjson::Value& {
    return at(report, fmt::format("/backends/0/servers/1/{}", what));
  };
  pass();
  CHECK(stage.weights() == kAll);

  stage.break_provider(1, sim::Fault::reset);
  stage.providers[1]->reset_stats();
  auto report = pass();
  CHECK(stage.weights() == Weights{{"a", 103}, {"b", 51}, {"c", 102}});
  CHECK(b(report, "state").GetString() == std::string("degraded"));
  // The history counts: nothing is repeated.
  CHECK(stage.providers[1]->stats().by_method["eth_getBlockByNumber"] == 1);
  report = pass();
  CHECK(stage.weights() == kWithoutB);
  CHECK(b(report, "state").GetString() == std::string("ejected"));

  stage.mend_provider(1);
  report = pass();
  CHECK(stage.weights() == kWithoutB);
  CHECK(b(report, "reasons/0/code").GetString() == std::string("warming_up"));
  // Two intervals have gone by since the pass before, and a little more: 8 of 256 for each.
  report = pass();
  const unsigned first = stage.weights().at("b");
  CHECK(first >= 5);
  CHECK(first <= 24);
  CHECK(b(report, "inputs/ramp").GetDouble() == doctest::Approx(0.1).epsilon(0.2));
  report = pass();
  const unsigned second = stage.weights().at("b");
  CHECK(second > first);
  CHECK(second <= 55);
  CHECK(b(report, "inputs/ramp").GetDouble() < 1.0);
  CHECK(b(report, "inputs/limited_by").GetString() == std::string("growth"));
  pass();
  const unsigned third = stage.weights().at("b");
  CHECK(third > second);
  CHECK(third <= 86);
  for (; passes < 10;) report = pass();
  CHECK(stage.weights() == kAll);
  CHECK(b(report, "state").GetString() == std::string("healthy"));
  // What is asked seldom: the chain every minute, the sync state every five.
  auto asked = stage.providers[0]->stats().by_method;
  CHECK(asked["eth_getBlockByNumber"] >= 10);
  CHECK(asked["eth_getBlockByNumber"] <= 15);  // with comparisons of chains
  CHECK(asked["eth_chainId"] >= 4);
  CHECK(asked["eth_chainId"] <= 7);
  CHECK(asked["eth_syncing"] >= 1);
  CHECK(asked["eth_syncing"] <= 2);
}

TEST_CASE("ten passes from cron, without a state: each decides alone") {
  const Stage stage;
  const std::string config = slow_config(stage);
  const auto pass = [&] { CHECK(run({"once", "--config", config}).code == 0); };
  pass();
  CHECK(stage.weights() == kAll);
  stage.break_provider(1, sim::Fault::reset);
  stage.providers[1]->reset_stats();
  for (int i = 0; i < 4; ++i) {
    pass();
    CHECK(stage.weights() == kWithoutB);
    CHECK(stage.providers[1]->stats().by_method["eth_getBlockByNumber"] == 2U * static_cast<unsigned>(i + 1));
  }
  stage.mend_provider(1);
  stage.providers[0]->reset_stats();
  for (int i = 0; i < 5; ++i) {
    pass();
    CHECK(stage.weights() == kAll);
  }
  CHECK(stage.providers[0]->stats().by_method["eth_chainId"] == 5);
}

TEST_CASE("the file is for its owner alone and holds no secret; scores keeps its history the same way") {
  const Stage stage;
  const std::string config = slow_config(stage);
  const std::string state = stage.folder.path("state.json");
  const auto scores = [&] {
    const Result r = run({"scores", "--config", config, "--state", state, "--format", "json"});
    return std::string(at(json(r.out), "/backends/0/servers/1/state").GetString());
  };
  CHECK(scores() == "healthy");
  struct stat found {};
  REQUIRE(stat(state.c_str(), &found) == 0);
  CHECK((found.st_mode & 07777) == 0600);
  stage.break_provider(1);
  CHECK(scores() == "degraded");
  CHECK(scores() == "ejected");
  CHECK(stage.weights() == Weights{{"a", 1}, {"b", 1}, {"c", 1}});
  const std::string text = content(state);
  CHECK(text.find("\"ejected\":true") != std::string::npos);
  CHECK(Secrets::found_in(text) == "");
  CHECK(text.find("127.0.0.1") == std::string::npos);
}

TEST_CASE("a damaged state is told, not used and replaced") {
  const Stage stage;
  const std::string config = stage.config();
  const std::string state = stage.folder.write("state.json", "{\"format\":");
  const Result r = run({"once", "--config", config, "--state", state});
  CHECK(r.code == 0);
  CHECK(r.err.starts_with(fmt::format("warning: state file {}: byte 10: is no JSON", state)));
  CHECK(std::ranges::count(r.err, '\n') == 1);
  CHECK(stage.weights() == kAll);
  CHECK(run({"once", "--config", config, "--state", state}).err == "");
}

TEST_CASE("a state that cannot be written is exit code 4, after everything else was done") {
  const Stage stage;
  const std::string state = stage.folder.path("missing/state.json");
  const Result r = run({"once", "--config", stage.config(), "--state", state});
  CHECK(r.code == 4);
  CHECK(r.err == fmt::format("state file {}: cannot be written: no file can be made in {}: No such file or directory\n",
                             state, stage.folder.path("missing")));
  CHECK(r.out.find("3 weights set") != std::string::npos);
  CHECK(stage.weights() == kAll);
  CHECK(run({"scores", "--config", stage.config(), "--state", state}).code == 4);
  CHECK(run({"once", "--config", stage.config(), "--state", ""}).code == 2);
}

TEST_CASE("run, killed and started again, keeps an ejection; without a state it forgets it") {
  const Stage stage;
  const std::string config = out_for_long(stage);
  const std::string state = stage.folder.path("state.json");
  const std::vector<std::string> with_state{"run", "--config", config, "--state", state};
  {
    Program program(with_state);
    REQUIRE(stage.reaches(kAll));
    stage.break_provider(1);
    REQUIRE(stage.reaches(kWithoutB));
    CHECK(eventually([&] { return content(state).find("\"ejected\":true") != std::string::npos; }));
    program.signal(SIGKILL);
    CHECK(program.wait() == -SIGKILL);
  }
  stage.mend_provider(1);
  {
    Program program(with_state);
    CHECK(stage.goes_on(10));
    CHECK(stage.weights() == kWithoutB);
    CHECK(program.count("unknown ->") == 0);
    CHECK(program.stop() == 0);
  }
  {
    Program program(with_state);
    CHECK(stage.goes_on(10));
    CHECK(stage.weights() == kWithoutB);
    CHECK(program.stop() == 0);
  }
  Program program({"run", "--config", config});
  CHECK(stage.reaches(kAll));
  CHECK(program.stop() == 0);
}

TEST_CASE("run writes at its end, however short it was") {
  const Stage stage;
  const std::string state = stage.folder.path("state.json");
  Program program({"run", "--config", stage.config(), "--state", state});
  REQUIRE(stage.reaches(kAll));
  stage.break_provider(1);
  REQUIRE(stage.reaches(kWithoutB));
  CHECK(program.stop() == 0);
  CHECK(content(state).find("\"ejected\":true") != std::string::npos);
  // Nothing is left beside it.
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(stage.folder.path("")))
    if (entry.path().filename() != "config.toml") ++files;
  CHECK(files == 1);
}

TEST_CASE("run goes on without its state and says so once") {
  const Stage stage;
  const std::string state = stage.folder.path("later/state.json");
  Program program({"run", "--config", stage.config(), "--state", state});
  REQUIRE(stage.reaches(kAll));
  CHECK(program.says("cannot be written: no file can be made in"));
  CHECK(program.says("the history is kept in memory alone"));
  std::filesystem::create_directory(stage.folder.path("later"));
  CHECK(program.says(fmt::format("state file {}: is written again", state)));
  CHECK(program.count("cannot be written") == 1);
  CHECK(std::filesystem::exists(state));
  CHECK(program.stop() == 0);
}
