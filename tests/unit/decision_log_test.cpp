#include "weighter/controller/decision_log.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace rpcw;
using namespace std::chrono_literals;

namespace {

using Lines = std::vector<std::string>;

/// A backend whose decisions are set by hand, and the lines that come of them.
struct Told {
  config::Backend backend;
  BackendDecision before, after;
  MonoTime now{1h};
  Lines lines;
  std::vector<config::LogLevel> levels;
  Lines events;
  LogLine newest;
  DecisionLog log{[this](LogLine line) {
    // The head comes and goes at level debug.
    if (line.event == "head") return;
    lines.push_back(std::move(line.message));
    levels.push_back(line.level);
    events.emplace_back(line.event);
    newest = std::move(line);
  }};

  explicit Told(std::size_t servers, unsigned weight = 100) {
    backend.name = "rpc";
    backend.min_healthy = 1;
    for (std::size_t i = 0; i < servers; ++i) {
      config::Server s;
      s.name = "s" + std::to_string(i);
      backend.servers.push_back(s);
    }
    after.servers.resize(servers);
    for (ServerDecision& s : after.servers) s.state = State::kHealthy, s.weight = weight;
  }

  /// The lines of one more decision.
  Lines tell() {
    lines.clear();
    levels.clear();
    events.clear();
    log.decided(backend, before, after, now);
    before = after;
    return lines;
  }
  void weigh(unsigned weight) {
    for (ServerDecision& s : after.servers) s.weight = weight;
  }
  void becomes(std::size_t i, State state, Reason reason, std::string detail) {
    after.servers[i].state = state;
    after.servers[i].reasons = {{reason, std::move(detail)}};
  }
};

}  // namespace

TEST_CASE("decision log: states and weights that change are told, what stays is not") {
  Told t(2);
  CHECK(t.tell() == Lines{"rpc/s0: unknown -> healthy, weight 100", "rpc/s1: unknown -> healthy, weight 100"});
  CHECK(t.tell().empty());
  t.after.servers[0].weight = 80;
  CHECK(t.tell() == Lines{"rpc/s0: healthy, weight 100 -> 80"});
  t.becomes(0, State::kEjected, Reason::kTimeout, "no answer in 3 s");
  t.after.servers[0].weight = 0;
  CHECK(t.tell() == Lines{"rpc/s0: healthy -> ejected, weight 80 -> 0 (timeout: no answer in 3 s)"});
  CHECK(t.levels == std::vector{config::LogLevel::kWarn});
}

TEST_CASE("decision log: small steps of a weight are for level debug, until they add up") {
  using config::LogLevel;
  Told t(2);
  t.tell();
  t.after.servers[0].weight = 120;
  CHECK(t.tell() == Lines{"rpc/s0: healthy, weight 100 -> 120"});
  CHECK(t.levels == std::vector{LogLevel::kDebug});
  t.after.servers[0].weight = 139;
  CHECK(t.tell() == Lines{"rpc/s0: healthy, weight 120 -> 139"});
  CHECK(t.levels == std::vector{LogLevel::kDebug});
  t.after.servers[0].weight = 140;
  CHECK(t.tell() == Lines{"rpc/s0: healthy, weight 139 -> 140"});
  CHECK(t.levels == std::vector{LogLevel::kInfo});
  t.after.servers[0].weight = 1;
  CHECK(t.tell() == Lines{"rpc/s0: healthy, weight 140 -> 1"});
  CHECK(t.levels == std::vector{LogLevel::kInfo});
  // News of another kind is a line whatever the weight does.
  t.becomes(0, State::kDegraded, Reason::kWarmingUp, "back for 1 s of 30 s");
  CHECK(t.tell() == Lines{"rpc/s0: healthy -> degraded, weight 1 (warming_up: back for 1 s of 30 s)"});
  CHECK(t.levels == std::vector{LogLevel::kInfo});
}

