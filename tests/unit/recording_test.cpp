#include "store/recording.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>

#include "agent/replay/replay.hpp"
#include "base/version.hpp"
#include "config/load.hpp"
#include "model/effort.hpp"
#include "model/play.hpp"
#include "unit/folder.hpp"
#include "weighter/strategy/strategy.hpp"

using namespace rpcw;
using namespace rpcw::model;
using namespace rpcw::store;

namespace {

namespace fs = std::filesystem;

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::expected<replay::Result, replay::Error> replay_texts(const std::vector<std::string>& texts,
                                                          const config::Config& config) {
  std::vector<std::unique_ptr<std::istringstream>> streams;
  std::vector<replay::Source> sources;
  for (const std::string& t : texts) {
    streams.push_back(std::make_unique<std::istringstream>(t));
    sources.push_back({fmt::format("file{}", sources.size()), *streams.back()});
  }
  return replay::run(sources, config);
}

replay::Result replayed(const std::vector<std::string>& texts, const config::Config& config) {
  auto out = replay_texts(texts, config);
  REQUIRE_MESSAGE(out.has_value(), out.error().what);
  return std::move(*out);
}

std::string error_of(const std::string& text, const config::Config& config) {
  auto out = replay_texts({text}, config);
  REQUIRE_FALSE(out.has_value());
  return out.error().what;
}

/// The life of a state from its beginning.
std::string recorded(const config::Config& config, unsigned seed, unsigned steps) {
  const Folder folder;
  Play play(config, seed);
  {
    Recording recording(folder.path("r"));
    recording.follow(play.state, Cause::kStart);
    for (unsigned i = 0; i < steps; ++i) play.step();
  }
  return read(folder.path("r"));
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& l : lines) out += l + "\n";
  return out;
}

bool mentions(const std::vector<std::string>& notes, std::string_view what) {
  return std::ranges::any_of(notes, [&](const std::string& n) { return n.find(what) != std::string::npos; });
}

const replay::ServerTotals& of(const replay::Result& r, std::string_view backend, std::string_view server) {
  const auto at = std::ranges::find_if(
      r.servers, [&](const replay::ServerTotals& t) { return t.backend == backend && t.server == server; });
  REQUIRE(at != r.servers.end());
  return *at;
}

/// The same events recorded again, with what is decided of them now.
std::string made_again(const std::string& text, const config::Config& config) {
  const Folder folder;
  SystemState state(config);
  {
    Recording recording(folder.path("r"));
    recording.follow(state, Cause::kStart);
    LineReader reader;
    for (const std::string& line : lines_of(text)) {
      auto got = reader.read(line);
      REQUIRE_MESSAGE(got.has_value(), got.error().what);
      if (Step* step = std::get_if<Step>(&*got)) state.apply(step->event);
    }
  }
  return read(folder.path("r"));
}

}  // namespace

// A changed rule changes what is decided: with REMAKE_RECORDINGS=1 this case writes the files again, and their
// difference shows what the change does.
TEST_CASE("golden recordings replay to the same weights everywhere") {
  const std::string data = RPCW_TEST_DATA;
  config::Config config = play_config();
  std::string file = data + "/play.recording";
  SUBCASE("of simulated life, with every kind of trouble") {}
  SUBCASE("of the program with HAProxy and three providers, one of which fell behind and one of which failed") {
    file = data + "/run.recording";
    config::Surroundings surroundings = config::Surroundings::of_process(strategy_names());
    surroundings.network = false;
    auto loaded = config::load(data + "/run.toml", surroundings);
    REQUIRE(loaded.has_value());
    config = loaded->config;
  }
  if (std::getenv("REMAKE_RECORDINGS") != nullptr) {
    const std::string old = read(file);
    write(file, old.empty() ? recorded(config, 42, 120) : made_again(old, config));
  }
  const std::string text = read(file);
  const replay::Result r = replayed({text}, config);
  CHECK(r.decisions > 50);
  CHECK(r.recorded_changes > 5);
  CHECK(r.other == 0);
  for (const replay::Difference& d : r.differences)
    MESSAGE(d.backend, "/", d.server, ": ", d.recorded.weight, " and now ", d.replayed.weight);
  // Everything that is written down of a decision, and not only what replay compares.
  CHECK(made_again(text, config).substr(text.find('\n')) == text.substr(text.find('\n')));
}

