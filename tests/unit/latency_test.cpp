// The smoothed latency, and when it starts anew.
#include <doctest/doctest.h>

#include <random>

#include "model/direct.hpp"

using namespace rpcw;
using namespace std::chrono_literals;
using rpcw::model::Direct;

namespace {

using std::chrono::microseconds;

struct Probes : Direct {
  Probes() : Direct(2) {}

  std::uint64_t height = 1000;

  void probe(microseconds latency) {
    pass_time(5s);
    ++height;
    good(0, height, 1s, latency);
    good(1, height);
    decide();
  }
  double smoothed() const { return *history->servers[0].latency.smoothed_ms; }
};

}  // namespace

TEST_CASE("latency: three good probes after a slow spell are enough, however long it was") {
  Probes p;
  for (int i = 0; i < 20; ++i) p.probe(40ms);
  SUBCASE("of 15 s") {
    for (int i = 0; i < 3; ++i) p.probe(1200ms);
  }
  SUBCASE("of ten minutes") {
    for (int i = 0; i < 120; ++i) p.probe(1200ms);
  }
  CHECK(p.smoothed() > 600);
  for (int i = 0; i < 3; ++i) p.probe(40ms);
  CHECK(p.smoothed() == doctest::Approx(40));
}

TEST_CASE("latency: a level that doubles is found as well, and one that halves") {
  Probes p;
  for (int i = 0; i < 40; ++i) p.probe(100ms);
  for (int i = 0; i < 5; ++i) p.probe(220ms);
  CHECK(p.smoothed() > 190);
  for (int i = 0; i < 40; ++i) p.probe(220ms);
  for (int i = 0; i < 5; ++i) p.probe(100ms);
  CHECK(p.smoothed() < 110);
}

TEST_CASE("latency: two outliers change no level, and neither does noise") {
  Probes p;
  for (int i = 0; i < 40; ++i) p.probe(400ms);
  for (int i = 0; i < 2; ++i) p.probe(21ms);
  p.probe(400ms);
  CHECK(p.smoothed() > 300);

  Probes noisy;
  std::mt19937_64 random(1);
  double least = 1e9;
  for (int i = 0; i < 2000; ++i) {
    // Box-Muller would do; the sum of twelve is normal enough.
    double normal = -6;
    for (int k = 0; k < 12; ++k) normal += static_cast<double>(random() >> 11) * 0x1p-53;
    noisy.probe(microseconds(static_cast<std::int64_t>(100'000 * std::exp(0.4 * normal))));
    if (i > 50) least = std::min(least, noisy.smoothed());
  }
  CHECK(least > 60);
}

TEST_CASE("latency: a provider that is fast and slow in turn has no new level each time") {
  Probes p;
  for (int i = 0; i < 400; ++i) {
    p.probe(i % 2 == 0 ? 30ms : 600ms);
    if (i > 100) CHECK(p.history->servers[0].latency.level.spread > 1.0);
  }
}

TEST_CASE("latency: a server that returns is known by the probes since") {
  Probes p;
  p.backend.max_latency = 500ms;
  for (int i = 0; i < 10; ++i) p.probe(40ms);
  for (int i = 0; i < 6; ++i) p.probe(900ms);
  REQUIRE(p.history->servers[0].ejection.is_out);
  LiveHistory& live = p.history->servers[0].live;
  live.timed = 100;
  live.timed_ms = 90'000;
  live.latency_ms = 900;
  live.waiting_ms = 5000;
  for (int i = 0; i < 10 && p.history->servers[0].ejection.is_out; ++i) p.probe(60ms);
  REQUIRE_FALSE(p.history->servers[0].ejection.is_out);
  CHECK(p.smoothed() == doctest::Approx(60));
  CHECK_FALSE(live.latency_ms.has_value());
  CHECK_FALSE(live.waiting_ms.has_value());
}
