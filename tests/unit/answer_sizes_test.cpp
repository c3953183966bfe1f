// Errors that come with status 200 show in HAProxy's counters by their size alone.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <random>

#include "unit/live_traffic.hpp"
#include "weighter/constants.hpp"
#include "weighter/schedule/extra.hpp"

using namespace rpcw;
using namespace rpcw::test;
using namespace std::chrono_literals;

TEST_CASE("answers of another size are noticed, and answers of all sizes are none") {
  // One in ten is five times as long, as a block is.
  std::minstd_rand random(7);
  const auto sizes = [&](std::uint64_t answers, std::uint64_t usual, std::uint64_t longer) {
    std::uint64_t sum = 0;
    for (std::uint64_t n = 0; n < answers; ++n) sum += random() % 10 == 0 ? longer : usual;
    return sum;
  };
  SteadyTraffic w(3, 300);
  const auto changed = [&](std::size_t i) { return w.history->servers[i].live.sizes.changed_at.has_value(); };
  const auto pass = [&](std::optional<std::size_t> broken) {
    w.second([&](std::size_t s, LiveDelta& d) {
      d.sized = d.ended;
      d.bytes = s == broken ? d.ended * 225 : sizes(d.ended, 294, 1754);
    });
  };
  for (int i = 0; i < 120; ++i) {
    pass(std::nullopt);
    for (const std::size_t s : {0U, 1U, 2U}) REQUIRE_FALSE(changed(s));
  }
  for (int i = 0; i < 4; ++i) pass(1);
  CHECK(changed(1));
  CHECK_FALSE(changed(0));
  CHECK_FALSE(changed(2));
  CHECK(answers_changed(w.history->servers[1]));

  SUBCASE("a probe that began before says nothing about it") {
    const Now noticed = w.now;
    w.now.mono = *w.history->servers[1].live.sizes.changed_at + 5ms;
    w.good(1, 1100, 1s, 40ms);
    w.now = noticed;
    CHECK(changed(1));
  }
  SUBCASE("the next probe ends it, and the new size is the usual one then") {
    w.pass_time(100ms);
    w.good(1, 1100, 1s, 40ms);
    CHECK_FALSE(changed(1));
    for (int i = 0; i < 20; ++i) pass(1);
    CHECK_FALSE(changed(1));
  }
  SUBCASE("a probe that fails says the same") {
    w.pass_time(100ms);
    w.bad(1);
    CHECK(answers_changed(w.history->servers[1]));
  }
}

namespace {

/// Answers of real methods: most are short, and some are very long.
struct Answers {
  std::minstd_rand random{7};
  SteadyTraffic traffic{3, 120};
  /// What this server answers instead; all servers: what a client asks for has changed.
  std::optional<std::size_t> broken{};
  bool changed_everywhere = false;
  bool blocks_alone = false;

  std::uint64_t one() {
    if (blocks_alone) return random() % 10 == 0 ? 1'754 : 294;
    switch (random() % 10) {
      case 0:
        return 2'000 + static_cast<std::uint64_t>(std::exp(std::normal_distribution<>{8.0, 1.2}(random)));
      case 1:
      case 2:
      case 3:
        return 1'500;
      default:
        return 260;
    }
  }

  void second() {
    traffic.second([&](std::size_t s, LiveDelta& d) {
      d.sized = d.ended;
      for (std::uint64_t n = 0; n < d.sized; ++n) d.bytes += s == broken || changed_everywhere ? 225 : one();
    });
  }
  void seconds(int n) {
    while (n-- > 0) second();
  }
  [[nodiscard]] bool doubted(std::size_t s) const { return has(traffic.decision.servers[s], Reason::kLiveErrors); }
};

}  // namespace

TEST_CASE("a server whose answers alone become short loses most of its share, and has it back with them") {
  Answers a;
  a.seconds(60);
  REQUIRE(a.traffic.share(1) == doctest::Approx(1.0 / 3).epsilon(0.1));
  a.broken = 1;
  a.seconds(6);
  CHECK(a.doubted(1));
  CHECK(a.traffic.share(1) < 0.15);
  CHECK_FALSE(a.doubted(0));
  CHECK_FALSE(a.doubted(2));
  SUBCASE("for as long as they are") {
    a.seconds(600);
    CHECK(a.doubted(1));
    a.broken.reset();
    a.seconds(30);
    CHECK_FALSE(a.doubted(1));
    CHECK(a.traffic.share(1) > 0.25);
  }
  SUBCASE("and what lasts is its way") {
    a.seconds(3700);
    CHECK_FALSE(a.doubted(1));
  }
  SUBCASE("an ejection in between does not make the short ones usual") {
    restart_live(a.traffic.history->servers[1].live);
    a.seconds(10);
    CHECK(a.doubted(1));
  }
}

TEST_CASE("clients that ask for something else cost no server its share") {
  Answers a;
  a.seconds(60);
  a.changed_everywhere = true;
  int doubted = 0;
  for (int i = 0; i < 300; ++i) {
    a.second();
    for (const std::size_t s : {0U, 1U, 2U}) doubted += a.doubted(s) ? 1 : 0;
  }
  // Until the others show it.
  CHECK(doubted <= 6);
}

TEST_CASE("long answers that come by chance cost no server its share") {
  Answers a;
  SUBCASE("few very long ones") {}
  SUBCASE("one in ten is a block") {
    a.blocks_alone = true;
  }
  int begun = 0;
  std::array<bool, 3> before{};
  for (int i = 0; i < 3 * 3600; ++i) {
    a.second();
    for (const std::size_t s : {0U, 1U, 2U}) {
      const bool doubted = a.doubted(s);
      begun += doubted && !before[s] ? 1 : 0;
      before[s] = doubted;
    }
  }
  CHECK(begun <= 3);
}

TEST_CASE("under a hash another size of a server's answers is its clients'") {
  Answers a;
  a.traffic.requests = Requests::kOfSome;
  a.seconds(60);
  a.broken = 1;
  a.seconds(6);
  CHECK_FALSE(scan_live(a.traffic.history->servers, a.traffic.now.mono, Requests::kOfSome)[1].sizes_differ);
  CHECK(scan_live(a.traffic.history->servers, a.traffic.now.mono, Requests::kOfAll)[1].sizes_differ);
}
