// How long an ejected server stays out, and how it comes back.
#include "weighter/judge/ejection.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <utility>

#include "unit/judged_world.hpp"

using namespace rpcw;
using namespace rpcw::test;
using namespace std::chrono_literals;

TEST_CASE("time-outs double up to the limit, and vary by a tenth, always in the same way") {
  config::Backend b;
  for (const auto& [count, s] : {std::pair{1U, 10.0}, {2U, 20.0}, {5U, 160.0}, {6U, 300.0}, {32U, 300.0}}) {
    CAPTURE(count);
    const double got = static_cast<double>(eject_time(b, count, "quicknode").count()) / 1e6;
    CHECK(got >= s * 0.9);
    CHECK(got <= s * 1.1);
    CHECK(eject_time(b, count, "quicknode") == eject_time(b, count, "quicknode"));
  }
  CHECK(eject_time(b, 1, "a") != eject_time(b, 1, "b"));
}

TEST_CASE("a server stays out for its time-out, longer each time, though it answers well") {
  JudgedWorld w(2);
  const auto keep_other = [&](std::uint64_t n) { w.good(1, n); };
  w.good(0, 100);
  keep_other(100);
  w.verdict();
  milliseconds last{0};
  for (int round = 0; round < 4; ++round) {
    w.bad(0);
    w.verdict();
    w.bad(0);
    CHECK(w.state() == State::kEjected);
    milliseconds out{0};
    while (w.state() == State::kEjected) {
      w.pass_time(1s);
      out += 1s;
      w.good(0, 100);
      keep_other(100);
      REQUIRE(out < 400s);
    }
    CHECK(out > last);
    last = out;
  }
  CHECK(last >= 72s);  // 10 s doubled three times, less a tenth
}

TEST_CASE("quiet time pays ejections back") {
  JudgedWorld w(2);
  w.good(0, 100);
  w.good(1, 100);
  w.verdict();
  w.bad(0);
  w.verdict();
  w.bad(0);
  w.verdict();
  CHECK(w.history->servers[0].ejection.count == 1);
  for (int s = 0; s < 90; ++s) {
    w.pass_time(1s);
    w.good(0, 100);
    w.good(1, 100);
    w.verdict();
  }
  CHECK(w.history->servers[0].ejection.count == 0);
}

TEST_CASE("while nothing else is healthy the time-out is waived, not the rise") {
  JudgedWorld w(1);
  w.good(0, 100);
  w.verdict();
  w.bad(0, Reason::kHttpStatus);
  w.verdict();
  w.bad(0, Reason::kHttpStatus);
  CHECK(w.state() == State::kEjected);
  w.good(0, 101);
  CHECK(w.state() == State::kEjected);
  w.good(0, 102);
  CHECK(w.state() == State::kHealthy);
}

TEST_CASE("after an outage of all no server waits for its time-out when another one is back first") {
  JudgedWorld w(2);
  const auto both_fail = [&] {
    for (std::size_t i = 0; i < 2; ++i) w.bad(i, Reason::kHttpStatus);
    w.verdict();
  };
  for (std::size_t i = 0; i < 2; ++i) w.good(i, 100);
  w.verdict();
  both_fail();
  both_fail();
  for (std::size_t i = 0; i < 2; ++i) {
    w.good(i, 101);
    w.verdict();
    w.good(i, 101);
    CHECK(w.verdict().servers[i].state == State::kHealthy);
    CHECK(w.history->servers[i].ejection.count == 1);
  }
}

TEST_CASE("an outage of our own network ejects no server for long") {
  JudgedWorld w(3);
  w.all_good(100);
  w.verdict();
  // The failures come one after another, and only the last makes it plain.
  for (int round = 0; round < 3; ++round)
    for (std::size_t i = 0; i < 3; ++i) {
      w.bad(i, Reason::kConnectFailed);
      w.verdict();
      w.pass_time(100ms);
    }
  CHECK(w.verdict().blind);
  for (std::size_t i = 0; i < 3; ++i) CHECK(w.history->servers[i].ejection.count == 0);
  for (int round = 0; round < 2; ++round) {
    w.pass_time(1s);
    w.all_good(101);
    w.verdict();
  }
  for (std::size_t i = 0; i < 3; ++i) CHECK_FALSE(w.history->servers[i].ejection.is_out);
}

TEST_CASE("a return is a ramp") {
  JudgedWorld w(2);
  w.backend.eject_time = 0s;
  w.good(0, 100);
  w.good(1, 100);
  w.verdict();
  w.bad(0);
  w.verdict();
  w.bad(0);
  w.verdict();
  w.good(0, 100);
  w.verdict();
  w.good(0, 100);
  CHECK(w.verdict().servers[0].ramp == 0.1);
  w.pass_time(7500ms);
  CHECK(w.verdict().servers[0].ramp == doctest::Approx(std::sqrt(0.5)));
  w.pass_time(22500ms);
  CHECK(w.verdict().servers[0].ramp == 1.0);
  CHECK(w.state() == State::kHealthy);
}