TEST_CASE("decision log: a ramp is a line where it begins and one where it ends") {
  Told t(2, 0);
  t.tell();
  std::vector<config::LogLevel> levels;
  ServerDecision& s = t.after.servers[0];
  s.state = State::kDegraded;
  s.reasons = {{Reason::kWarmingUp, "back for 0 s of 30 s"}};
  for (const unsigned weight : {2U, 4U, 9U, 20U, 45U, 100U}) {
    s.weight = weight;
    s.inputs.ramp = 0.009 * weight;
    t.tell();
    levels.insert(levels.end(), t.levels.begin(), t.levels.end());
  }
  s.state = State::kHealthy;
  s.reasons.clear();
  s.weight = 110;
  s.inputs.ramp = 1;
  t.tell();
  levels.insert(levels.end(), t.levels.begin(), t.levels.end());
  CHECK(std::ranges::count(levels, config::LogLevel::kInfo) == 2);
  CHECK(std::ranges::count(levels, config::LogLevel::kDebug) == 5);
  // A server that loses its weight meanwhile is news.
  s.inputs.ramp = 0.5;
  s.weight = 0;
  t.tell();
  CHECK(t.levels == std::vector{config::LogLevel::kInfo});
}

TEST_CASE("decision log: each line has its event, states, weights and reasons for programs") {
  using Fields = std::vector<std::pair<std::string_view, std::string>>;
  Told t(1);
  t.tell();
  CHECK(t.events == Lines{"state_changed"});
  CHECK(t.newest.fields == Fields{{"backend", "rpc"},
                                  {"server", "s0"},
                                  {"from_state", "unknown"},
                                  {"to_state", "healthy"},
                                  {"to_weight", "100"}});
  CHECK(t.newest.reasons.empty());
  t.weigh(90);
  t.tell();
  CHECK(t.events == Lines{"weight_changed"});
  t.becomes(0, State::kEjected, Reason::kTimeout, "no answer in 3 s");
  t.after.fallback = config::Fallback::kEqual;
  t.after.notes = {{"halted", "the chain stands still"}};
  t.tell();
  CHECK(t.events == Lines{"state_changed", "note_on", "fallback_on"});
  t.becomes(0, State::kEjected, Reason::kHttpStatus, "HTTP 503");
  t.tell();
  CHECK(t.events == Lines{"reason_changed"});
  CHECK(t.newest.reasons == std::vector<ReasonNote>{{Reason::kHttpStatus, "HTTP 503"}});
  t.after.fallback.reset();
  t.after.notes.clear();
  t.tell();
  CHECK(t.events == Lines{"note_off", "fallback_off"});
}

TEST_CASE("decision log: reasons that take turns are told once a state") {
  Told t(1);
  t.tell();
  t.becomes(0, State::kEjected, Reason::kTimeout, "no answer in 3 s");
  CHECK(t.tell().size() == 1);
  t.becomes(0, State::kEjected, Reason::kHttpStatus, "HTTP 503");
  CHECK(t.tell() == Lines{"rpc/s0: ejected, weight 100 (http_status: HTTP 503)"});
  for (int night = 0; night < 10; ++night) {
    t.becomes(0, State::kEjected, Reason::kTimeout, "no answer in " + std::to_string(night) + " s");
    CHECK(t.tell().empty());
    t.becomes(0, State::kEjected, Reason::kHttpStatus, "HTTP 502");
    CHECK(t.tell().empty());
  }
  t.becomes(0, State::kDegraded, Reason::kHttpStatus, "HTTP 503");
  CHECK(t.tell().size() == 1);
  t.becomes(0, State::kDegraded, Reason::kTimeout, "no answer in 3 s");
  CHECK(t.tell().size() == 1);
}

TEST_CASE("decision log: up to 64 servers with other weights are told one by one") {
  Told t(64);
  t.tell();
  t.weigh(90);
  CHECK(t.tell().size() == 64);
}

