// What must hold for any history. Each case prints the seed that broke it; run that one seed alone to see it again.

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>

#include "model/chaos.hpp"
#include "model/effort.hpp"
#include "model/world.hpp"
#include "weighter/allocate/scale.hpp"

using namespace rpcw;
using namespace rpcw::model;

/// REQUIRE at a tenth of its price where it holds: these checks are made ten million times.
#define MUST(...)                             \
  do {                                        \
    if (!(__VA_ARGS__)) REQUIRE(__VA_ARGS__); \
  } while (false)

namespace {

bool finite(const std::optional<double>& v) {
  return !v || std::isfinite(*v);
}

}  // namespace

TEST_CASE("any history: never all zero, sums kept, nothing but finite numbers") {
  for (unsigned seed = 1; seed <= model::tried(3000); ++seed) {
    CAPTURE(seed);
    Chaos c(seed);
    const int steps = c.pick(1, 120);
    for (int i = 0; i < steps; ++i) {
      c.step();
      const BackendDecision d = c.decide();
      unsigned active = 0;
      unsigned everything = 0;
      bool any_sharing = false;
      bool any_serving = false;
      const bool was_read = std::ranges::any_of(c.view.servers, [](const auto& v) { return v.has_value(); });
      bool held_is_target = true;
      Standing best = Standing::kDisqualified;
      for (std::size_t k = 0; k < d.servers.size(); ++k) {
        const auto& view = c.view.servers[k];
        const bool serves = view ? !view->stuck && !view->down : !was_read;
        if (serves && d.servers[k].state != State::kDisabled) best = std::min(best, standing_of(d.servers[k]));
      }
      for (std::size_t k = 0; k < d.servers.size(); ++k) {
        const ServerDecision& s = d.servers[k];
        MUST(std::isfinite(s.score));
        MUST(s.score >= 0);
        MUST(s.weight <= 256);
        MUST(finite(s.inputs.latency_used_ms));
        MUST(finite(s.inputs.error_rate));
        MUST(finite(s.inputs.freshness));
        if (s.state == State::kDisabled) continue;
        // A fallback feeds no worse server while a better one can serve.
        if (d.fallback && standing_of(s) > best) MUST(s.weight == 0);
        const auto& view = c.view.servers[k];
        const bool in_reach = view ? !view->stuck : !was_read;
        const bool serves = in_reach && !(view && view->down);
        any_serving = any_serving || serves;
        if (serves) everything += s.weight;
        if (!in_reach) {
          if (!d.fallback && d.any_verdict) MUST(s.weight == 0);
          continue;
        }
        const bool backup = view && view->backup;
        if (!backup) active += s.weight;
        const bool eligible = s.state == State::kHealthy || s.state == State::kDegraded;
        any_sharing = any_sharing || (eligible && !backup);
        if (eligible && !d.fallback && c.backend.strategy != "leader") MUST(s.weight >= 1);
        if (!eligible && !d.fallback) held_is_target = held_is_target && s.weight == 0;
      }
      if (any_serving && d.any_verdict) MUST(everything > 0);
      if (!d.fallback && any_sharing && c.backend.scale == config::Scale::kShare &&
          c.backend.servers.size() <= kMostServersForShares)
        MUST(active == 256);
      if (!d.fallback && d.any_verdict) MUST(held_is_target);
      for (const double part : c.history->shares.last) MUST((std::isfinite(part) && part >= 0 && part <= 1 + 1e-9));
    }
  }
}

TEST_CASE("any history: the same calls give the same decisions") {
  for (unsigned seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    Chaos a(seed);
    Chaos b(seed);
    for (int i = 0; i < 60; ++i) {
      a.step();
      b.step();
      a.decide();
      b.decide();
      REQUIRE(a.held == b.held);
    }
  }
}

TEST_CASE("worse in every input never gets more than better in every input") {
  for (unsigned seed = 1; seed <= model::tried(400); ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto strategy = kStrategies[seed % 3];
    const double base = std::uniform_real_distribution<>(20, 200)(random);
    const double worse_by = std::uniform_real_distribution<>(1.0, 3.0)(random);
    const double loss = std::uniform_real_distribution<>(0, 0.3)(random);
    const bool behind = seed % 2 == 0;
    // The losses of 0 are losses of 1 too, as both draw the same part of the second.
    World w(4, strategy, seed, [&](std::size_t i, double s) {
      Behaviour b;
      b.latency_ms = i == 1 ? base * worse_by : base;
      const bool lost = std::fmod(s * 0.37, 1.0) < loss;
      if (i == 1 && lost) b.loss = 1;
      if (i == 1 && behind) b.blocks_behind = 1;
      return b;
    });
    w.run(600, [&](const BackendDecision& d, double) {
      if (d.fallback || d.servers[0].state == State::kUnknown || d.servers[1].state == State::kUnknown) return;
      // Within one unit: equal ones differ by the remainder.
      MUST(d.servers[1].weight <= d.servers[0].weight + 1);
    });
  }
}

TEST_CASE("equal inputs get equal weights, up to the remainder") {
  for (const std::string_view strategy : {"adaptive", "inverse-latency", "equal"})
    for (std::size_t n = 1; n <= 20; ++n) {
      World w(n, strategy, 1, [](std::size_t, double) { return Behaviour{}; });
      w.run(60, [](const BackendDecision&, double) {});
      const auto [low, high] = std::ranges::minmax(w.held);
      CHECK(high - low <= 1);
    }
}

TEST_CASE("a constant world settles") {
  for (const std::string_view strategy : kStrategies) {
    World w(5, strategy, 7, [](std::size_t i, double) {
      Behaviour b;
      b.latency_ms = 20.0 * static_cast<double>(i + 1);
      return b;
    });
    w.run(300, [](const BackendDecision&, double) {});
    const unsigned settled = w.pushes;
    w.run(3600, [](const BackendDecision&, double) {});
    CHECK(w.pushes == settled);
  }
}

TEST_CASE("our own clock is wrong by an hour or a day: no server pays for it") {
  const auto nothing = [](const BackendDecision&, double) {};
  for (const milliseconds jump : {milliseconds{-3'600'000}, milliseconds{86'400'000}}) {
    CAPTURE(jump.count());
    World w(5, "adaptive", 3, [](std::size_t, double) { return Behaviour{}; });
    w.run(60, nothing);
    const std::vector<unsigned> before = w.held;
    w.wall_jump = jump;
    // Until every server has been asked again the old heads are told from the new clock.
    w.run(75, nothing);
    w.run(180, [&](const BackendDecision&, double) {
      const auto [low, high] = std::ranges::minmax(w.held);
      REQUIRE(low > 0);
      REQUIRE(high - low <= 1);
    });
    w.wall_jump = milliseconds{0};
    w.run(240, nothing);
    CHECK(w.held == before);
    for (const TargetHistory& t : w.history->servers) {
      CHECK_FALSE(t.ejection.is_out);
      CHECK(t.ejection.count == 0);
    }
  }
}
