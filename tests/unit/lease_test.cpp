// Which of several agents sets weights: Election against an API server that is slow, loses answers and keeps versions.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <deque>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "weighter/lease/election.hpp"

using namespace rpcw;
using namespace std::chrono_literals;
using lease::Election;
using lease::Record;

namespace {

/// A Lease as the API server keeps it.
struct Server {
  std::optional<Record> record;
  unsigned version = 0;

  lease::Event answer(const lease::Action& request) {
    if (std::holds_alternative<lease::action::Read>(request)) return lease::event::Found{record};
    const auto& write = std::get<lease::action::Write>(request);
    if (write.create == record.has_value()) return lease::event::Conflict{};
    if (record && write.record.resource_version != record->resource_version) return lease::event::Conflict{};
    record = write.record;
    record->resource_version = fmt::format("{}", ++version);
    return lease::event::Written{*record};
  }
};

/// An agent with clocks of its own. Its process may stand still.
class Agent {
 public:
  Agent(const std::string& name, MonoTime mono_ahead, milliseconds wall_ahead,
        lease::Role role = lease::Role::kCandidate)
      : election("kubernetes:ns/rpc", name, static_cast<std::uint32_t>(name.back()), role),
        mono_ahead_(mono_ahead),
        wall_ahead_(wall_ahead) {}

  Election election;
  bool warm = true;
  bool acting = false;
  bool finished = false;
  MonoTime still_until{};
  std::vector<std::string> said;
  unsigned resumed = 0;

  [[nodiscard]] Now now(MonoTime t) const {
    return {WallTime{std::chrono::floor<milliseconds>(t) + wall_ahead_}, t + mono_ahead_};
  }
  [[nodiscard]] bool holds(MonoTime t) const { return election.holds(now(t).mono); }

  /// Requests leave with `delay` there and `back` again; `lost`: without an answer.
  void turn(MonoTime t, Server& server, MonoTime there, MonoTime back, bool lost) {
    if (request_ && !answer_ && t >= arrives_) answer_ = server.answer(*request_);
    if (t < still_until) return;
    if (request_ && t >= sent_ + MonoTime(5s)) {
      request_.reset();
      answer_.reset();
      give(lease::event::Failed{"no answer"}, t);
    } else if (answer_ && !lost_ && t >= arrives_ + back_) {
      lease::Event event = std::move(*answer_);
      request_.reset();
      answer_.reset();
      give(std::move(event), t);
    }
    if (!finished && t >= wake_) give(lease::event::TimeReached{warm ? "" : "rpc/a has not been heard yet"}, t);
    if (request_ && !placed_) {
      placed_ = true;
      sent_ = t;
      arrives_ = t + there;
      back_ = back;
      lost_ = lost;
    }
  }
  void stop(MonoTime t) { give(lease::event::StopRequested{}, t); }

 private:
  void give(lease::Event event, MonoTime t) {
    for (lease::Action& a : election.on(std::move(event), now(t))) {
      if (const auto* wake = std::get_if<lease::action::WakeAt>(&a)) wake_ = wake->at - mono_ahead_;
      if (const auto* to = std::get_if<lease::action::Acting>(&a)) acting = to->acting;
      if (const auto* line = std::get_if<lease::action::Log>(&a)) said.push_back(line->text);
      if (std::holds_alternative<lease::action::Resumed>(a)) ++resumed;
      if (std::holds_alternative<lease::action::Finish>(a)) finished = true;
      if (std::holds_alternative<lease::action::Read>(a) || std::holds_alternative<lease::action::Write>(a)) {
        CHECK_FALSE(request_.has_value());
        request_ = std::move(a);
        placed_ = false;
        // A request that a turn does not place is on its way at once.
        sent_ = arrives_ = t;
        lost_ = false;
        back_ = {};
      }
    }
  }

  const MonoTime mono_ahead_;
  const milliseconds wall_ahead_;
  MonoTime wake_{};
  std::optional<lease::Action> request_;
  std::optional<lease::Event> answer_;
  bool placed_ = false;
  bool lost_ = false;
  MonoTime sent_{};
  MonoTime arrives_{};
  MonoTime back_{};
};

/// Two agents and a quick server, in steps of 50 ms.
struct World {
  Server server;
  Agent a{"agent-a", 1h, 0ms};
  Agent b{"agent-b", 9h, -6h};
  MonoTime t{};
  /// No connection is answered.
  bool down = false;

  void run(MonoTime time) {
    for (const MonoTime end = t + time; t < end; t += 50ms) {
      a.turn(t, server, 5ms, 5ms, down);
      b.turn(t, server, 5ms, 5ms, down);
      REQUIRE_FALSE((a.holds(t) && b.holds(t)));
      if (a.still_until <= t) REQUIRE((!a.holds(t) || a.acting));
      if (b.still_until <= t) REQUIRE((!b.holds(t) || b.acting));
    }
  }
  /// How long until that one holds the lease.
  MonoTime until_holds(const Agent& who, MonoTime limit = 60s) {
    const MonoTime begun = t;
    while (!who.holds(t) && t - begun < limit) run(50ms);
    REQUIRE(who.holds(t));
    return t - begun;
  }
};

}  // namespace