TEST_CASE(
    "decision log: many weights that follow a few are told in one line a minute, a server's own news in its own") {
  Told t(70);
  CHECK(t.tell().size() == 70);
  t.weigh(90);
  t.becomes(7, State::kDegraded, Reason::kTimeout, "no answer in 3 s");
  const Lines both = t.tell();
  REQUIRE(both.size() == 2);
  CHECK(both[0] ==
        "rpc: 69 servers have another weight and the same state (logged at most once in 60 s for each backend)");
  CHECK(both[1] == "rpc/s7: healthy -> degraded, weight 100 -> 90 (timeout: no answer in 3 s)");
  for (unsigned weight = 80; weight > 70; --weight) {
    t.now += 5s;
    t.weigh(weight);
    CHECK(t.tell().empty());
  }
  t.now += 10s;
  t.weigh(60);
  CHECK(t.tell().size() == 1);
  t.weigh(50);
  t.becomes(7, State::kDegraded, Reason::kHttpStatus, "HTTP 503");
  CHECK(t.tell() == Lines{"rpc/s7: degraded, weight 60 -> 50 (http_status: HTTP 503)"});
}

TEST_CASE("decision log: a fallback and its end are told once") {
  Told t(3);
  t.tell();
  t.after.fallback = config::Fallback::kEqual;
  CHECK(t.tell() == Lines{"rpc: 0 of 3 servers healthy, min_healthy is 1: all get the same weight"});
  CHECK(t.levels == std::vector{config::LogLevel::kWarn});
  CHECK(t.tell().empty());
  t.after.fallback.reset();
  CHECK(t.tell() == Lines{"rpc: enough servers are healthy again, weights follow the scores"});
  t.after.fallback = config::Fallback::kLeastBad;
  t.after.servers[0].weight = 0;
  CHECK(t.tell().back() ==
        "rpc: 0 of 3 servers healthy, min_healthy is 1: those that answer share by the age of their newest blocks, the "
        "others get nothing");
  t.after.fallback.reset();
  t.tell();
  for (ServerDecision& s : t.after.servers) {
    s.state = State::kEjected;
    s.reasons = {{Reason::kWrongChain, ""}};
  }
  t.after.fallback = config::Fallback::kEqual;
  CHECK(t.tell().back() ==
        "rpc: 0 of 3 servers healthy, min_healthy is 1: those that HAProxy can use get the same weight, the others get "
        "nothing; all that answer are on another chain: is `chain` right?");
  t.after.fallback.reset();
  t.tell();
  t.after.servers[1].reasons = {{Reason::kTimeout, ""}};
  t.after.servers[2].weight = 0;
  t.after.fallback = config::Fallback::kEqual;
  CHECK(t.tell().back() ==
        "rpc: 0 of 3 servers healthy, min_healthy is 1: those that do not answer get the same weight, the others get "
        "nothing; all that answer are on another chain: is `chain` right?");
  t.after.fallback.reset();
  t.tell();
  for (ServerDecision& s : t.after.servers) s.state = State::kDisabled;
  t.after.fallback = config::Fallback::kEqual;
  CHECK(
      t.tell().back() ==
      "rpc: 0 of 3 servers healthy, min_healthy is 1: all are in MAINT or DRAIN, and keep their weights for when they "
      "are not");
}

TEST_CASE("decision log: a note is told when it begins and when it is over, and not each time that it comes and goes") {
  Told t(1);
  t.tell();
  const std::vector<BackendNote> halted{{"halted", "all heads are too old and agree"}};
  t.after.notes = halted;
  CHECK(t.tell() == Lines{"rpc: halted: all heads are too old and agree"});
  CHECK(t.levels == std::vector{config::LogLevel::kWarn});
  CHECK(t.tell().empty());
  t.after.notes.clear();
  CHECK(t.tell() == Lines{"rpc: halted is over"});
  CHECK(t.tell().empty());
  for (int i = 0; i < 5; ++i) {
    t.now += 5s;
    t.after.notes = halted;
    CHECK(t.tell().empty());
    t.after.notes.clear();
    CHECK(t.tell().empty());
  }
  t.now += 60s;
  t.after.notes = halted;
  CHECK(t.tell().size() == 1);
}
