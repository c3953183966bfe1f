// Dates that do not fit: the head's fault, this machine's clock, or a chain that stands still.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>

#include "unit/judged_world.hpp"

using namespace rpcw;
using namespace rpcw::test;
using namespace std::chrono_literals;

TEST_CASE("a head dated in the future is a lie above the clock's tolerance") {
  JudgedWorld w(1);
  w.good(0, 100, -15s);
  CHECK(w.state() == State::kHealthy);
  w.good(0, 100, -16s);
  CHECK(w.verdict().servers[0].disqualified);
}

TEST_CASE("a head that came from the future is a lie until the next one, however old it grows") {
  JudgedWorld w(3);
  w.all_good(100);
  w.verdict();
  w.good(0, 101, -18s);
  for (int second = 0; second < 20; ++second) {
    CHECK(w.verdict().servers[0].disqualified);
    w.pass_time(1s);
    w.good(1, 101);
    w.good(2, 101);
  }
  w.good(0, 102);
  CHECK_FALSE(w.verdict().servers[0].disqualified);
}

namespace {

/// This machine's clock is `behind`: a new block each second, and servers are probed one after another, each `every`
/// seconds. Returns how often a server was disqualified, from second `from` on. `each_second` comes first in each.
template <typename EachSecond>
int run_behind(JudgedWorld& w, milliseconds behind, int seconds, int from, EachSecond each_second,
               std::size_t every = 1) {
  int disqualified = 0;
  for (int second = 0; second < seconds; ++second) {
    each_second(second);
    for (std::size_t i = 0; i < w.backend.servers.size(); ++i) {
      if ((static_cast<std::size_t>(second) + i) % every == 0)
        w.good(i, 1000 + static_cast<std::uint64_t>(second), -behind);
      w.pass_time(1000ms / static_cast<int>(w.backend.servers.size()));
      const BackendVerdict v = w.verdict();
      if (second < from) continue;
      disqualified += static_cast<int>(std::ranges::count_if(v.servers, &ServerVerdict::disqualified));
    }
  }
  return disqualified;
}

}  // namespace

TEST_CASE("when most operators' heads come from the future, this machine's clock is behind, and no server is") {
  JudgedWorld w(5);
  w.backend.chain.block_time = 1s;
  w.backend.chain.max_lag = 5s;
  const auto nothing = [](int) {};
  SUBCASE("by 18 s") {
    CHECK(run_behind(w, 18s, 60, 1, nothing) == 0);
    CHECK(w.verdict().notes.at(0).code == "halted");
  }
  SUBCASE("by 18 s, probed each 5 s") {
    w.probe.interval = 5s;
    CHECK(run_behind(w, 18s, 60, 5, nothing, 5) == 0);
  }
  SUBCASE("by hardly more than the tolerance, so that only new blocks lie in the future") {
    int second = 0;
    CHECK(run_behind(w, 15s, 20, 1, [&](int s) { second = s; }) == 0);
    CHECK_FALSE(w.history->clock.behind);
    for (std::size_t i = 0; i < 3; ++i) w.good(i, 1020, -15100ms);
    w.verdict();
    CHECK(w.history->clock.behind);
    for (int more = 0; more < 3; ++more) {
      w.pass_time(1s);
      for (std::size_t i = 0; i < 5; ++i) w.good(i, 1020 + static_cast<std::uint64_t>(more), -14500ms);
      w.good(4, 1021 + static_cast<std::uint64_t>(more), -15100ms);
      CHECK_FALSE(w.verdict().servers[4].disqualified);
    }
  }
  SUBCASE("one stands still") {
    run_behind(w, 18s, 20, 1, nothing);
    for (std::uint64_t n = 1020; n < 1030; ++n) {
      w.pass_time(1s);
      for (std::size_t i = 0; i < 4; ++i) w.good(i, n, -18s);
      fold(w.history->member(4),
           HeadObservation{w.now, 40ms, Head{1020, w.hash(1020), w.now.wall + 18s - 1s * (n - 1020)}});
      const BackendVerdict v = w.verdict();
      for (std::size_t i = 0; i < 4; ++i) CHECK(v.servers[i].state == State::kHealthy);
    }
    CHECK(w.verdict().servers[4].state == State::kEjected);
    CHECK(w.verdict().servers[4].reasons.at(0).code == Reason::kBlockLag);
  }
  SUBCASE("all but one fail") {
    const auto fail = [&](int second) {
      if (second >= 20)
        for (std::size_t i = 1; i < 5; ++i) w.bad(i);
    };
    run_behind(w, 18s, 20, 1, fail);
    for (int second = 20; second < 90; ++second) {
      w.pass_time(1s);
      for (std::size_t i = 1; i < 5; ++i) w.bad(i);
      w.good(0, 1000 + static_cast<std::uint64_t>(second), -18s);
      REQUIRE_FALSE(w.verdict().servers[0].disqualified);
    }
  }
  SUBCASE("the clock is set right") {
    run_behind(w, 18s, 20, 1, nothing);
    w.now.wall += 18s;
    CHECK(run_behind(w, -1s, 60, 1, nothing) == 0);
    CHECK(w.verdict().notes.empty());
    w.good(0, 1060, -18s);
    CHECK(w.verdict().servers[0].disqualified);
  }
}

