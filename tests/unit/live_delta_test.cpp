// What HAProxy's counters say of the present.
#include "weighter/state/live_delta.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace rpcw;
using namespace std::chrono_literals;

namespace {

/// One server of one worker, read once a second.
struct Reads {
  haproxy::BackendRow now;
  haproxy::BackendRow last;
  bool tcp = false;

  explicit Reads(bool mode_tcp = false) : tcp(mode_tcp) {
    haproxy::ServerRow& s = now.servers.emplace_back();
    s.name = "a";
    s.uweight = 100;
    haproxy::Counters& c = s.counters;
    c.econ = c.eresp = c.lbtot = c.stot = c.wretr = c.wredis = c.cli_abrt = c.rtime = c.qcur = c.scur = c.bout = 0;
    if (!tcp) c.hrsp_1xx = c.hrsp_2xx = c.hrsp_3xx = c.hrsp_4xx = c.hrsp_5xx = c.hrsp_other = 0;
  }

  haproxy::Counters& c() { return now.servers[0].counters; }
  void weight(unsigned w) { now.servers[0].uweight = w; }
  /// A read by a program that has not read this worker before.
  void first() {
    count_traffic(nullptr, now, {"a"}, 0s);
    last = now;
  }
  LiveDelta read(MonoTime elapsed = 1s) {
    const LiveDelta out = count_traffic(&last, now, {"a"}, elapsed)[0];
    last = now;
    return out;
  }
  void send(unsigned n) {
    *c().stot += n;
    *c().lbtot += n;
    *c().scur += n;
  }
  void answer(unsigned n) {
    *c().hrsp_2xx += n;
    *c().scur -= n;
  }
  void give_bytes(unsigned n) { *c().bout += n; }
  void time_out(unsigned n) {
    *c().eresp += n;
    *c().scur -= n;
  }
};

}  // namespace

TEST_CASE("traffic: what was sent and answered, and what waits for an answer") {
  Reads r;
  r.first();
  r.send(10);
  r.answer(7);
  LiveDelta d = r.read();
  CHECK(d.requests == 10);
  CHECK(d.ended == 7);
  CHECK(d.failures == 0);
  CHECK(d.open == 3);
  r.answer(2);
  r.time_out(1);
  d = r.read();
  CHECK(d.requests == 0);
  CHECK(d.ended == 3);
  CHECK(d.failures == 1);
  CHECK(d.open == 0);
}

TEST_CASE("traffic: an open WebSocket does not wait; a request that hangs beside it does") {
  Reads r;
  r.first();
  r.send(100);
  *r.c().hrsp_1xx += 100;
  LiveDelta d = r.read();
  CHECK(d.ended == 100);
  CHECK(d.open == 0);
  CHECK(*r.c().scur == 100);
  r.send(30);
  CHECK(r.read().open >= 29);
}

TEST_CASE("traffic: a body that has not ended waits") {
  Reads r;
  r.first();
  r.send(40);
  *r.c().hrsp_2xx += 40;
  CHECK(r.read().open == 40);
  *r.c().scur -= 40;
  CHECK(r.read().open == 0);
}

TEST_CASE("traffic: streams of events that stay open count ever less as requests that wait") {
  Reads r;
  r.first();
  r.send(100);
  *r.c().hrsp_2xx += 100;
  std::uint64_t open = r.read().open;
  CHECK(open == 100);
  for (int s = 0; s < 300; ++s) open = r.read().open;
  CHECK(open <= 4);
  SUBCASE("while they stay, slow bodies beside them do") {
    r.send(30);
    *r.c().hrsp_2xx += 30;
    CHECK(r.read().open >= 30);
  }
  SUBCASE("once they are gone, none is left over") {
    *r.c().scur -= 100;
    CHECK(r.read().open == 0);
    r.send(30);
    *r.c().hrsp_2xx += 30;
    CHECK(r.read().open == 30);
  }
}

TEST_CASE("traffic: bodies that were open at the first read are no evidence") {
  Reads r;
  *r.c().stot = *r.c().hrsp_2xx = *r.c().scur = 100;
  r.first();
  CHECK(r.read().open == 0);
}

TEST_CASE("traffic: WebSockets that were open at the first read are no evidence") {
  Reads r;
  *r.c().stot = *r.c().hrsp_1xx = *r.c().scur = 100;
  r.first();
  CHECK(r.now.servers[0].backlog.past == 0);
  r.send(5);
  r.time_out(5);
  CHECK(r.read().failures == 5);
}

