#include "weighter/state/decay.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace rpcw;
using namespace std::chrono_literals;

TEST_CASE("decay is 2^-x") {
  for (const double seconds : {0.001, 0.5, 1.0, 29.999, 60.0, 61.0, 119.0, 600.0, 3600.0}) {
    const MonoTime t{static_cast<std::int64_t>(seconds * 1e6)};
    CHECK(decay(t, 60s) == doctest::Approx(std::exp2(-seconds / 60)).epsilon(1e-13));
  }
  CHECK(decay(0s, 60s) == 1.0);
  CHECK(decay(-5s, 60s) == 1.0);
  CHECK(decay(MonoTime::max(), 60s) == 0.0);
}

TEST_CASE("blend grows from 0 toward 1 and is half at its time constant") {
  CHECK(blend(0s, 10s) == 0.0);
  CHECK(blend(-1s, 10s) == 0.0);
  CHECK(blend(10s, 10s) == 0.5);
  CHECK(blend(90s, 10s) == 0.9);
}

TEST_CASE("natural_log is ln x") {
  for (const double x : {1e-9, 0.3, 0.5, 0.999, 1.0, 1.001, 2.0, 20.0, 1410.0, 1e9})
    CHECK(natural_log(x) == doctest::Approx(std::log(x)).epsilon(1e-11));
}

TEST_CASE("power: whole exponents, by multiplications alone") {
  CHECK(power(511.0 / 512.0, 0) == 1.0);
  CHECK(power(0.5, 3) == 0.125);
  CHECK(power(511.0 / 512.0, 10'000) == doctest::Approx(std::pow(511.0 / 512.0, 10'000)).epsilon(1e-12));
  CHECK(power(511.0 / 512.0, std::uint64_t{1} << 60U) == 0.0);
}