TEST_CASE("of two operators both must come from the future, and of one it is a lie") {
  JudgedWorld two(2);
  two.good(0, 100, -18s);
  two.good(1, 100);
  CHECK(two.verdict().servers[0].disqualified);
  two.good(1, 100, -17s);
  CHECK_FALSE(two.verdict().servers[0].disqualified);
  JudgedWorld one(3, {"vendor", "vendor", "vendor"});
  for (std::size_t i = 0; i < 3; ++i) one.good(i, 100, -18s);
  CHECK(one.verdict().servers[0].disqualified);
}

TEST_CASE("references tell whose clock is wrong") {
  JudgedWorld w(1);
  w.backend.references.resize(2, w.backend.servers[0].target);
  w.backend.references[0].operator_name = "one";
  w.backend.references[1].operator_name = "two";
  w.restart();
  w.good(0, 100, -18s);
  w.good(1, 100);
  w.good(2, 100);
  CHECK(w.verdict().servers[0].disqualified);
  w.good(1, 100, -18s);
  CHECK_FALSE(w.verdict().servers[0].disqualified);
}

TEST_CASE("halted: all too old at once and agreed ejects no server") {
  JudgedWorld w(3);
  w.halt();
  for (std::size_t i = 0; i < 3; ++i) CHECK(w.history->servers[i].ejection.count == 0);
  w.pass_time(1s);
  w.all_good(101);
  for (const ServerVerdict& v : w.verdict().servers) CHECK(v.state == State::kHealthy);
}

TEST_CASE("when a halted chain moves on, a server that does not is out at once, and back without a time-out") {
  JudgedWorld w(3);
  w.halt();
  w.pass_time(1s);
  w.good(0, 110);
  const BackendVerdict v = w.verdict();
  CHECK(v.servers[0].state == State::kHealthy);
  CHECK(v.servers[1].state == State::kEjected);
  CHECK(v.servers[2].state == State::kEjected);
  for (int round = 0; round < 2; ++round) {
    w.pass_time(1s);
    w.good(1, 110);
  }
  const BackendVerdict later = w.verdict();
  CHECK(later.servers[1].state == State::kHealthy);
  CHECK(later.servers[1].ramp == 1.0);
  CHECK(w.history->servers[1].ejection.count == 0);
  CHECK(later.servers[2].state == State::kEjected);
}

TEST_CASE("heads that are too old and rise are no halt: the clock is ahead, and lag tells who stands still") {
  JudgedWorld w(5);
  w.backend.chain.block_time = 1s;
  w.backend.chain.max_lag = 5s;
  w.backend.chain.max_block_age = 15s;
  w.all_good(1000, 20s);
  REQUIRE(w.verdict().halted);
  for (std::uint64_t n = 1001; n < 1040; ++n) {
    w.pass_time(1s);
    for (std::size_t i = 0; i < 4; ++i) w.good(i, n, 20s);
    const bool stands_still = n > 1020;
    fold(w.history->member(4),
         HeadObservation{w.now, 40ms,
                         stands_still ? Head{1020, w.hash(1020), w.now.wall - 20s - 1s * (n - 1020)}
                                      : Head{n, w.hash(n), w.now.wall - 20s}});
    const BackendVerdict v = w.verdict();
    CHECK_FALSE(v.halted);
    CHECK(v.notes.at(0).detail.starts_with("all heads are too old, but they rise"));
    for (std::size_t i = 0; i < 4; ++i) CHECK(v.servers[i].state == State::kHealthy);
    if (n > 1023 && n < 1027) CHECK(v.servers[4].freshness < 1.0);
    if (n > 1028) CHECK(v.servers[4].state == State::kEjected);
  }
  SUBCASE("until they stand still") {
    for (int second = 1; second <= 15; ++second) {
      w.pass_time(1s);
      w.all_good(1039, 20s + 1s * second);
      CHECK_FALSE(w.verdict().halted);
    }
    w.pass_time(1s);
    w.all_good(1039, 36s);
    CHECK(w.verdict().halted);
  }
  SUBCASE("until the clock is right") {
    w.pass_time(1s);
    w.all_good(1040, 1s);
    CHECK(w.verdict().notes.empty());
    w.pass_time(20s);
    w.all_good(1040, 21s);
    CHECK(w.verdict().halted);
  }
  SUBCASE("a rate limit is judged by the time since the last head") {
    w.bad(0, Reason::kRateLimited);
    for (std::size_t i = 1; i < 4; ++i) w.good(i, 1040, 20s);
    CHECK(w.verdict().servers[0].state == State::kDegraded);
  }
}

TEST_CASE("a halt is one, though slow probes see its last block late and one after another") {
  JudgedWorld w(3);
  w.probe.interval = 60s;
  w.backend.chain.max_block_age = 90s;
  for (std::size_t i = 0; i < 3; ++i) {
    w.good(i, 100 + i, 1s);
    w.verdict();
    w.pass_time(20s);
  }
  for (int second = 0; second < 300; ++second) {
    w.pass_time(1s);
    const milliseconds age{21'000 + 1'000 * second};
    if (second % 20 == 0) w.good(static_cast<std::size_t>(second / 20 % 3), 102, age);
    const BackendVerdict v = w.verdict();
    if (age > 180s) CHECK(v.halted);
    for (const ServerVerdict& s : v.servers) CHECK_FALSE(s.state == State::kUnknown);
  }
}