TEST_CASE("lease: one of two agents gets it, keeps it, and the other stands by") {
  World w;
  w.until_holds(w.a);
  CHECK(w.server.record->holder == "agent-a");
  CHECK(w.server.record->duration == 12s);
  CHECK(w.server.record->transitions == 0);
  const std::string acquired = w.server.record->acquired;
  w.run(10min);
  CHECK(w.a.holds(w.t));
  CHECK_FALSE(w.b.acting);
  CHECK(w.server.record->acquired == acquired);
  CHECK(w.server.record->renewed > acquired);
  CHECK(w.a.said == std::vector<std::string>{"lease kubernetes:ns/rpc: this agent holds it and sets the weights"});
  CHECK(w.b.said == std::vector<std::string>{"lease kubernetes:ns/rpc: agent-a holds it; this agent stands by"});
}

TEST_CASE("lease: given back at the end, it is taken by the next attempt") {
  World w;
  w.until_holds(w.a);
  w.run(20s);
  w.a.stop(w.t);
  CHECK_FALSE(w.a.holds(w.t));
  w.run(100ms);
  CHECK(w.a.finished);
  CHECK(w.server.record->holder.empty());
  CHECK(w.until_holds(w.b) <= MonoTime(5s));
  CHECK(w.server.record->transitions == 1);
}

TEST_CASE("lease: a dead holder's is taken within 15 s, whenever it died") {
  for (MonoTime more{}; more < MonoTime(6s); more += 150ms) {
    CAPTURE(more.count());
    World w;
    w.until_holds(w.a);
    w.run(MonoTime(20s) + more);
    w.a.still_until = 24h;
    const MonoTime took = w.until_holds(w.b);
    CHECK(took >= MonoTime(9s));
    CHECK(took <= MonoTime(15s));
  }
}

TEST_CASE("lease: a holder that stood still for 20 s does nothing before it has the lease again") {
  World w;
  w.until_holds(w.a);
  w.run(20s);
  w.a.still_until = w.t + MonoTime(20s);
  w.run(25s);
  CHECK_FALSE(w.a.acting);
  CHECK(w.a.resumed == 1);
  CHECK(w.b.holds(w.t));
  CHECK(w.a.said.back() == "lease kubernetes:ns/rpc: agent-b holds it; this agent stands by");
  w.run(5min);
  CHECK(w.b.holds(w.t));
}

TEST_CASE("lease: alone after it stood still, it waits for a fresh view") {
  World w;
  w.b.still_until = 24h;
  w.until_holds(w.a);
  w.run(20s);
  w.a.warm = false;
  w.a.still_until = w.t + MonoTime(12s);
  w.run(60s);
  CHECK_FALSE(w.a.acting);
  w.a.warm = true;
  w.until_holds(w.a);
}

TEST_CASE("lease: without the API server the holder goes on until the deadline, then says so") {
  World w;
  w.until_holds(w.a);
  w.run(20s);
  w.down = true;
  w.run(5s);
  CHECK(w.a.holds(w.t));
  w.run(5s);
  CHECK_FALSE(w.a.holds(w.t));
  CHECK_FALSE(w.a.acting);
  CHECK(w.a.said.back() ==
        "lease kubernetes:ns/rpc: it was not renewed for 8 s: no answer; this agent sets no weights any more");
  w.run(60s);
  w.down = false;
  w.run(25s);
  CHECK((w.a.holds(w.t) || w.b.holds(w.t)));
}

TEST_CASE("lease: another writer's change makes a conflict, and the next attempt goes on from it") {
  World w;
  w.until_holds(w.a);
  for (int i = 0; i < 20; ++i) {
    w.run(3s);
    w.server.record->resource_version = fmt::format("{}", ++w.server.version);
  }
  CHECK(w.a.holds(w.t));
  // Taken away by hand: at once.
  w.server.record->holder = "someone";
  w.server.record->resource_version = fmt::format("{}", ++w.server.version);
  w.run(3s);
  CHECK_FALSE(w.a.acting);
  CHECK(w.a.said.back() == "lease kubernetes:ns/rpc: someone holds it; this agent sets no weights any more");
}

