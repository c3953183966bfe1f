// run --record and replay: what was decided is decided again, and otherwise where the rules are others.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <fstream>
#include <iterator>

#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

const Weights kAll{{"a", 86}, {"b", 85}, {"c", 85}};
const Weights kWithoutB{{"a", 128}, {"b", 0}, {"c", 128}};

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Without a HAProxy, providers or keys.
Result replay(const std::string& config, const std::string& recording, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments{"replay", "--config", config, recording};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run(arguments);
}

}  // namespace

TEST_CASE("a recording of run replays to the same weights, and to others under other rules") {
  const Stage stage;
  const std::string recording = stage.folder.path("recording");
  const std::string config = stage.config();
  {
    Program program({"run", "--config", config, "--record", recording});
    REQUIRE(stage.reaches(kAll));
    stage.break_provider(1);
    REQUIRE(stage.reaches(kWithoutB));
    // On the disk while it runs: within a second.
    CHECK(eventually([&] { return read(recording).find("\"state\":\"ejected\"") != std::string::npos; }));
    stage.mend_provider(1);
    REQUIRE(stage.reaches(kAll));
    CHECK(program.stop() == 0);
    CHECK(program.count("cannot record") == 0);
  }
  const std::string text = read(recording);
  CHECK(Secrets::found_in(text) == "");
  CHECK(text.find("http:") == std::string::npos);
  CHECK(text.ends_with("\n"));

  const Result same = replay(config, recording);
  CHECK(same.code == 0);
  CHECK(same.err == "");
  CHECK(same.out.find("same weights in all ") != std::string::npos);
  CHECK_MESSAGE(same.out.find("same schedule in all ") != std::string::npos, same.out);
  CHECK(same.out.find("note:") == std::string::npos);
  const auto schedule = json(replay(config, recording, {"--format", "json"}).out);
  CHECK(at(schedule, "/schedule/requests").GetUint64() > 6);
  CHECK(at(schedule, "/schedule/exchanges").GetUint64() > 4);
  CHECK(at(schedule, "/schedule/weights").GetUint64() >= 6);

  std::string other = stage.toml({.probe = "timeout = \"5s\"\nfall = 10"});
  for (std::size_t at = other.find("http://"); at != std::string::npos; at = other.find("http://", at + 1))
    other.replace(at, other.find('"', at) - at, "https://${NOT_SET_ANYWHERE}/${NOR_THIS}");
  const std::string patient = stage.folder.write("patient.toml", other);
  const Result table = replay(patient, recording);
  CHECK(table.code == 0);
  CHECK(table.out.find("  0 ejected (http_status)") != std::string::npos);
  CHECK(table.out.find("degraded (http_status)") != std::string::npos);
  CHECK(table.out.find("MEAN SHARE") != std::string::npos);
  const auto doc = json(replay(patient, recording, {"--format", "json"}).out);
  CHECK(at(doc, "/decisions").GetUint64() > at(doc, "/decisions_with_other_weights").GetUint64());
  CHECK(at(doc, "/decisions_with_other_weights").GetUint64() > 0);
  CHECK(at(doc, "/servers/1/server").GetString() == std::string("b"));
  CHECK(at(doc, "/servers/1/recorded_out_ms").GetInt64() > at(doc, "/servers/1/replayed_out_ms").GetInt64());
  CHECK(at(doc, "/servers/1/recorded_share").GetDouble() < at(doc, "/servers/1/replayed_share").GetDouble());
  bool kept = false;
  for (const auto& d : at(doc, "/differences").GetArray())
    kept = kept || (at(d, "/server").GetString() == std::string("b") && at(d, "/recorded/weight").GetUint() == 0 &&
                    at(d, "/replayed/weight").GetUint() > 0);
  CHECK(kept);
  const auto lines = csv(replay(patient, recording, {"--format", "csv"}).out);
  CHECK(lines.size() == at(doc, "/differences").Size() + 1);
  // Other weights are set, so the schedule is the same until then.
  CHECK(at(doc, "/schedule/compared").GetUint64() > 10);
  CHECK(at(doc, "/schedule/compared").GetUint64() < at(doc, "/schedule/turns").GetUint64());
  REQUIRE(at(doc, "/schedule/differences").Size() == 1);

  const std::string scores =
      stage.folder.write("latency.toml", stage.toml({.backend = "strategy = \"inverse-latency\""}));
  const Result latency = replay(scores, recording, {"--backend", "rpc"});
  CHECK(latency.code == 0);
}

