#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <sstream>

#include "model/chaos.hpp"
#include "model/effort.hpp"
#include "store/file.hpp"
#include "store/state_codec.hpp"
#include "store/state_file.hpp"
#include "unit/folder.hpp"
#include "weighter/plan/planner.hpp"

using namespace rpcw;
using namespace rpcw::model;
using namespace rpcw::store;

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSalt = "0123456789abcdef0123456789abcdef";
constexpr WallTime kWall{std::chrono::seconds{1'800'000'000}};
/// How far apart the monotonic clocks of two boots are.
constexpr MonoTime kBoot{123'456'789'012'345};

Now at(milliseconds t) {
  return {kWall + t, t};
}

bool same(const ServerDecision& a, const ServerDecision& b) {
  return a.state == b.state && a.reasons == b.reasons && a.inputs == b.inputs &&
         std::bit_cast<std::uint64_t>(a.score) == std::bit_cast<std::uint64_t>(b.score) && a.weight == b.weight &&
         a.head == b.head && a.head_age == b.head_age && a.lag_blocks == b.lag_blocks && a.latency == b.latency;
}

bool same(const BackendDecision& a, const BackendDecision& b) {
  return std::ranges::equal(a.servers, b.servers, [](const auto& x, const auto& y) { return same(x, y); }) &&
         a.head == b.head && a.notes == b.notes && a.fallback == b.fallback && a.healthy == b.healthy &&
         a.any_verdict == b.any_verdict && a.blind == b.blind;
}

BackendSnapshot memory_of(const BackendHistory& history, const BackendView& view, const std::vector<unsigned>& held) {
  BackendSnapshot m{"rpc", {}, {}, "s", "c", history, view, {}, !held.empty()};
  for (std::size_t i = 0; i < history.servers.size(); ++i) m.servers.push_back(fmt::format("s{}", i));
  for (std::size_t i = 0; i < history.references.size(); ++i) m.references.push_back(fmt::format("r{}", i));
  for (const unsigned w : held) m.decision.servers.emplace_back().weight = w;
  return m;
}

StoredState loaded(std::string_view text, Now now) {
  auto state = decode(text, now);
  REQUIRE_MESSAGE(state.has_value(), state.error());
  return std::move(*state);
}

/// Things that Chaos has no occasion for.
void more(Chaos& c) {
  auto& t = c.history->servers[static_cast<std::size_t>(c.pick(0, static_cast<int>(c.history->servers.size()) - 1))];
  const auto failure =
      std::unexpected(ProbeFailure{Reason::kRpcError, "no\"\n such ü", milliseconds{5}, c.pick(0, 1) == 0});
  const bool good = c.pick(0, 2) > 0;
  switch (c.pick(0, 3)) {
    case 0:
      t.node.canaries.resize(1);
      if (good)
        fold(t, Answer{c.now, {CheckKind::kCanary, 0}, AnswerValue{}}, c.backend.chain);
      else
        fold(t, Answer{c.now, {CheckKind::kCanary, 0}, failure}, c.backend.chain);
      return;
    case 1:
      if (good)
        fold(t, Answer{c.now, {CheckKind::kSyncing}, AnswerValue{static_cast<std::uint64_t>(c.pick(0, 9)), {}}},
             c.backend.chain);
      else
        fold(t, Answer{c.now, {CheckKind::kSyncing}, failure}, c.backend.chain);
      return;
    case 2:
      if (good)
        fold(t, Answer{c.now, {CheckKind::kPeers}, AnswerValue{static_cast<std::uint64_t>(c.pick(0, 9)), {}}},
             c.backend.chain);
      else
        fold(t, Answer{c.now, {CheckKind::kPeers}, failure}, c.backend.chain);
      return;
    default:
      if (c.pick(0, 20) == 0) t.forks.minority = "block 7 is 0xa here, 2 of 3 operators say 0xb";
      if (c.pick(0, 10) == 0) t.forks.minority.clear();
  }
}

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

void put(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

mode_t mode_of(const std::string& path) {
  struct stat s {};
  REQUIRE(stat(path.c_str(), &s) == 0);
  return s.st_mode & 07777;
}

config::Config config_of(std::initializer_list<const char*> servers) {
  config::Config out;
  config::Backend& b = out.backends.emplace_back();
  b.name = "rpc";
  b.chain = {"test", "evm", "1", 1s, 60s, 30s, 3};
  for (const char* name : servers)
    b.servers.push_back({name, {fmt::format("http://{}.example/SecretKey?also=Secret", name), {}, name, false}, 1.0});
  b.references.push_back({"http://reference.example/SecretKey", {}, "reference", false});
  return out;
}

void answer(SystemState& state, std::size_t target, milliseconds t, bool good = true) {
  state.observe(target, Answer{at(t), {CheckKind::kIdentity}, AnswerValue{0, "1"}});
  if (good)
    state.observe(target, HeadObservation{at(t), 10ms, Head{100, "0x1", kWall + t}});
  else
    state.observe(target, HeadObservation{at(t), 10ms, std::unexpected(ProbeFailure{Reason::kTimeout, "late", {}})});
}

std::vector<unsigned> weights(const SystemState& state) {
  std::vector<unsigned> out;
  for (const ServerDecision& s : state.decision(0).servers) out.push_back(s.weight);
  return out;
}

using Weights = std::vector<unsigned>;

/// A state with everything in it that can be: a, b well, c ejected.
struct Scene {
  config::Config config = config_of({"a", "b", "c"});
  Folder folder;
  std::string path = folder.path("state.json");

  Scene() {
    SystemState state(config);
    for (int i = 0; i < 4; ++i) {
      for (std::size_t k = 0; k < 4; ++k) answer(state, k, i * 5s, k != 2 || i == 0);
      state.decide(at(i * 5s), true);
    }
    REQUIRE(weights(state) == Weights{128, 128, 0});
    REQUIRE(StateFile(path).save(state, at(15s)).has_value());
  }
};

}  // namespace

TEST_CASE("any history: saved and loaded in between, the decisions that follow are the same to the bit") {
  for (unsigned seed = 1; seed <= model::tried(400); ++seed) {
    CAPTURE(seed);
    Chaos a(seed);
    Chaos b(seed);
    const int steps = a.pick(2, 80);
    b.pick(2, 80);
    a.backend.canaries.resize(1);
    b.backend.canaries.resize(1);
    std::mt19937 random(seed);
    for (int i = 0; i < steps; ++i) {
      a.step();
      b.step();
      more(a);
      more(b);
      REQUIRE(same(a.decide(), b.decide()));
      if (random() % 4 != 0) continue;
      // What is under way is lost in both.
      for (TargetHistory& t : a.history->servers) forget_checks(t);
      forget_checks(a.history->forks);
      const std::string text = encode(kSalt, {memory_of(*b.history, b.view, b.held)}, b.now);
      const milliseconds asleep{random() % 3 == 0 ? random() % 100'000 : 0};
      a.now.wall += asleep;
      a.now.mono += asleep;
      b.now.wall += asleep;
      b.now.mono += asleep + MonoTime{kBoot};
      StoredState state = loaded(text, b.now);
      for (TargetHistory& t : state.backends[0].history.servers) forget_checks(t);
      REQUIRE(encode(kSalt, state.backends, {state.saved, b.now.mono - asleep}) == text);
      b.history = std::move(state.backends[0].history);
      b.view = std::move(state.backends[0].view);
      for (std::size_t k = 0; k < b.held.size(); ++k)
        REQUIRE(state.backends[0].decision.servers[k].weight == b.held[k]);
    }
  }
}

TEST_CASE("a state that is saved and loaded before each pass decides as one that lives on") {
  const config::Config config = [] {
    config::Config out = config_of({"a", "b", "c", "d"});
    out.backends[0].strategy = "adaptive";
    return out;
  }();
  const Folder folder;
  for (unsigned seed = 1; seed <= model::tried(20); ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    SystemState lives(config);
    const std::string path = folder.path(fmt::format("{}.json", seed));
    for (int pass = 0; pass < 60; ++pass) {
      const milliseconds t = pass * 60s;
      SystemState fresh(config);
      // Another boot each time.
      const MonoTime boot = pass * MonoTime{kBoot / 1000};
      Now there{kWall + t, MonoTime{t} + boot};
      REQUIRE_FALSE(StateFile(path).load(fresh, there).has_value());
      const auto both = [&](const auto& action) {
        action(lives, at(t));
        action(fresh, there);
      };
      for (std::size_t k = 0; k < 5; ++k) {
        const bool good = k == 0 || random() % 3 > 0;
        const std::chrono::microseconds latency{random() % 300'000};
        const std::vector<Check> due = lives.begin_probe(k, at(t).mono);
        CHECK(fresh.begin_probe(k, there.mono) == due);
        both([&](SystemState& f, Now now) {
          for (const Check& q : due)
            f.observe(k, Answer{now, q, AnswerValue{0, q.kind == CheckKind::kIdentity ? "1" : ""}});
          if (good)
            f.observe(
                k, HeadObservation{now, latency,
                                   Head{static_cast<std::uint64_t>(pass * 60), fmt::format("0x{}", pass), now.wall}});
          else
            f.observe(k, HeadObservation{now, latency, std::unexpected(ProbeFailure{Reason::kTimeout, "late", {}})});
        });
      }
      both([](SystemState& f, Now now) {
        f.scan(now);
        for (const auto& q : f.urgent_checks()) f.observe(q.target, Answer{now, q.check, AnswerValue{0, "0xabc"}});
        f.decide(now, true);
      });
      REQUIRE(same(lives.decision(0), fresh.decision(0)));
      REQUIRE(StateFile(path).save(fresh, there).has_value());
    }
  }
}

TEST_CASE("without a file nothing is known, and nothing is said") {
  const Scene s;
  SystemState state(s.config);
  CHECK_FALSE(StateFile(s.folder.path("none.json")).load(state, at(16s)).has_value());
  CHECK(state.history(0).probes.observations == 0);
  CHECK_FALSE(state.cold());
}

TEST_CASE("what was known goes on, and nothing is pushed before the next decision") {
  const Scene s;
  SystemState state(s.config);
  CHECK_FALSE(StateFile(s.path).load(state, {kWall + 20s, kBoot}).has_value());
  CHECK(state.cold());
  CHECK(weights(state) == Weights{128, 128, 0});
  CHECK(state.decision(0).servers[2].state == State::kEjected);
  CHECK(state.history(2).ejection.is_out);
  CHECK(state.history(2).health.bad_in_row == 3);
  CHECK(state.history(2).ejection.quiet_since == kBoot - 5s);
  CHECK(state.history(3).probes.observations > 0);  // the reference
  haproxy::Instance instance;
  haproxy::BackendRow& row = instance.backends.emplace_back();
  row.name = "rpc";
  for (const char* name : {"a", "b", "c"}) row.servers.emplace_back().name = name;
  CHECK(plan_changes(state, instance).empty());
  state.decide({kWall + 20s, kBoot}, true);
  CHECK(plan_changes(state, instance).size() == 2);
}

TEST_CASE("weights that were decided without HAProxy's give way to them after a restart too") {
  const Scene s;
  haproxy::Instance instance;
  haproxy::BackendRow& row = instance.backends.emplace_back();
  row.name = "rpc";
  for (const char* name : {"a", "b", "c"}) {
    haproxy::ServerRow& server = row.servers.emplace_back();
    server.name = name;
    server.uweight = 77;
  }
  row.index();
  const haproxy::Instance* const read = &instance;
  Weights then{77, 77, 77};
  SUBCASE("kept in the file") {}
  SUBCASE("a file of before that was kept is read all the same") {
    constexpr std::string_view kField = R"("guessed":true,)";
    std::string text = content(s.path);
    REQUIRE(text.find(kField) != std::string::npos);
    text.erase(text.find(kField), kField.size());
    put(s.path, text);
    then = {128, 128, 0};
  }
  SystemState state(s.config);
  CHECK_FALSE(StateFile(s.path).load(state, {kWall + 20s, kBoot}).has_value());
  CHECK(weights(state) == Weights{128, 128, 0});
  state.update_views(std::span(&read, 1));
  CHECK(weights(state) == then);
  // Once only: from now on these are decided on HAProxy's.
  REQUIRE(StateFile(s.path).save(state, at(21s)).has_value());
  CHECK(content(s.path).find("guessed") == std::string::npos);
}

TEST_CASE("histories follow their servers: the order may change, a new URL, chain or name begins anew") {
  const Scene s;
  const auto load = [&](config::Config& config, auto check) {
    SystemState state(config);
    CHECK_FALSE(StateFile(s.path).load(state, at(20s)).has_value());
    check(state);
  };
  config::Config moved = config_of({"c", "a", "b"});
  load(moved, [](const SystemState& f) {
    CHECK(f.history(0).ejection.is_out);
    CHECK(weights(f) == Weights{0, 128, 128});
  });
  config::Config url = s.config;
  url.backends[0].servers[2].target.url += "x";
  load(url, [](const SystemState& f) {
    CHECK(f.history(2).probes.observations == 0);
    CHECK(f.history(1).probes.observations > 0);
  });
  config::Config chain = s.config;
  chain.backends[0].chain.name = "other";
  load(chain, [](const SystemState& f) {
    CHECK(f.history(0).probes.observations == 0);
    CHECK(f.history(3).probes.observations == 0);
  });
  config::Config name = s.config;
  name.backends[0].servers[0].name = "z";
  load(name, [](const SystemState& f) { CHECK(f.history(0).probes.observations == 0); });
  config::Config added = config_of({"a", "b", "c", "d"});
  load(added, [](const SystemState& f) {
    CHECK(f.history(2).ejection.is_out);
    CHECK(f.history(3).probes.observations == 0);
    CHECK(f.history(4).probes.observations > 0);
  });
  config::Config backend = s.config;
  backend.backends[0].name = "other";
  load(backend, [](const SystemState& f) { CHECK(f.history(0).probes.observations == 0); });
}

TEST_CASE("many servers: fingerprints are short, and none is mixed up all the same") {
  config::Config config;
  config::Backend& b = config.backends.emplace_back();
  b.name = "rpc";
  b.chain = {"test", "evm", "1", 1s, 60s, 30s, 3};
  for (int i = 0; i < 3000; ++i)
    b.servers.push_back({fmt::format("s{}", i), {fmt::format("http://x/{}", i), {}, "o", false}, 1.0});
  const Folder folder;
  SystemState state(config);
  for (std::size_t i = 0; i < 3000; ++i) answer(state, i, milliseconds{i});
  state.decide(at(3s), true);
  const StateFile file(folder.path("state.json"));
  const std::string text = file.text(state, at(3s));
  CHECK(text.size() < kMostStateBytes / 4);
  REQUIRE(file.write(text).has_value());
  SystemState fresh(config);
  CHECK_FALSE(StateFile(folder.path("state.json")).load(fresh, at(4s)).has_value());
  CHECK(weights(fresh) == weights(state));
  for (std::size_t i = 0; i < 3000; ++i) REQUIRE(fresh.history(i).heads.received.mono == MonoTime{milliseconds{i}});
}

TEST_CASE("backends that a pass leaves out stay in the file, and grow old there") {
  const Folder folder;
  const std::string path = folder.path("state.json");
  const auto of = [](std::initializer_list<const char*> names) {
    config::Config out;
    for (const char* name : names) {
      config::Config one = config_of({"a", "b", "c"});
      one.backends[0].name = name;
      out.backends.push_back(one.backends[0]);
    }
    return out;
  };
  // A pass in which all targets answer. The error is a warning.
  const auto pass = [&](const config::Config& config, milliseconds when) {
    SystemState state(config);
    StateFile file(path);
    CHECK_FALSE(file.load(state, at(when)).has_value());
    for (std::size_t k = 0; k < state.targets().size(); ++k) answer(state, k, when);
    state.decide(at(when), true);
    REQUIRE(file.save(state, at(when)).has_value());
  };
  // What a pass would know of its first server.
  const auto known = [&](const config::Config& config, milliseconds when) {
    SystemState state(config);
    CHECK_FALSE(StateFile(path).load(state, at(when)).has_value());
    return std::pair(state.history(0).probes.observations, state.history(0).latency.smoothed_ms.has_value());
  };
  const config::Config both = of({"x", "y"});
  const config::Config x = of({"x"});
  const config::Config y = of({"y"});
  pass(both, 0s);
  pass(x, 1min);
  CHECK(known(y, 1min).first == 1);
  for (int i = 2; i <= 30; ++i) pass(x, i * 1min);
  CHECK(known(x, 30min).first == 31);
  CHECK(known(y, 30min).first == 1);
  // By its own age: after 35 minutes latency and errors alone count, after 45 nothing.
  for (int i = 31; i <= 40; ++i) pass(x, i * 1min);
  CHECK(known(y, 40min) == std::pair(std::uint64_t{0}, true));
  CHECK(content(path).find("\"name\":\"y\"") != std::string::npos);
  SUBCASE("a pass that knows it makes it young again, and the other one old") {
    pass(y, 41min);
    CHECK(known(y, 41min).first == 1);
    for (int i = 42; i <= 60; ++i) pass(y, i * 1min);
    CHECK(known(both, 60min).first == 41);
    CHECK(known(y, 60min).first == 20);
  }
  SUBCASE("a clock that was set back makes it no younger than just saved") {
    SystemState state(x);
    StateFile file(path);
    CHECK(file.load(state, {kWall - 24h, MonoTime(41min)}).has_value());
    state.decide({kWall - 24h, MonoTime(41min)}, true);
    REQUIRE(file.save(state, {kWall - 24h, MonoTime(41min)}).has_value());
    for (int i = 1; i <= 46; ++i) {
      SystemState next(x);
      StateFile later(path);
      const Now when{kWall - 24h + i * 1min, MonoTime(41min) + i * 1min};
      CHECK_FALSE(later.load(next, when).has_value());
      next.decide(when, true);
      REQUIRE(later.save(next, when).has_value());
    }
    CHECK(content(path).find("left_out") == std::string::npos);
  }
  SUBCASE("it is forgotten in the end") {
    for (int i = 41; i <= 46; ++i) pass(x, i * 1min);
    CHECK(known(y, 46min) == std::pair(std::uint64_t{0}, false));
    CHECK(content(path).find("left_out") == std::string::npos);
  }
}

TEST_CASE("the clock: time that passed counts, time that went back does not, an old state is not used") {
  const Scene s;
  const auto load = [&](milliseconds later, SystemState& state) {
    return StateFile(s.path).load(state, {kWall + 15s + later, kBoot});
  };
  SystemState half_hour(s.config);
  CHECK_FALSE(load(35min, half_hour).has_value());
  CHECK(half_hour.history(0).heads.received.mono == kBoot - 35min);
  CHECK(half_hour.history(2).ejection.is_out);
  // Heads and ejections so old would only delay servers that are well by now.
  SystemState longer(s.config);
  CHECK_FALSE(load(45min, longer).has_value());
  CHECK_FALSE(longer.history(0).heads.newest.has_value());
  CHECK(longer.history(0).latency.smoothed_at == kBoot - 45min);
  CHECK_FALSE(longer.history(2).ejection.is_out);
  CHECK(longer.history(2).ejection.count == 1);
  SystemState back(s.config);
  CHECK_FALSE(load(-60s, back).has_value());
  CHECK(back.history(0).latency.smoothed_at == kBoot);
  SystemState future(s.config);
  const auto warning = load(-3h, future);
  REQUIRE(warning.has_value());
  CHECK(*warning ==
        fmt::format("state file {}: was saved 3 h in the future, so this machine's clock was or is wrong; it "
                    "is used as if saved just now",
                    s.path));
  // So would heads from the future.
  CHECK_FALSE(future.history(0).heads.newest.has_value());
  CHECK_FALSE(future.history(2).ejection.is_out);
  CHECK(future.history(0).latency.smoothed_at == kBoot);
  SystemState old(s.config);
  const auto too_old = load(46min, old);
  REQUIRE(too_old.has_value());
  CHECK(*too_old == fmt::format("state file {}: was saved 46 min ago, at most 45 min is of use; it is not used, every "
                                "server's history starts anew",
                                s.path));
  CHECK(old.history(2).probes.observations == 0);
}

TEST_CASE("no secret is in the file, nor anything that a guess at one could be confirmed by") {
  const Scene s;
  const std::string text = content(s.path);
  CHECK(text.find("Secret") == std::string::npos);
  CHECK(text.find("http") == std::string::npos);
  CHECK(text.find("example") == std::string::npos);
  std::map<std::string, int> found;
  for (int i = 0; i < 400'000; ++i) ++found[fingerprint(kSalt, std::to_string(i))];
  CHECK(found.size() > 60'000);
  CHECK(found.size() <= 65'536);
  CHECK(found.begin()->first.size() == 4);
  CHECK(fingerprint(kSalt, "x") != fingerprint("another", "x"));
  // The salt stays, or each new one would tell 16 bits more.
  SystemState state(s.config);
  StateFile file(s.path);
  REQUIRE_FALSE(file.load(state, at(20s)).has_value());
  CHECK(file.text(state, at(20s)).find(text.substr(text.find("\"salt\""), 41)) != std::string::npos);
}

TEST_CASE("foreign and damaged files are told from good ones, with a reason and a remedy") {
  const Scene s;
  const std::string good = content(s.path);
  const auto warning = [&](std::string_view text) {
    put(s.path, text);
    SystemState state(s.config);
    const auto out = StateFile(s.path).load(state, at(20s));
    REQUIRE(out.has_value());
    CHECK(state.history(0).probes.observations == 0);
    CHECK_FALSE(state.cold());
    const std::string start = fmt::format("state file {}: ", s.path);
    const std::string_view end = "; it is not used, every server's history starts anew, and the file is replaced";
    REQUIRE(out->starts_with(start));
    REQUIRE_MESSAGE(out->ends_with(end), *out);
    return out->substr(start.size(), out->size() - start.size() - end.size());
  };
  const auto changed = [&](std::string_view from, std::string_view to) {
    std::string text = good;
    REQUIRE(text.find(from) != std::string::npos);
    return warning(text.replace(text.find(from), from.size(), to));
  };
  CHECK(warning("") == "byte 0: is no JSON: The document is empty.");
  CHECK(warning("{\"format\":").starts_with("byte 10: is no JSON"));
  CHECK(warning("{\"format\":\"rpc-weighter state\"").starts_with("byte "));
  CHECK(changed("\"version\":7", "\"version\":6") == "has version 6, and this program reads version 7");
  CHECK(changed("\"version\":7", "\"version\":-1").starts_with("version: must be an integer"));
  CHECK(changed("\"ejections\":1", "\"ejections\":4294967296") ==
        "backends[0].servers[2].ejections: must be an integer, 0 to 1000");
  CHECK(changed("\"attempts\":", "\"attempts\":-") ==
        "backends[0].servers[0].attempts: must be a number, 0 to 1000000000000000");
  CHECK(changed("\"attempts\":", "\"attempts\":NaN").starts_with("byte "));
  CHECK(changed("\"attempts\":", "\"attempts\":null,\"x\":") ==
        "backends[0].servers[0].attempts: must be a number, 0 to 1000000000000000");
  CHECK(changed("\"verified\"", "\"perhaps\"") ==
        "backends[0].servers[0].identity: must be one of unknown, verified, wrong");
  CHECK(changed("\"shares\":[", "\"shares\":[0.5,") ==
        "backends[0].shares: must have one element for each server, or none");
  CHECK(changed("\"salt\":\"", "\"salt\":\"x").starts_with("salt: must be"));
  CHECK(changed("\"jumped\":false", "\"jumped\":0") == "backends[0].servers[0].jumped: must be true or false");
}

TEST_CASE("whatever the bytes are: a state or an error, and a state is safe to decide with") {
  Scene s;
  config::Backend& b = s.config.backends[0];
  b.canaries.push_back({});
  const std::string good = content(s.path);
  std::size_t survived = 0;
  const auto try_out = [&](std::string_view text) {
    const Now now{kWall + 20s, kBoot};
    auto stored = decode(text, now);
    if (!stored) {
      REQUIRE_FALSE(stored.error().empty());
      return;
    }
    ++survived;
    SystemState state(s.config);
    const Keyer key = [&](std::string_view name, std::string_view secret) {
      return fmt::format("{}{}{}", name, name.empty() ? "" : " ", fingerprint(stored->salt, secret));
    };
    state.adopt(std::move(stored->backends), key);
    for (const CheckKind q : {CheckKind::kIdentity, CheckKind::kSyncing})
      state.observe(1, Answer{now, {q}, AnswerValue{1, {}}});
    state.decide(now, true);
    state.observe(0, HeadObservation{now, 10ms, Head{160, "0x2", now.wall}});
    state.observe(1, HeadObservation{now, 10ms, Head{161, "0x3", now.wall}});
    state.begin_probe(2, now.mono);
    const Now later{now.wall + 5s, now.mono + 5s};
    state.scan(later);
    (void)state.urgent_checks();
    state.decide(later, true);
    unsigned sum = 0;
    for (const unsigned w : weights(state)) sum += w;
    // Nothing of ours may have everything only where HAProxy is said to have a backup, which its next read shows.
    REQUIRE((sum > 0 || text.find("\"usable_foreign_backup\":true") != std::string_view::npos));
    // What stood at the end of its range may be beyond it now.
    (void)decode(encode(kSalt, state.snapshot(key), later), later);
  };
  try_out(good);
  REQUIRE(survived == 1);
  constexpr std::size_t kStep = model::tried(10) == 10 ? 1 : 50;
  for (std::size_t n = 0; n < good.size() - 1; n += kStep) try_out(good.substr(0, n));
  CHECK(survived == 1);
  std::mt19937 random(1);
  for (std::size_t i = 0; i < good.size(); i += kStep) {
    std::string text = good;
    for (const char c : {'9', '-', '"', '}', '\0', '\xff', static_cast<char>(random())}) {
      text[i] = c;
      try_out(text);
    }
    text = good;
    try_out(text.erase(i, 1 + random() % 30));
    text = good;
    try_out(text.insert(i, text.substr(random() % text.size(), random() % 30)));
  }
  // Every number and word replaced as a whole.
  for (std::size_t i = 0; i < good.size(); ++i) {
    if (good[i] != ':') continue;
    const std::size_t end = good.find_first_of(",}]", i);
    for (const std::string_view v :
         {"-1", "0", "1", "0.5", "1e308", "-1e-308", "9223372036854775807", "-9223372036854775808",
          "18446744073709551615", "9999999999999999", "-9999999999999999", "null", "true", "\"\"", "[]", "{}"}) {
      std::string text = good;
      try_out(text.replace(i + 1, end - i - 1, v));
    }
  }
  CHECK(survived > 1000);
}

TEST_CASE("an oversized or odd file is refused, an unreadable one told") {
  const Folder folder;
  const std::string path = folder.path("state.json");
  config::Config config = config_of({"a"});
  const auto warning = [&](const std::string& file) {
    SystemState state(config);
    return StateFile(file).load(state, at(0s)).value_or("");
  };
  put(path, "");
  fs::resize_file(path, kMostStateBytes + 1);
  CHECK(warning(path).find("is longer than 33554432 bytes") != std::string::npos);
  CHECK(warning(folder.path()).find("cannot be read: it is no regular file") != std::string::npos);
  REQUIRE(mkfifo(folder.path("pipe").c_str(), 0600) == 0);
  CHECK(warning(folder.path("pipe")).find("cannot be read: it is no regular file") != std::string::npos);
  CHECK(warning(path + "/x").find("cannot be read: Not a directory") != std::string::npos);
}

TEST_CASE("the file is replaced in one step, for its owner alone") {
  const Folder folder;
  const std::string path = folder.path("state.json");
  const mode_t old = umask(0277);
  CHECK(replace_file(path, "one").has_value());
  umask(old);
  CHECK(content(path) == "one");
  CHECK(mode_of(path) == 0600);
  fs::permissions(path, fs::perms::all);
  CHECK(replace_file(path, "two").has_value());
  CHECK(content(path) == "two");
  CHECK(mode_of(path) == 0600);
  CHECK(folder.files() == 1);

  SUBCASE("a symbolic link stays, its target is replaced") {
    fs::create_directory(folder.path("deep"));
    fs::create_symlink("deep/there.json", folder.path("link"));
    fs::create_symlink("link", folder.path("chain"));
    CHECK(replace_file(folder.path("chain"), "three").has_value());
    CHECK(fs::is_symlink(folder.path("chain")));
    CHECK(fs::is_symlink(folder.path("link")));
    CHECK(content(folder.path("deep/there.json")) == "three");
    CHECK(replace_file(folder.path("link"), "four").has_value());
    CHECK(content(folder.path("deep/there.json")) == "four");
  }
  SUBCASE("links in a ring, folders and pipes are refused") {
    fs::create_symlink("ring", folder.path("ring"));
    CHECK(replace_file(folder.path("ring"), "x").error() == "cannot be written: too many symbolic links");
    CHECK(replace_file(folder.path(), "x").error() == "cannot be written: it is there already and no regular file");
    REQUIRE(mkfifo(folder.path("pipe").c_str(), 0600) == 0);
    CHECK(replace_file(folder.path("pipe"), "x").error() ==
          "cannot be written: it is there already and no regular file");
    CHECK(folder.files() == 3);
  }
  SUBCASE("a folder that is missing") {
    const auto done = replace_file(folder.path("no/state.json"), "x");
    REQUIRE_FALSE(done.has_value());
    CHECK(done.error() ==
          fmt::format("cannot be written: no file can be made in {}: No such file or directory", folder.path("no")));
  }
  SUBCASE("a name as long as names can be") {
    CHECK(replace_file(folder.path(std::string(255, 'x')), "x").has_value());
    CHECK(folder.files() == 2);
  }
}

TEST_CASE("a file that was never a state is left alone") {
  const Scene s;
  for (const std::string_view text : {"[log]\nlevel = 1\n", "{\"schema\":1}", "[]", "x"}) {
    put(s.path, text);
    SystemState state(s.config);
    StateFile file(s.path);
    const auto warning = file.load(state, at(20s));
    REQUIRE(warning.has_value());
    CHECK(warning->find("is no state file of rpc-weighter; it is left alone") != std::string::npos);
    CHECK_FALSE(file.save(state, at(20s)).has_value());
    CHECK(content(s.path) == text);
  }
}

TEST_CASE("the fuzzer's seed of a state file is of the version that is read") {
  std::ifstream in(RPCW_TEST_DATA "/../fuzz/corpus/state/fresh");
  std::ostringstream text;
  text << in.rdbuf();
  const auto stored = store::decode(text.str(), {});
  REQUIRE_MESSAGE(stored.has_value(), stored.error());
  CHECK(stored->backends.size() == 1);
}
