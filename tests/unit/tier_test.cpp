#include <doctest/doctest.h>

#include <algorithm>

#include "model/direct.hpp"

using namespace rpcw;
using namespace rpcw::model;

namespace {

using Weights = std::vector<unsigned>;

/// Two servers of tier 0, one of tier 1 and one of tier 2; those that return have their share at once.
struct Tiers : Direct {
  explicit Tiers(unsigned min_healthy = 1, std::string_view strategy = "equal") : Direct(4, strategy) {
    backend.servers[2].tier = 1;
    backend.servers[3].tier = 2;
    backend.min_healthy = min_healthy;
    backend.eject_time = 0ms;
    backend.max_eject_time = 0ms;
    backend.ramp = 0ms;
    probe.interval = 1s;
  }

  /// A second later, one probe of each server.
  Weights step(std::initializer_list<std::size_t> failing = {}) {
    pass_time(1s);
    for (std::size_t i = 0; i < 4; ++i) {
      if (std::ranges::find(failing, i) != failing.end())
        bad(i);
      else
        good(i, 100 + static_cast<std::uint64_t>(now.mono / 1s) / 12);
    }
    return weights();
  }
};

}  // namespace

TEST_CASE("tiers: higher ones stand by while the lowest is healthy") {
  Tiers w;
  CHECK(w.step() == Weights{128, 128, 0, 0});
  const BackendDecision d = w.decide();
  for (const std::size_t i : {2U, 3U}) {
    CHECK(d.servers[i].state == State::kHealthy);
    REQUIRE(d.servers[i].reasons.size() == 1);
    CHECK(d.servers[i].reasons[0].code == Reason::kStandby);
  }
  CHECK(d.servers[2].reasons[0].detail == "tier 1: servers of lower tiers are enough");
  CHECK(w.step({0}) == Weights{85, 171, 0, 0});
  CHECK(w.step({0}) == Weights{0, 256, 0, 0});
}

TEST_CASE("tiers: the next one joins in the decision in which too few of the lower ones are healthy") {
  Tiers w;
  w.step();
  w.step({0, 1});
  CHECK(w.step({0, 1}) == Weights{0, 0, 256, 0});
  w.step({0, 1, 2});
  CHECK(w.step({0, 1, 2}) == Weights{0, 0, 0, 256});

  Tiers two(2);
  two.step();
  two.step({0});
  CHECK(two.step({0}) == Weights{0, 128, 128, 0});
}

TEST_CASE("tiers: a higher one leaves when the lower ones have been enough for 30 s") {
  Tiers w;
  w.step();
  w.step({0, 1});
  w.step({0, 1});
  w.step({1});
  CHECK(w.step({1})[2] > 0);
  CHECK(w.held[0] > 0);
  for (int i = 1; i < 20; ++i) CHECK(w.step({1})[2] > 0);
  // A failure in between begins the wait anew.
  w.step({0, 1});
  w.step({0, 1});
  w.step({1});
  w.step({1});
  for (int i = 1; i < 30; ++i) CHECK(w.step({1})[2] > 0);
  w.step({1});
  CHECK(w.step({1}) == Weights{256, 0, 0, 0});
}

TEST_CASE("tiers: a leader is one of the lowest tier that is healthy") {
  Tiers w(1, "leader");
  w.backend.servers[2].preference = 10;
  CHECK(w.step() == Weights{256, 0, 0, 0});
  w.step({0, 1});
  CHECK(w.step({0, 1}) == Weights{0, 0, 256, 0});
}

TEST_CASE("tiers: servers without health in any tier fall back together") {
  Tiers w;
  w.step();
  w.step({0, 1, 2, 3});
  CHECK(w.step({0, 1, 2, 3}) == Weights{64, 64, 64, 64});
}

TEST_CASE("tiers: a disqualified server and one that HAProxy cannot use do not count as healthy") {
  Tiers w;
  w.step();
  w.answer(0, {CheckKind::kIdentity, 0}, 5);
  w.answer(1, {CheckKind::kIdentity, 0}, 5);
  CHECK(w.weights() == Weights{0, 0, 256, 0});

  Tiers drained;
  drained.view.servers.resize(4);
  for (auto& s : drained.view.servers) s.emplace().weight = 100;
  drained.step();
  for (const std::size_t i : {0U, 1U}) drained.view.servers[i]->disabled = true;
  CHECK(drained.step()[2] == 256);
  CHECK(drained.held[3] == 0);
}

TEST_CASE("tiers: HAProxy's backup servers have none") {
  Tiers w;
  w.view.servers.resize(4);
  for (auto& s : w.view.servers) s.emplace().weight = 100;
  w.view.servers[2]->backup = true;
  CHECK(w.step() == Weights{128, 128, 256, 0});
}
