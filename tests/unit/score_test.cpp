#include "weighter/strategy/score.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace rpcw;
using namespace std::chrono_literals;

TEST_CASE("inverse-latency: the latency is rounded down to its leading digit above 40 ms") {
  struct Row {
    std::int64_t ms;
    std::int64_t normalised;
  };
  for (const Row row : {Row{0, 1}, Row{1, 1}, Row{40, 1}, Row{41, 40}, Row{87, 80}, Row{99, 90}, Row{100, 100},
                        Row{999, 900}, Row{1234, 1000}, Row{60'000, 60'000}, Row{-5, 1}}) {
    CAPTURE(row.ms);
    CHECK(normalised_latency_ms(std::chrono::milliseconds{row.ms}) == row.normalised);
  }
  CHECK(normalised_latency_ms(40'999us) == 1);
  CHECK(normalised_latency_ms(std::chrono::microseconds::max()) > 0);
}

TEST_CASE("inverse-latency: 1/L + 1/D, and the age counts from one block time on") {
  CHECK(inverse_latency_score(100ms, 20s, 12s) == doctest::Approx(1.0 / 100 + 1.0 / 20'000));
  CHECK(inverse_latency_score(100ms, 3s, 12s) == doctest::Approx(1.0 / 100 + 1.0 / 12'000));
  CHECK(inverse_latency_score(1234ms, 12s, 12s) == doctest::Approx(1.0 / 1000 + 1.0 / 12'000));
  CHECK(inverse_latency_score(0ms, 0s, 12s) == doctest::Approx(1.0 + 1.0 / 12'000));
}

TEST_CASE("inverse-latency: no input gives zero, infinity or NaN") {
  for (const auto latency : {std::chrono::microseconds::min(), 0us, std::chrono::microseconds::max()})
    for (const auto age : {milliseconds::min(), milliseconds{0}, milliseconds::max()})
      for (const auto block : {milliseconds::min(), milliseconds{0}, milliseconds::max()}) {
        const double s = inverse_latency_score(latency, age, block);
        CHECK(std::isfinite(s));
        CHECK(s > 0);
      }
}

TEST_CASE("adaptive: the example of the report can be recomputed") {
  const double error_rate = 0.1 / (12.0 + 10.0);
  CHECK(0.375 * adaptive_score({44.0, 1.0, error_rate}) == doctest::Approx(0.0078).epsilon(0.01));
}

TEST_CASE("adaptive: latency counts from 20 ms on, and for less under algorithms that weigh it themselves") {
  CHECK(adaptive_score({0, 1, 0}) == adaptive_score({20, 1, 0}));
  CHECK(adaptive_score({20, 1, 0}) / adaptive_score({80, 1, 0}) == doctest::Approx(4));
  CHECK(adaptive_score({20, 0.5, 0}) / adaptive_score({80, 0.5, 0}) == doctest::Approx(2));
  CHECK(adaptive_score({20, 0.25, 0}) / adaptive_score({320, 0.25, 0}) == doctest::Approx(2));
  CHECK(adaptive_score({20, 1, 0}) / adaptive_score({20, 1, 0.05}) == doctest::Approx(2));
  CHECK(gamma_for("roundrobin") == 1.0);
  CHECK(gamma_for("") == 1.0);
  CHECK(gamma_for("random") == 0.5);
  CHECK(gamma_for("unknown") == 0.5);
  CHECK(gamma_for("leastconn") == 0.25);
}