TEST_CASE("a recording replays to the same weights, states and reasons") {
  const config::Config config = play_config();
  std::uint64_t changes = 0;
  for (unsigned seed = 0; seed < model::tried(20); ++seed) {
    CAPTURE(seed);
    const std::string text = recorded(config, seed, 400);
    CHECK(text.find("secret") == std::string::npos);
    const replay::Result r = replayed({text}, config);
    CHECK(r.decisions > 300);
    CHECK(r.other == 0);
    CHECK(r.other_weights == 0);
    CHECK(r.differences.empty());
    CHECK(r.notes.empty());
    CHECK(r.recorded_changes == r.replayed_changes);
    CHECK(r.servers.size() == 8);
    for (const replay::ServerTotals& t : r.servers) CHECK(t.recorded_share == t.replayed_share);
    changes += r.recorded_changes;
  }
  CHECK(changes > model::tried(100));
}

TEST_CASE("every line read is the line that was written") {
  // What comes of a replay that is recorded itself is the same file.
  const config::Config config = play_config();
  const std::string text = recorded(config, 3, 300);
  const auto past_first = [](const std::string& t) { return t.substr(t.find('\n')); };
  CHECK(past_first(made_again(text, config)) == past_first(text));
}

TEST_CASE("files are bounded in size and number, and each can be replayed by itself") {
  const config::Config config = play_config();
  const Folder folder;
  Play play(config, 5);
  constexpr std::uint64_t kLimit = 100'000;
  std::vector<std::string> all;
  {
    Recording recording(folder.path("r"), {kLimit, 3});
    recording.follow(play.state, Cause::kStart);
    for (unsigned i = 0; i < 3000; ++i) play.step();
  }
  CHECK(fs::exists(folder.path("r.2")));
  CHECK_FALSE(fs::exists(folder.path("r.3")));
  for (const char* name : {"r.2", "r.1", "r"}) {
    all.push_back(read(folder.path(name)));
    CHECK(all.back().size() < kLimit + 60'000);
    const replay::Result r = replayed({all.back()}, config);
    CHECK(r.decisions > 10);
    CHECK(r.other == 0);
    CHECK(r.notes.empty());
    CHECK(r.sections == 1);
  }
  const replay::Result together = replayed(all, config);
  CHECK(together.other == 0);
  CHECK(together.sections == 3);
  CHECK(together.notes.empty());
  const replay::Result gap = replayed({all[0], all[2]}, config);
  CHECK(gap.other == 0);
  CHECK(mentions(gap.notes, "what was recorded before is missing"));
  CHECK_FALSE(mentions(gap.notes, "oldest first"));
  CHECK(mentions(replayed({all[2], all[0]}, config).notes, "oldest first"));
  CHECK(mentions(replayed({all[0], all[0]}, config).notes, "oldest first"));
}

TEST_CASE("a backend that waits for newcomers waits in the replay too") {
  const config::Config config = play_config();
  REQUIRE(config.backends.size() > 1);
  const Folder folder;
  SystemState state(config);
  const auto answer_all = [&](Now now, std::uint64_t height) {
    for (std::size_t i = 0; i < state.targets().size(); ++i) {
      state.observe(i, Answer{now, {CheckKind::kIdentity}, AnswerValue{0, "1"}});
      state.observe(i, HeadObservation{now, 10ms, Head{height, "0x1", now.wall}});
    }
  };
  Now now{WallTime{std::chrono::seconds{1'700'000'000}}, 1s};
  {
    Recording recording(folder.path("r"));
    recording.follow(state, Cause::kStart);
    state.block_decisions(0, true);
    answer_all(now, 100);
    REQUIRE(state.decide(now).size() + 1 == config.backends.size());
    now.mono += 1s;
    now.wall += 1s;
    state.block_decisions(0, false);
    answer_all(now, 101);
    REQUIRE(state.decide(now).size() == config.backends.size());
  }
  const std::string text = read(folder.path("r"));
  CHECK(replayed({text}, config).decisions == 2);
  CHECK(replayed({text}, config).other == 0);
  // Without these lines it would not.
  std::vector<std::string> lines = lines_of(text);
  CHECK(std::erase_if(lines, [](const std::string& l) { return l.starts_with(R"({"event":"hold")"); }) == 2);
  CHECK(replayed({joined(lines)}, config).other > 0);
}

TEST_CASE("a section that begins before HAProxy was read goes on from HAProxy's weights, as its state does") {
  const config::Config config = play_config();
  const Folder folder;
  SystemState state(config);
  Now now{WallTime{std::chrono::seconds{1'700'000'000}}, 1s};
  const auto decide = [&](std::uint64_t height) {
    for (std::size_t i = 0; i < state.targets().size(); ++i) {
      state.observe(i, Answer{now, {CheckKind::kIdentity}, AnswerValue{0, config.backends[0].chain.identity}});
      state.observe(i, HeadObservation{now, 10ms, Head{height, "0x1", now.wall}});
    }
    state.decide(now, true);
    now.mono += 1s;
    now.wall += 1s;
  };
  decide(100);
  {
    Recording recording(folder.path("r"));
    recording.follow(state, Cause::kStart);
    BackendView view;
    view.worker_age = 60s;
    view.servers.assign(config.backends[0].servers.size(), ServerView{});
    for (std::optional<ServerView>& server : view.servers) server->weight = 6;
    view.servers.front()->weight = 200;
    state.update_views(std::vector<event::ViewsChanged::Of>{{0, view}});
    decide(101);
  }
  CHECK(replayed({read(folder.path("r"))}, config).decisions == 1);
  CHECK(replayed({read(folder.path("r"))}, config).other == 0);
}

TEST_CASE("files are bounded also where HAProxy's list changes all the time") {
  const config::Config config = play_config();
  const Folder folder;
  Play play(config, 5);
  constexpr std::uint64_t kLimit = 200'000;
  {
    Recording recording(folder.path("r"), {kLimit, 3});
    recording.follow(play.state, Cause::kStart);
    for (unsigned i = 0; i < 300; ++i) {
      recording.servers_changed(play.state);
      play.step();
    }
  }
  CHECK(fs::exists(folder.path("r.2")));
  for (const char* name : {"r.2", "r.1", "r"}) {
    const std::string text = read(folder.path(name));
    CHECK(text.size() < kLimit + 120'000);
    const replay::Result r = replayed({text}, config);
    CHECK(r.other == 0);
    // The newest file may just have begun.
    CHECK((name == std::string_view("r") || mentions(r.notes, "HAProxy's list had other servers")));
  }
}

TEST_CASE("what comes after a reload, or a restart, begins with what was known then") {
  const config::Config config = play_config();
  config::Config changed = play_config();
  changed.backends[0].strategy = "equal";
  const Folder folder;
  Play play(config, 9);
  SystemState after(changed);
  {
    Recording recording(folder.path("r"));
    recording.follow(play.state, Cause::kStart);
    for (unsigned i = 0; i < 200; ++i) play.step();
    after.adopt(std::move(play.state));
    recording.follow(after, Cause::kReload);
    for (unsigned i = 0; i < 50; ++i) {
      play.now.mono += 1s;
      play.now.wall += 1s;
      after.decide(play.now, true);
    }
  }
  const replay::Result r = replayed({read(folder.path("r"))}, changed);
  CHECK(r.sections == 2);
  CHECK(mentions(r.notes, "the configuration was read again"));
  CHECK(r.other > 0);
  const WallTime reload = play.now.wall - 49s;
  for (const replay::Difference& d : r.differences) CHECK(d.from < reload);
}

TEST_CASE("another max_lag would have kept a late server in") {
  config::Config config = play_config();
  config.backends.pop_back();
  config::Backend& b = config.backends[0];
  b.canaries.clear();
  b.min_peers = 0;
  b.strategy = "equal";
  const Folder folder;
  SystemState state(config);
  Now now{WallTime{std::chrono::seconds{1'800'000'000}}, MonoTime{0}};
  {
    Recording recording(folder.path("r"));
    recording.follow(state, Cause::kStart);
    for (unsigned second = 0; second < 120; ++second) {
      now.mono += 1s;
      now.wall += 1s;
      for (std::size_t i = 0; i < state.targets().size(); ++i) {
        for (const Check& check : state.begin_probe(i, now.mono))
          state.observe(i, Answer{now, check, AnswerValue{0, check.kind == CheckKind::kIdentity ? "7" : ""}});
        const bool late = i == 2 && second >= 30 && second < 60;
        const std::uint64_t number = 1000 + second - (late ? 15U : 0U);
        state.observe(
            i, HeadObservation{now, 20ms, Head{number, fmt::format("0x{}", number), now.wall - (late ? 15s : 0s)}});
      }
      state.decide(now);
      for (const SystemState::TargetCheck& q : state.urgent_checks())
        state.observe(q.target, Answer{now, q.check, AnswerValue{0, fmt::format("0x{}", q.check.argument)}});
    }
  }
  const std::string text = read(folder.path("r"));
  CHECK(replayed({text}, config).other == 0);

  b.chain.max_lag = 60s;
  const replay::Result r = replayed({text}, config);
  CHECK(r.other > 0);
  CHECK(of(r, "one", "c").recorded_out > 20s);
  CHECK(of(r, "one", "c").replayed_out < 2s);
  CHECK(of(r, "one", "a").recorded_share > of(r, "one", "a").replayed_share);
  CHECK(of(r, "one", "c").recorded_share < of(r, "one", "c").replayed_share);
  const auto out = std::ranges::find_if(r.differences, [](const replay::Difference& d) {
    return d.server == "c" && d.recorded.state == rpcw::State::kEjected;
  });
  REQUIRE(out != r.differences.end());
  CHECK(out->recorded.weight == 0);
  CHECK(out->recorded.reasons.front().code == Reason::kBlockLag);
  CHECK(out->replayed.weight > 0);
  CHECK(out->lasted >= 1s);
  CHECK(r.recorded_changes > r.replayed_changes);
}

TEST_CASE("what only one side has is named and left out") {
  const config::Config config = play_config();
  const std::string text = recorded(config, 11, 300);
  SUBCASE("a server less and one more, in another order, and a backend less") {
    config::Config other = config;
    other.backends.pop_back();
    auto& servers = other.backends[0].servers;
    std::ranges::reverse(servers);
    servers[0].name = "new";
    other.backends[0].references.clear();
    const replay::Result r = replayed({text}, other);
    CHECK(mentions(r.notes, "one/d is only in the recording"));
    CHECK(mentions(r.notes, "one/new is only in the configuration"));
    CHECK(mentions(r.notes, "backend two is only in the recording"));
    CHECK(mentions(r.notes, "with 1 references and has 0 now"));
    CHECK(r.servers.size() == 3);
    CHECK(r.decisions > 0);
  }
  SUBCASE("a backend more, and canaries less") {
    config::Config other = config;
    other.backends.push_back(other.backends[0]);
    other.backends.back().name = "three";
    for (config::Backend& b : other.backends) b.canaries.clear();
    const replay::Result r = replayed({text}, other);
    CHECK(mentions(r.notes, "backend three is only in the configuration"));
    CHECK(r.servers.size() == 8);
  }
  SUBCASE("another chain") {
    config::Config other = config;
    for (config::Backend& b : other.backends) b.chain.name = "elsewhere";
    const auto r = replay_texts({text}, other);
    REQUIRE_FALSE(r.has_value());
    CHECK(r.error().kind == replay::Error::Kind::kMisfit);
    CHECK(r.error().what.find("was recorded on the chain test and is on elsewhere now") != std::string::npos);
  }
  SUBCASE("operators that the file does not give are those that were recorded") {
    config::Config other = config;
    for (config::Backend& b : other.backends) {
      b.references[0].operator_name.clear();
      b.references[0].url.clear();
      for (config::Server& s : b.servers) s.target.url.clear();
    }
    CHECK(replayed({text}, other).other == 0);
    other.backends[0].servers[0].target.operator_name = "b";
    other.backends[0].servers[0].target.operator_given = true;
    CHECK(replayed({text}, other).notes.empty());
  }
  SUBCASE("intervals that follow from addresses are those that were recorded") {
    config::Config paced = config;
    paced.probe.auto_interval = true;
    for (config::Backend& b : paced.backends)
      for (std::size_t i = 0; i < b.servers.size(); i += 2)
        b.servers[i].target.pace.interval = 4 * config.probe.interval;
    const std::string as_paced = recorded(paced, 7, 300);
    config::Config other = paced;
    for (config::Backend& b : other.backends)
      for (config::Server& s : b.servers) s.target.pace = {};
    CHECK(replayed({as_paced}, other).other_weights == 0);
    // A configuration that names an interval goes by that one: shares grow at another speed.
    other.probe.auto_interval = false;
    CHECK(replayed({as_paced}, other).other_weights > 0);
  }
}

TEST_CASE("a line that was cut off is a note, any other damage an error that names the line") {
  const config::Config config = play_config();
  const std::string text = recorded(config, 2, 60);
  const std::vector<std::string> lines = lines_of(text);
  SUBCASE("cut off anywhere in the last line") {
    const std::size_t last = text.size() - lines.back().size() - 1;
    // Each place, or each fiftieth one under a sanitizer.
    for (std::size_t at = last + 1; at + 1 < text.size(); at += model::tried(10) == 10 ? 1U : 50U) {
      const replay::Result r = replayed({text.substr(0, at)}, config);
      CHECK(r.notes.size() == 1);
      CHECK(mentions(r.notes, fmt::format("file0:{}: the line was not written to its end", lines.size())));
      CHECK(r.other == 0);
    }
    CHECK(replayed({text.substr(0, text.size() - 1)}, config).notes.empty());
  }
  SUBCASE("cut off, and then begun again") {
    const std::string cut = text.substr(0, text.size() - 20) + "\n" + text;
    const replay::Result r = replayed({cut}, config);
    CHECK(mentions(r.notes, "not written to its end"));
    CHECK(mentions(r.notes, "the program was started again"));
    CHECK(r.other == 0);
  }
  SUBCASE("in the middle") {
    std::vector<std::string> damaged = lines;
    damaged[10].resize(damaged[10].size() / 2);
    CHECK(error_of(joined(damaged), config).starts_with("file0:11: byte "));
  }
  SUBCASE("what is no recording") {
    CHECK(error_of("", config) == "file0: is empty");
    CHECK(error_of("no JSON\n", config).starts_with("file0:1: byte "));
    CHECK(error_of("{\"event\":\"look\"}\n", config).find("is no recording of rpc-weighter") != std::string::npos);
    CHECK(error_of("{}\n", config) == "file0:1: event: is missing");
    CHECK(error_of("[1]\n", config).starts_with("file0:1: "));
  }
  SUBCASE("another version") {
    const auto of_version = [&](int version) {
      std::string other = text;
      return other.replace(other.find("\"version\":8"), 11, fmt::format("\"version\":{}", version));
    };
    CHECK(error_of(of_version(6), config) == "file0:1: version: is 6, and this program reads the versions 7 and 8");
    CHECK(error_of(of_version(9), config) == "file0:1: version: is 9, and this program reads the versions 7 and 8");
    CHECK(replayed({of_version(7)}, config).other == 0);
  }
  SUBCASE("another program's version is a note") {
    std::string other = text;
    const std::size_t at = other.find(fmt::format("\"program\":\"{}\"", version()));
    REQUIRE(at != std::string::npos);
    other.replace(at, 12, "\"program\":\"9");
    CHECK(mentions(replayed({other}, config).notes, "recorded by version 9"));
  }
  SUBCASE("wrong values") {
    const auto with = [&](const std::string& line) {
      std::vector<std::string> more = lines;
      more.insert(more.begin() + 20, line);
      return error_of(joined(more), config);
    };
    CHECK(with("{\"event\":\"dance\"}") == "file0:21: event: is not known to this version");
    CHECK(with("{\"event\":\"silent\",\"target\":\"one/z\"}") == "file0:21: target: must be a target of the section");
    CHECK(with("{\"event\":\"silent\",\"target\":\"one/#1\"}").starts_with("file0:21: target"));
    CHECK(with("{\"event\":\"see\",\"backends\":[{\"name\":\"none\"}]}").starts_with("file0:21: backends[0].name"));
    CHECK(with("{\"event\":\"decide\",\"now\":{\"wall_ms\":1,\"mono_us\":1e3}}").starts_with("file0:21: now.mono_us"));
    CHECK(with("{\"event\":\"decide\",\"now\":{\"wall_ms\":1,\"mono_us\":1},\"servers\":[{\"name\":\"one/#0\"}]}")
              .starts_with("file0:21: servers[0]"));
    CHECK(with(lines[1]).find("must come before what happened") != std::string::npos);
    CHECK(with(std::string(kMostLine + 1, 'x')).starts_with("file0:21: is 16777217 bytes long"));
  }
}

TEST_CASE("no mutation of a recording does any harm") {
  const config::Config config = play_config();
  const std::string text = recorded(config, 4, 40);
  std::mt19937 random(1);
  unsigned good = 0;
  constexpr std::string_view kBytes = "0123456789-.eE\"{}[],:tfn\\ \n\xff";
  for (unsigned i = 0; i < model::tried(600); ++i) {
    std::string damaged = text;
    for (auto n = random() % 3 + 1; n > 0; --n) {
      const std::size_t at = random() % damaged.size();
      switch (random() % 4) {
        case 0:
          damaged[at] = kBytes[random() % kBytes.size()];
          break;
        case 1:
          damaged.erase(at, random() % 40);
          break;
        case 2:
          damaged.insert(at, 1, kBytes[random() % kBytes.size()]);
          break;
        default:
          damaged.insert(at, damaged.substr(random() % damaged.size(), random() % 200));
      }
    }
    good += replay_texts({damaged}, config).has_value() ? 1U : 0U;
  }
  CHECK(good > 0);
}

TEST_CASE("a file that cannot be written stops nothing, and what is there already is not harmed") {
  const config::Config config = play_config();
  const Folder folder;
  Play play(config, 1);
  SUBCASE("no such folder") {
    Recording recording(folder.path("none/r"));
    recording.follow(play.state, Cause::kStart);
    CHECK_FALSE(recording.recording());
    for (int i = 0; i < 10; ++i) play.step();
    recording.flush();
  }
  SUBCASE("another file of this name") {
    write(folder.path("r"), "[haproxy]\n");
    Recording recording(folder.path("r"));
    recording.follow(play.state, Cause::kStart);
    CHECK_FALSE(recording.recording());
    play.step();
    CHECK(read(folder.path("r")) == "[haproxy]\n");
  }
  SUBCASE("a recording of another version's is put aside, since a replay would end at its first line") {
    const std::string old = R"({"event":"recording","version":6,"program":"0.0.1"})"
                            "\n";
    write(folder.path("r"), old);
    {
      Recording recording(folder.path("r"));
      recording.follow(play.state, Cause::kStart);
      CHECK(recording.recording());
      play.step();
    }
    CHECK(read(folder.path("r.1")) == old);
    CHECK(lines_of(read(folder.path("r"))).front().starts_with(R"({"event":"recording","version":8,)"));
  }
  SUBCASE("no regular file") {
    Recording recording("/dev/null");
    recording.follow(play.state, Cause::kStart);
    CHECK_FALSE(recording.recording());
  }
  SUBCASE("another one is recording there") {
    Recording first(folder.path("r"));
    first.follow(play.state, Cause::kStart);
    Play other(config, 2);
    Recording second(folder.path("r"));
    second.follow(other.state, Cause::kStart);
    CHECK(first.recording());
    CHECK_FALSE(second.recording());
  }
  SUBCASE("full") {
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    constexpr rlim_t kRoom = 40'000;
    {
      Recording recording(folder.path("r"));
      recording.follow(play.state, Cause::kStart);
      const rlimit small{kRoom, before.rlim_max};
      setrlimit(RLIMIT_FSIZE, &small);
      for (int i = 0; i < 20; ++i) {
        play.step();
        recording.flush();
      }
      for (int i = 0; i < 400; ++i) play.step();
      recording.flush();
      CHECK_FALSE(recording.recording());
    }
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    const std::string text = read(folder.path("r"));
    CHECK(text.size() <= kRoom);
    CHECK(text.ends_with("\n"));
    CHECK(replayed({text}, config).other == 0);
  }
  SUBCASE("a crash has cut the last line off") {
    const std::string text = recorded(config, 8, 30);
    write(folder.path("r"), text.substr(0, text.size() - 7));
    {
      Recording recording(folder.path("r"));
      recording.follow(play.state, Cause::kStart);
      for (int i = 0; i < 30; ++i) play.step();
    }
    const replay::Result r = replayed({read(folder.path("r"))}, config);
    CHECK(r.sections == 2);
    CHECK(r.other == 0);
    CHECK(mentions(r.notes, "not written to its end"));
  }
}