TEST_CASE("SIGHUP and a restart each begin a section of the recording") {
  const Stage stage;
  const std::string recording = stage.folder.path("recording");
  {
    Program program({"run", "--config", stage.config(), "--record", recording});
    REQUIRE(stage.reaches(kAll));
    stage.config({.backend = "strategy = \"equal\"\nmax_share = 0.5"});
    program.signal(SIGHUP);
    REQUIRE(program.says("was read again"));
    stage.break_provider(1);
    REQUIRE(stage.reaches(kWithoutB));
    REQUIRE(eventually([&] {
      const std::string text = read(recording);
      const std::size_t reload = text.find("\"cause\":\"reload\"");
      return reload != std::string::npos && text.find("\"state\":\"ejected\"", reload) != std::string::npos;
    }));
    program.signal(SIGKILL);
    CHECK(program.wait() == -SIGKILL);
  }
  stage.mend_provider(1);
  // The second of these remembers what the first one knew.
  for (int i = 0; i < 2; ++i) {
    const std::size_t before = read(recording).size();
    Program program({"run", "--config", stage.folder.path("config.toml"), "--record", recording, "--state",
                     stage.folder.path("state")});
    // Its own section has a decision.
    REQUIRE(eventually([&] {
      const std::string text = read(recording);
      const std::size_t start = text.find("\"cause\":\"start\"", before);
      return start != std::string::npos && text.find("\"event\":\"decide\"", start) != std::string::npos;
    }));
    CHECK(program.stop(SIGINT) == 0);
  }
  const Result r = replay(stage.folder.path("config.toml"), recording);
  CHECK(r.code == 0);
  CHECK(r.out.find("same weights in all ") != std::string::npos);
  CHECK(r.out.find("the configuration was read again") != std::string::npos);
  CHECK(r.out.find("the program was started again") != std::string::npos);
  // The first section was recorded with another file, which has led to the same weights.
  CHECK_MESSAGE(r.out.find("same schedule in all ") != std::string::npos, r.out);
}

TEST_CASE("run goes on when it cannot record, and says so once") {
  const Stage stage;
  SUBCASE("no folder") {
    Program program({"run", "--config", stage.config(), "--record", stage.folder.path("none/recording")});
    CHECK(stage.reaches(kAll));
    CHECK(program.says("cannot record to"));
    CHECK(program.count("cannot record to") == 1);
    CHECK(program.stop() == 0);
  }
  SUBCASE("the configuration itself") {
    const std::string config = stage.config();
    const std::string before = read(config);
    Program program({"run", "--config", config, "--record", config});
    CHECK(stage.reaches(kAll));
    CHECK(program.says("which is no recording"));
    CHECK(program.stop() == 0);
    CHECK(read(config) == before);
  }
}

TEST_CASE("replay says what is wrong with its arguments") {
  const Folder folder;
  const std::string config = folder.write("config.toml", R"([[backend]]
name = "rpc"
chain = "ethereum"
  [[backend.server]]
  name = "a"
  url_file = "/nowhere/at/all"
)");
  CHECK(run({"replay", "--config", config}).code == 2);
  const Result missing = replay(config, folder.path("none"));
  CHECK(missing.code == 4);
  CHECK(missing.err.find("none: cannot be read: No such file") != std::string::npos);
  CHECK(replay(config, config).code == 4);
  CHECK(replay(folder.path("no.toml"), config).code == 2);
  const std::string line =
      R"({"event":"recording","version":7,"program":"0.1.0","cause":"start","wall_ms":0,"steps":0,"blind":false,"backends":[]})";
  const Result misfit = replay(config, folder.write("recording", line + "\n"));
  CHECK(misfit.code == 2);
  CHECK(misfit.err.find("no server in common; backend rpc is only in the configuration") != std::string::npos);
  const Result damaged = replay(config, folder.write("recording", line + "\nx\n" + line + "\ny\nz\n"));
  CHECK(damaged.code == 4);
  CHECK(damaged.err.find("recording:4: byte 0: is no JSON") != std::string::npos);
}