TEST_CASE("traffic: requests that were swallowed before a server's return fail without consequence") {
  Reads r;
  r.first();
  r.send(35);
  CHECK(r.read().open == 35);
  r.weight(0);
  CHECK(r.read().open == 0);
  r.weight(50);
  SUBCASE("after it") {}
  SUBCASE("after a reload of ours") {
    r.first();
  }
  SUBCASE("with a read in between") {
    r.send(10);
    r.answer(10);
    CHECK(r.read().open == 0);
  }
  r.send(5);
  r.answer(5);
  r.time_out(30);
  LiveDelta d = r.read();
  CHECK(d.failures <= 1);
  CHECK(d.ended <= 6);
  CHECK(d.open <= 1);
  // The next ones are of requests that were sent since.
  *r.c().scur = 0;
  r.send(20);
  r.time_out(20);
  d = r.read();
  CHECK(d.failures >= 15);
}

TEST_CASE("traffic: late 5xx of a gateway belong to the time before as well") {
  Reads r;
  r.first();
  r.send(35);
  r.read();
  r.weight(0);
  r.read();
  r.weight(50);
  *r.c().hrsp_5xx += 30;
  *r.c().scur -= 30;
  const LiveDelta d = r.read();
  CHECK(d.failures <= 1);
  CHECK(d.ended == d.failures);
}

TEST_CASE("traffic: no more fails than ends, whenever it was sent") {
  Reads r;
  r.first();
  r.send(40);
  r.read();
  r.time_out(40);
  const LiveDelta d = r.read();
  CHECK(d.requests == 0);
  CHECK(d.failures >= 39);
  CHECK(d.ended >= d.failures);
}

TEST_CASE("traffic: a request that went on to another server neither waits nor fails here") {
  Reads r;
  r.first();
  *r.c().lbtot += 10;
  *r.c().stot += 30;
  *r.c().wretr += 20;
  *r.c().wredis += 10;
  const LiveDelta d = r.read();
  CHECK(d.requests == 10);
  CHECK(d.failures == 30);
  CHECK(d.ended == 30);
  CHECK(d.open == 0);
}

TEST_CASE("traffic: requests that stick to their server count though the balancer did not choose it") {
  Reads r;
  r.first();
  *r.c().stot += 10;
  *r.c().hrsp_5xx += 10;
  const LiveDelta d = r.read();
  CHECK(d.requests == 10);
  CHECK(d.failures == 10);
}

TEST_CASE("traffic: clients that leave do not wait any more") {
  Reads r;
  r.first();
  r.send(20);
  r.read();
  *r.c().cli_abrt += 20;
  *r.c().scur -= 20;
  const LiveDelta d = r.read();
  CHECK(d.open == 0);
  CHECK(d.aborted == 20);
  CHECK(d.ended == 0);
}

TEST_CASE("traffic: clients that were waiting before a server's return leave first, and those after them count") {
  Reads r;
  r.first();
  r.send(9);
  r.read();
  r.weight(0);
  r.read();
  r.weight(50);
  std::uint64_t aborted = 0;
  for (int i = 0; i < 10; ++i) {
    r.send(3);
    *r.c().cli_abrt += 3;
    *r.c().scur -= 3;
    aborted += r.read().aborted;
  }
  CHECK(aborted >= 15);
}

TEST_CASE("traffic: a WebSocket that its client closes is no request that was given up") {
  Reads r;
  r.first();
  r.send(20);
  *r.c().hrsp_1xx += 20;
  r.read();
  *r.c().cli_abrt += 15;
  *r.c().scur -= 15;
  CHECK(r.read().aborted == 0);
}

TEST_CASE("traffic: counters that slip are no pile of requests after an hour") {
  Reads r;
  *r.c().scur = 1000;
  r.first();
  std::uint64_t most = 0;
  for (int s = 0; s < 3600; ++s) {
    // Of every thousand requests one more is missed.
    *r.c().stot += 100;
    *r.c().hrsp_2xx += s % 10 == 0 ? 99U : 100U;
    most = std::max(most, r.read().open);
  }
  CHECK(most <= 10);
}

TEST_CASE("traffic: in mode tcp connections are no requests, and only those that fail soon say something") {
  Reads r(true);
  r.first();
  r.send(100);
  LiveDelta d = r.read();
  CHECK(d.requests == 100);
  CHECK(d.ended == 100);
  CHECK(d.failures == 0);
  CHECK(d.open == 0);
  CHECK_FALSE(d.latency_ms.has_value());
  *r.c().lbtot += 10;
  *r.c().stot += 10;
  *r.c().econ += 10;
  d = r.read();
  CHECK(d.failures == 10);
  CHECK(d.ended == 10);
  // An hour later the server is started anew, and resets all of them.
  for (int s = 0; s < 3600; ++s) r.read();
  *r.c().eresp += 100;
  *r.c().scur = 0;
  CHECK(r.read().failures == 0);
}

