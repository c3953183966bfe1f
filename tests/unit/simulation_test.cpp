// An hour with five good providers, and with one of them in trouble. `build/*/bench/simulate` prints the figures.

#include <doctest/doctest.h>

#include "model/hour.hpp"

using namespace rpcw;
using namespace rpcw::model;

namespace {

constexpr unsigned kSeeds = 8;

template <typename Check>
void for_seeds(Trouble trouble, Check check) {
  for (unsigned seed = 101; seed < 101 + kSeeds; ++seed) {
    CAPTURE(seed);
    check(run_hour(trouble, "adaptive", seed));
  }
}

}  // namespace

TEST_CASE("an hour of noise: no ejection, and few pushes") {
  for_seeds(Trouble::kNone, [&](const HourResult& r) {
    CHECK(r.ejections + r.others_ejected == 0);
    CHECK(r.pushes < 60);
  });
}

TEST_CASE("an outage of a minute: out within two probes, back on its feet within minutes") {
  for_seeds(Trouble::kOutage, [](const HourResult& r) {
    CHECK(r.ejections == 1);
    CHECK(r.others_ejected == 0);
    CHECK(r.seconds_to_zero.value_or(1e9) < 10);
    CHECK(r.seconds_to_recover.value_or(1e9) < 300);
  });
}

TEST_CASE("five times slower: less traffic in half a minute, but not out") {
  for_seeds(Trouble::kSlow, [](const HourResult& r) {
    CHECK(r.ejections == 0);
    CHECK(r.seconds_to_half.value_or(1e9) < 40);
    CHECK(r.share_during < 0.45 * r.share_before);
  });
}

TEST_CASE("a fifth of the answers are errors: far less traffic") {
  double left = 0;
  for_seeds(Trouble::kErrors, [&](const HourResult& r) {
    left += r.share_during / r.share_before;
    CHECK(r.others_ejected == 0);
  });
  CHECK(left < 0.5 * kSeeds);
}

TEST_CASE("a server that flaps every two seconds ends up out") {
  for_seeds(Trouble::kFlapper, [](const HourResult& r) {
    CHECK(r.share_during < 0.02);
    CHECK(r.others_ejected == 0);
  });
}