TEST_CASE("lease: an agent that joins knows who acts by the lease, or by a holder that is alive") {
  Server server;
  Agent joining("agent-j", 3h, 0ms, lease::Role::kJoining);
  MonoTime t{};
  const auto turn = [&](MonoTime time, bool lost = false) {
    for (const MonoTime end = t + time; t < end; t += 50ms) joining.turn(t, server, 5ms, 5ms, lost);
  };
  CHECK_FALSE(joining.election.known());
  SUBCASE("it is free: this agent holds it") {
    turn(500ms);
    CHECK(joining.election.known());
    CHECK(joining.holds(t));
  }
  SUBCASE("another one renews it") {
    server.record = Record{.holder = "agent-b", .duration = 12s, .renewed = "1", .resource_version = "1"};
    turn(3s);
    CHECK_FALSE(joining.election.known());
    server.record->renewed = "2";
    turn(3s);
    CHECK(joining.election.known());
    CHECK_FALSE(joining.holds(t));
  }
  SUBCASE("a dead one's is taken when it is over") {
    server.record = Record{.holder = "agent-b", .duration = 12s, .renewed = "1", .resource_version = "1"};
    turn(11s);
    CHECK_FALSE(joining.election.known());
    turn(4s);
    CHECK(joining.holds(t));
  }
  SUBCASE("the server does not answer") {
    turn(20s, true);
    CHECK_FALSE(joining.election.known());
    CHECK(joining.election.failures() >= 2);
    CHECK(joining.said.back() == "lease kubernetes:ns/rpc: no answer; this agent goes on alone, as before");
    turn(20s);
    CHECK(joining.election.failures() == 0);
    CHECK(joining.holds(t));
  }
}

TEST_CASE("lease: an agent whose view stays incomplete says once why it does not ask") {
  Server server;
  Agent cold("agent-c", 3h, 0ms);
  cold.warm = false;
  MonoTime t{};
  const auto turn = [&](MonoTime time) {
    for (const MonoTime end = t + time; t < end; t += 50ms) cold.turn(t, server, 5ms, 5ms, false);
  };
  turn(10s);
  CHECK(cold.said.empty());
  turn(5min);
  const std::string why =
      "lease kubernetes:ns/rpc: this agent does not ask for it, since its view is not complete: rpc/a has not been "
      "heard yet";
  CHECK(cold.said == std::vector<std::string>{why});
  CHECK_FALSE(server.record.has_value());
  cold.warm = true;
  turn(5s);
  CHECK(cold.holds(t));
  // It holds the lease whatever its view lacks, and has nothing to explain.
  cold.warm = false;
  turn(1min);
  CHECK(cold.said.size() == 2);
}

TEST_CASE("lease: an observer knows the holder and never writes") {
  Server server;
  Agent observer("agent-o", 3h, 0ms, lease::Role::kObserver);
  observer.warm = false;
  MonoTime t{};
  const auto turn = [&](MonoTime time, bool lost = false) {
    for (const MonoTime end = t + time; t < end; t += 50ms) observer.turn(t, server, 5ms, 5ms, lost);
  };
  CHECK_FALSE(observer.election.known());
  turn(1min);
  CHECK(observer.election.known());
  CHECK_FALSE(server.record.has_value());
  CHECK(observer.election.holder().empty());
  CHECK(observer.said.empty());
  server.record = Record{.holder = "agent-b", .duration = 12s, .renewed = "1", .resource_version = "1"};
  turn(1min);
  CHECK(observer.election.holder() == "agent-b");
  CHECK(server.record->holder == "agent-b");
  CHECK(observer.said == std::vector<std::string>{
                             "lease kubernetes:ns/rpc: agent-b holds it; this agent is a dry run and sets no weights"});
  turn(20s, true);
  CHECK(observer.said.back() == "lease kubernetes:ns/rpc: no answer; the holder is not known");
  CHECK_FALSE(observer.holds(t));
  CHECK_FALSE(observer.acting);
  observer.stop(t);
  turn(1s);
  CHECK(observer.finished);
  CHECK(server.record->holder == "agent-b");
}

TEST_CASE("lease: never two hands, whatever the network and the processes do") {
  for (unsigned seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto chance = [&](unsigned one_in) { return random() % one_in == 0; };
    Server server;
    std::deque<Agent> agents;
    agents.emplace_back("agent-a", 1h, 0ms);
    agents.emplace_back("agent-b", 9h, -6h);
    agents.emplace_back("agent-c", 0h, 5h);
    unsigned held = 0;
    unsigned bad = 0;
    for (MonoTime t{}; t < MonoTime(30min); t += 100ms) {
      if (chance(200)) bad = static_cast<unsigned>(random() % 3);
      for (Agent& agent : agents) {
        const auto some = [&](unsigned most) { return MonoTime(std::chrono::milliseconds(random() % most)); };
        agent.warm = !chance(4);
        if (bad == 2 && chance(300)) agent.still_until = t + some(30'000);
        agent.turn(t, server, some(bad == 0 ? 50 : 6'000), some(bad == 0 ? 50 : 3'000), bad > 0 && chance(3));
      }
      unsigned hands = 0;
      for (const Agent& agent : agents) hands += agent.holds(t) ? 1U : 0U;
      REQUIRE(hands <= 1);
      held += hands;
    }
    CHECK(held > 1'000);
  }
}
