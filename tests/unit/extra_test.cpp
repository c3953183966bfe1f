#include "weighter/schedule/extra.hpp"

#include <doctest/doctest.h>

#include <array>
#include <vector>

#include "weighter/cadence.hpp"

using namespace rpcw;
using namespace std::chrono_literals;

TEST_CASE("extra probes: an allowance comes in with time, up to what can be saved, and is paid back") {
  Allowance a(0.5, 3);
  a.earn(10s);
  CHECK(a.tokens() == 0);
  a.earn(12s);
  CHECK(a.tokens() == doctest::Approx(1));
  a.spend(2);
  CHECK(a.tokens() == doctest::Approx(-1));
  a.earn(14s);
  CHECK(a.tokens() == doctest::Approx(0));
  a.earn(100s);
  CHECK(a.tokens() == doctest::Approx(3));
  CHECK(Allowance(1, 5, 4).tokens() == 4);
}

TEST_CASE("extra probes: they cost what they come early, since the next regular one counts from them") {
  CHECK(extra_cost({1, 0s, 5s}) == 1);
  CHECK(extra_cost({1, 4s, 5s}) == doctest::Approx(0.2));
  CHECK(extra_cost({1, 6s, 5s}) == 0);
}

TEST_CASE("extra probes: they go where clients would be hit first") {
  const std::array<Exposure, 3> three{{{0.5, 2s, 5s}, {0.3, 4s, 5s}, {0.2, 5s, 5s}}};
  CHECK(most_exposed(three, 0) == 1);
  CHECK(most_exposed(three, 1.2) == 1);
  CHECK_FALSE(most_exposed(three, 1.3).has_value());
  const std::array<Exposure, 2> idle{{{0, 2s, 5s}, {0, 4s, 5s}}};
  CHECK_FALSE(most_exposed(idle, 0).has_value());
  CHECK_FALSE(most_exposed({}, 0).has_value());
}

TEST_CASE("extra probes: their part of the bill, and who gets them") {
  // Five servers with the traffic of a running backend, one probe each 5 s, and a look each 250 ms.
  constexpr std::array<double, 5> kShares{0.4, 0.25, 0.18, 0.1, 0.07};
  Allowance allowance(kExtraPart * 5 / 5.0, kExtraSaved);
  std::array<MonoTime, 5> last{};
  std::array<int, 5> probes{};
  for (std::size_t i = 0; i < 5; ++i) last[i] = std::chrono::seconds(i);
  int all = 0;
  constexpr MonoTime kFor = 1h;
  for (MonoTime now = 10s; now < kFor; now += 250ms) {
    std::vector<Exposure> open;
    std::vector<std::size_t> who;
    for (std::size_t i = 0; i < 5; ++i) {
      if (now - last[i] >= 5s) {
        last[i] = now;
        ++probes[i];
        ++all;
      } else if (now - last[i] >= 2500ms) {
        open.push_back({kShares[i], now - last[i], 5s});
        who.push_back(i);
      }
    }
    allowance.earn(now);
    const auto most = most_exposed(open, 0.5 * kShares[0] * 5);
    if (!most || extra_cost(open[*most]) > allowance.tokens()) continue;
    allowance.spend(extra_cost(open[*most]));
    last[who[*most]] = now;
    ++probes[who[*most]];
    ++all;
  }
  CHECK(all <= 1.2 * 3600 + 5);
  CHECK(all >= 1.1 * 3600);
  CHECK(probes[0] > 1.7 * 720);
  CHECK(probes[0] <= 2 * 720 + 5);
  CHECK(probes[4] < 1.1 * 720);
}

TEST_CASE("extra probes: a head further behind than the chain's pace explains is looked at once more") {
  config::Backend backend;
  backend.chain.block_time = 1s;
  backend.chain.max_lag = 30s;
  TargetHistory t;
  CHECK_FALSE(lags_unexplained(t, {}, backend));
  t.heads.lag_blocks = 2;
  CHECK_FALSE(lags_unexplained(t, {}, backend));
  t.heads.lag_blocks = 3;
  CHECK(lags_unexplained(t, {}, backend));
  // It is asked often already.
  t.heads.slipping = true;
  CHECK_FALSE(lags_unexplained(t, {}, backend));
  t.heads.slipping = false;
  t.ejection.is_out = true;
  CHECK_FALSE(lags_unexplained(t, {}, backend));
  t.ejection.is_out = false;
  // On a slow chain one block behind is nothing.
  backend.chain.block_time = 12s;
  t.heads.lag_blocks = 1;
  CHECK_FALSE(lags_unexplained(t, {}, backend));
  t.heads.lag_blocks = 2;
  CHECK(lags_unexplained(t, {}, backend));
}

TEST_CASE("extra probes: a server whose chain id is due ahead of time is asked at once") {
  TargetHistory t;
  t.identity.status = IdentityHistory::Status::kVerified;
  t.identity.check = {.due = 160s, .sent_at = 100s};
  // The usual one goes with the next probe.
  CHECK_FALSE(identity_suspect(t, 130s));
  CHECK_FALSE(identity_suspect(t, 165s));
  t.identity.check.due = 120s;
  CHECK_FALSE(identity_suspect(t, 119s));
  CHECK(identity_suspect(t, 120s));
  SUBCASE("it is asked already") {
    t.identity.check.waiting = true;
  }
  SUBCASE("it does not tell") {
    t.identity.check.refusals = 1;
  }
  SUBCASE("it never told") {
    t.identity.status = IdentityHistory::Status::kUnknown;
  }
  SUBCASE("it fails") {
    t.probes.failure = ProbeFailure{Reason::kTimeout, "", {}};
  }
  SUBCASE("it is out") {
    t.ejection.is_out = true;
  }
  CHECK_FALSE(identity_suspect(t, 121s));
}