TEST_CASE("traffic: counters that were cleared say nothing, and count from then on") {
  Reads r;
  r.first();
  r.send(10);
  r.read();
  r.c().econ = r.c().eresp = r.c().lbtot = r.c().stot = r.c().hrsp_2xx = 0;
  CHECK(r.read() == LiveDelta{});
  r.send(4);
  CHECK(r.read().requests == 4);
}

TEST_CASE("traffic: latency is that of the newest answers, not HAProxy's average over 512") {
  Reads r;
  double average = 0;
  double answers = 0;
  const auto second = [&](unsigned n, double ms) {
    for (unsigned i = 0; i < n; ++i) {
      ++answers;
      average += (ms - average) / std::min(answers, 512.0);
    }
    *r.c().stot += n;
    *r.c().lbtot += n;
    *r.c().hrsp_2xx += n;
    r.c().rtime = static_cast<std::uint64_t>(std::ceil(average));
    return r.read();
  };
  r.first();
  std::optional<double> last;
  const auto seconds = [&](int count, unsigned n, double ms) {
    for (int s = 0; s < count; ++s)
      if (const LiveDelta d = second(n, ms); d.latency_ms) last = d.latency_ms;
  };
  seconds(8, 40, 47);
  CHECK(last.value_or(0) == doctest::Approx(47).epsilon(0.1));
  seconds(60, 40, 47);
  CHECK(last.value_or(0) == doctest::Approx(47).epsilon(0.25));
  seconds(14, 40, 1410);
  CHECK(last.value_or(0) == doctest::Approx(1410).epsilon(0.05));
  seconds(4, 40, 47);
  CHECK(last.value_or(0) == doctest::Approx(47).epsilon(0.3));
  CHECK(average > 500);
  // One a second: HAProxy's whole milliseconds do not tell.
  last.reset();
  seconds(120, 1, 47);
  CHECK_FALSE(last.has_value());
}

TEST_CASE("traffic: bytes of answers, and none in mode tcp, where connections stay") {
  for (const bool tcp : {false, true}) {
    CAPTURE(tcp);
    Reads r(tcp);
    r.first();
    r.send(10);
    if (!tcp) r.answer(8);
    r.give_bytes(2400);
    const LiveDelta d = r.read();
    CHECK(d.sized == (tcp ? 0 : 8));
    CHECK(d.bytes == (tcp ? 0 : 2400));
  }
  Reads r;
  r.c().bout.reset();
  r.first();
  r.send(3);
  r.answer(3);
  CHECK(r.read().sized == 0);
}

TEST_CASE("traffic by another backend adds up, and does not change the latency") {
  LiveDelta to{.requests = 30,
               .ended = 28,
               .failures = 2,
               .client_errors = 1,
               .latency_ms = 40.0,
               .timed = 25,
               .average_ms = 50.0,
               .sized = 25,
               .bytes = 7000,
               .open = 3};
  add(to, {.requests = 10,
           .ended = 9,
           .failures = 4,
           .client_errors = 2,
           .latency_ms = 900.0,
           .timed = 9,
           .average_ms = 250.0,
           .sized = 9,
           .bytes = 90'000,
           .open = 5});
  CHECK(to.requests == 40);
  CHECK(to.ended == 37);
  CHECK(to.failures == 6);
  CHECK(to.client_errors == 3);
  CHECK(to.open == 8);
  CHECK(to.latency_ms == 40.0);
  CHECK(to.timed == 25);
  CHECK(to.sized == 25);
  CHECK(to.bytes == 7000);
  // By Little's law the open requests of both are those of both rates.
  CHECK(*to.average_ms == doctest::Approx(100));
  LiveDelta none;
  LiveDelta slow;
  slow.average_ms = 70.0;
  add(none, slow);
  CHECK(none.average_ms == 70.0);
  // Both were counted in the same time.
  add(none, {.elapsed = 2s});
  add(none, {.elapsed = 1s});
  CHECK(none.elapsed == 2s);
}

TEST_CASE("traffic: the time that it was counted in, and none where nothing was") {
  Reads r;
  r.first();
  r.send(4);
  CHECK(r.read(2500ms).elapsed == 2500ms);
  r.c().econ = r.c().eresp = r.c().lbtot = r.c().stot = r.c().hrsp_2xx = 0;
  CHECK(r.read().elapsed == 0s);
}
