#include "weighter/allocate/decide.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "model/backend.hpp"
#include "model/direct.hpp"
#include "weighter/schedule/agenda.hpp"

using namespace rpcw;
using namespace std::chrono_literals;

namespace {

using Weights = std::vector<unsigned>;

struct World {
  config::Backend backend;
  config::Probe probe;
  std::optional<BackendHistory> history;
  BackendView view;
  Weights held;
  Now now{WallTime{std::chrono::seconds{1'800'000'000}}, MonoTime{1'000'000}};

  explicit World(std::size_t servers, std::string_view strategy = "equal")
      : backend(model::ethereum_backend(servers, strategy)) {
    history = empty_history(backend);
    model::verify_all(*history);
    view.servers.resize(servers);
    for (auto& s : view.servers) s = ServerView{false, false, 100, 100};
  }

  void good(std::size_t i, std::chrono::microseconds latency = 40ms, milliseconds age = 1s) {
    fold(history->servers[i], HeadObservation{now, latency, Head{100, "0x", now.wall - age}});
  }
  void bad(std::size_t i, Reason why = Reason::kTimeout) {
    fold(history->servers[i], HeadObservation{now, 3s, std::unexpected(ProbeFailure{why, "it failed", {}})});
  }
  BackendDecision decision() { return decide(*history, backend, probe, view, held, now); }
  Weights weights() {
    Weights out;
    for (const ServerDecision& s : decision().servers) out.push_back(s.weight);
    return out;
  }
};

}  // namespace

TEST_CASE("equal: the healthy share 256, the failing get nothing") {
  World w(3);
  w.good(0);
  w.good(1);
  w.bad(2);
  CHECK(w.weights() == Weights{128, 128, 0});
  CHECK(w.decision().healthy == 2);
}

TEST_CASE("inverse-latency: 100 ms gets twice what 200 ms gets") {
  World w(2, "inverse-latency");
  w.good(0, 100ms);
  w.good(1, 200ms);
  const double a = 1.0 / 100 + 1.0 / 12'000;
  const double b = 1.0 / 200 + 1.0 / 12'000;
  const BackendDecision d = w.decision();
  CHECK(d.servers[0].score == doctest::Approx(a));
  CHECK(d.servers[1].score == doctest::Approx(b));
  CHECK(d.servers[0].weight == static_cast<unsigned>(std::lround(256 * a / (a + b))));
  CHECK(d.servers[0].weight + d.servers[1].weight == 256);
}

TEST_CASE("preference is a dial") {
  World w(2);
  w.backend.servers[0].preference = 3;
  w.good(0);
  w.good(1);
  CHECK(w.weights() == Weights{192, 64});
}

TEST_CASE("more than 64 servers use peak, and peak can be asked for") {
  World w(65);
  for (std::size_t i = 0; i < 65; ++i) w.good(i);
  CHECK(w.weights() == Weights(65, 256));
  World p(2);
  p.backend.scale = config::Scale::kPeak;
  p.backend.servers[0].preference = 2;
  p.good(0);
  p.good(1);
  CHECK(p.weights() == Weights{256, 128});
}

TEST_CASE("nothing healthy: equal weights, never all zero") {
  World w(3);
  for (std::size_t i = 0; i < 3; ++i) w.bad(i);
  const BackendDecision d = w.decision();
  CHECK(d.fallback == config::Fallback::kEqual);
  CHECK(d.healthy == 0);
  CHECK(w.weights() == Weights{85, 85, 85});
}

TEST_CASE("fallback leaves out the wrong chain, unless nothing else is left") {
  World w(2);
  w.history->servers[0].identity.status = IdentityHistory::Status::kWrong;
  w.bad(0);
  w.bad(1);
  CHECK(w.weights() == Weights{0, 256});
  w.history->servers[1].identity.status = IdentityHistory::Status::kWrong;
  CHECK(w.weights() == Weights{128, 128});
}

TEST_CASE("fallback keep: the last weights, or equal ones if those are all zero") {
  World w(2);
  w.backend.fallback = config::Fallback::kKeep;
  w.bad(0);
  w.bad(1);
  w.held = {200, 56};
  CHECK(w.weights() == Weights{200, 56});
  CHECK(w.decision().fallback == config::Fallback::kKeep);
  // Another fallback, before which all were 0.
  w.history->shares.kept.clear();
  w.held = {0, 0};
  CHECK(w.weights() == Weights{128, 128});
  CHECK(w.decision().fallback == config::Fallback::kEqual);
  SUBCASE("after a start, the last ones are HAProxy's") {
    w.history->shares.kept.clear();
    w.held.clear();
    CHECK(w.weights() == Weights{100, 100});
  }
}

TEST_CASE("fallback least-bad: in inverse proportion to the age of blocks") {
  World w(4);
  w.backend.fallback = config::Fallback::kLeastBad;
  w.good(0, 40ms, 10min);
  w.good(1, 40ms, 61s);
  w.good(2, 40ms, std::chrono::hours(120));
  w.bad(3);
  const BackendDecision d = w.decision();
  CHECK(d.fallback == config::Fallback::kLeastBad);
  // 256 / 61, / 600, / 432000; each server that answers has at least 1.
  CHECK(w.weights() == Weights{24, 231, 1, 0});
  SUBCASE("a disqualified server gets nothing while another one answers") {
    w.history->servers[1].identity.status = IdentityHistory::Status::kWrong;
    CHECK(w.weights() == Weights{255, 0, 1, 0});
  }
  SUBCASE("no block is younger than the chain's block time") {
    for (std::size_t i = 0; i < 3; ++i) w.good(i, 40ms, i == 0 ? 1ms : 12s);
    w.backend.min_healthy = 4;
    CHECK(w.weights()[0] == w.weights()[1] + 1);
  }
  SUBCASE("without an answer from any they share equally") {
    for (std::size_t i = 0; i < 4; ++i) {
      w.bad(i);
      w.history->servers[i].heads.newest.reset();
    }
    CHECK(w.weights() == Weights{64, 64, 64, 64});
  }
  SUBCASE("ages that grow alike move no weight") {
    w.held = w.weights();
    w.now.wall += 5s;
    w.now.mono += 5s;
    CHECK(w.weights() == w.held);
    w.now.wall += 10min;
    CHECK(w.weights() != w.held);
  }
}

TEST_CASE("fewer healthy than min_healthy is the fallback, though not nothing") {
  World w(3);
  w.backend.min_healthy = 2;
  w.good(0);
  w.bad(1);
  w.bad(2);
  const BackendDecision d = w.decision();
  CHECK(d.fallback == config::Fallback::kEqual);
  CHECK(d.healthy == 1);
}

TEST_CASE("a fallback feeds no dead server while another one answers") {
  World w(4);
  w.good(0, 40ms, 10min);
  w.good(1, 40ms, 10min);
  w.bad(2, Reason::kTimeout);
  for (const Reason why : {Reason::kConnectFailed, Reason::kHttpStatus, Reason::kRpcError, Reason::kBadAnswer}) {
    w.bad(3, why);
    CHECK(w.weights() == Weights{128, 128, 0, 0});
  }
  CHECK(w.decision().fallback == config::Fallback::kEqual);
  SUBCASE("it has its part again once it answers") {
    w.good(2, 40ms, 10min);
    CHECK(w.weights() == Weights{85, 85, 85, 0});
  }
  SUBCASE("HAProxy cannot use those that answer") {
    w.view.servers[0]->disabled = true;
    w.view.servers[1]->down = true;
    CHECK(w.weights() == Weights{100, 85, 85, 85});
  }
  SUBCASE("min_healthy: the healthy ones and those that answer share") {
    w.backend.min_healthy = 2;
    w.good(0);
    w.history->servers[0].health.good_in_row = w.probe.rise;
    CHECK(w.weights() == Weights{128, 128, 0, 0});
  }
  SUBCASE("no server answers any more") {
    w.bad(0);
    w.bad(1);
    CHECK(w.weights() == Weights{64, 64, 64, 64});
  }
  SUBCASE("one that only real work fails on comes before the dead ones, and after the others") {
    w.history->servers[1].node.canaries.resize(1);
    w.backend.canaries.resize(1);
    w.history->servers[1].node.canaries[0].failure = ProbeFailure{Reason::kRpcError, "no", {}};
    CHECK(w.weights() == Weights{256, 0, 0, 0});
    w.bad(0);
    CHECK(w.weights() == Weights{0, 256, 0, 0});
  }
}

TEST_CASE("a fallback hands over to a backup that answers when no active server does") {
  World w(3);
  w.view.servers[2]->backup = true;
  w.bad(0);
  w.bad(1);
  w.good(2, 40ms, 10min);
  CHECK(w.decision().fallback == config::Fallback::kEqual);
  CHECK(w.weights() == Weights{0, 0, 256});
  SUBCASE("not to one that HAProxy has DOWN") {
    w.view.servers[2]->down = true;
    CHECK(w.weights() == Weights{128, 128, 256});
  }
}

TEST_CASE("fallback keep: a server that fails meanwhile gets nothing, and its last weight when it answers again") {
  World w(3);
  w.backend.fallback = config::Fallback::kKeep;
  w.held = {100, 156, 0};
  const auto step = [&] {
    const Weights out = w.weights();
    w.held = out;
    return out;
  };
  for (std::size_t i = 0; i < 3; ++i) w.good(i, 40ms, 10min);
  CHECK(step() == Weights{100, 156, 0});
  w.bad(0);
  CHECK(step() == Weights{0, 156, 0});
  w.good(0, 40ms, 10min);
  CHECK(step() == Weights{100, 156, 0});
  // Only one answers that had nothing: the last weights are of no use then.
  w.bad(0);
  w.bad(1);
  CHECK(step() == Weights{0, 0, 256});
  w.good(1, 40ms, 10min);
  CHECK(step() == Weights{0, 156, 0});
  w.bad(1);
  w.bad(2);
  CHECK(step() == Weights{100, 156, 0});
}

TEST_CASE("a disabled server stands outside the shares and keeps its weight") {
  World w(3);
  w.view.servers[2]->disabled = true;
  for (std::size_t i = 0; i < 3; ++i) w.good(i);
  CHECK(w.weights() == Weights{128, 128, 100});
  CHECK(w.decision().servers[2].state == State::kDisabled);
  SUBCASE("also in the fallback") {
    World f(3);
    f.view.servers[2]->disabled = true;
    for (std::size_t i = 0; i < 3; ++i) f.bad(i);
    CHECK(f.weights() == Weights{128, 128, 100});
  }
}

TEST_CASE("weights add up to 256 again when a server goes to MAINT and returns, though each change is small") {
  World w(9);
  w.backend.ramp = 0s;
  w.backend.servers[8].preference = 0.5;
  for (std::size_t i = 0; i < 9; ++i) w.good(i);
  const auto sum_of_sharing = [&] {
    w.held = w.weights();
    for (std::size_t i = 0; i < 9; ++i) w.view.servers[i]->weight = w.held[i];
    return std::accumulate(w.held.begin(), w.held.end() - (w.view.servers[8]->disabled ? 1 : 0), 0U);
  };
  CHECK(sum_of_sharing() == 256);
  w.view.servers[8]->disabled = true;
  CHECK(sum_of_sharing() == 256);
  CHECK(w.held == Weights{32, 32, 32, 32, 32, 32, 32, 32, 15});
  w.view.servers[8]->disabled = false;
  CHECK(sum_of_sharing() == 256);
  CHECK(w.held[8] < 15);  // the others grow only so fast
  SUBCASE("but not under a hash, where each change moves clients") {
    const Weights before = w.held;
    w.view.algorithm = "hash";
    w.view.servers[8]->disabled = true;
    CHECK(sum_of_sharing() == 256 - before[8]);
    w.view.servers[8]->disabled = false;
    CHECK(sum_of_sharing() == 256);
    CHECK(w.held == before);
  }
}

TEST_CASE("active and backup servers are scaled apart") {
  World w(3);
  w.view.servers[2]->backup = true;
  for (std::size_t i = 0; i < 3; ++i) w.good(i);
  CHECK(w.weights() == Weights{128, 128, 256});
}

TEST_CASE("a usable backup takes the traffic: the active ones stay at zero") {
  World w(3);
  w.view.servers[2]->backup = true;
  w.bad(0);
  w.bad(1);
  w.good(2);
  CHECK(w.weights() == Weights{0, 0, 256});
  CHECK_FALSE(w.decision().fallback.has_value());
  CHECK(w.decision().healthy == 1);
  SUBCASE("also one that the file does not name") {
    World f(2);
    f.view.usable_foreign_backup = true;
    f.bad(0);
    f.bad(1);
    CHECK(f.weights() == Weights{0, 0});
    CHECK_FALSE(f.decision().fallback.has_value());
  }
}

TEST_CASE("small changes are not worth a push") {
  CHECK_FALSE(worth_pushing(Weights{100, 156}, Weights{100, 156}));
  CHECK_FALSE(worth_pushing(Weights{100, 156}, Weights{124, 132}));
  CHECK(worth_pushing(Weights{100, 156}, Weights{125, 131}));
  CHECK_FALSE(worth_pushing(Weights{20, 236}, Weights{27, 229}));
  CHECK(worth_pushing(Weights{20, 236}, Weights{28, 228}));
  CHECK(worth_pushing(Weights{10, 246}, Weights{15, 241}));
  CHECK(worth_pushing(Weights{1, 255}, Weights{0, 256}));
  CHECK(worth_pushing(Weights{0, 256}, Weights{1, 255}));
  CHECK(worth_pushing(Weights{2, 254}, Weights{3, 253}));
}

TEST_CASE("held weights stay when nothing is worth a push, and all move when something is") {
  World w(2, "inverse-latency");
  w.held = {129, 127};
  w.good(0, 100ms);
  w.good(1, 100ms);
  CHECK(w.weights() == Weights{129, 127});
  w.held = {200, 56};
  CHECK(w.weights() == Weights{128, 128});
}

TEST_CASE("under a hash weights change by half of themselves, and to and from zero as ever") {
  World w(2, "inverse-latency");
  w.view.algorithm = "source";
  w.good(0, 100ms);
  w.good(1, 100ms);
  w.held = {180, 76};
  CHECK(w.weights() == Weights{128, 128});  // 76 grows by 68 %
  w.held = {170, 86};
  CHECK(w.weights() == Weights{170, 86});  // by 49 %
  w.view.algorithm = "roundrobin";
  CHECK(w.weights() == Weights{128, 128});
  w.view.algorithm = "hdr";
  w.backend.hash_dead_band = 0.4;
  CHECK(w.weights() == Weights{128, 128});
  w.held = {150, 106};
  w.backend.hash_dead_band = 0;
  CHECK(w.weights() == Weights{150, 106});  // the dead band of all others
  w.backend.hash_dead_band = 1;
  w.probe.fall = 1;
  w.bad(1);
  CHECK(w.weights() == Weights{256, 0});
}

namespace {

ServerView with_weight(unsigned weight) {
  ServerView out;
  out.weight = weight;
  return out;
}

}  // namespace

TEST_CASE("under a hash what HAProxy has counts where nothing was decided before") {
  World w(2, "inverse-latency");
  w.view.algorithm = "source";
  w.good(0, 100ms);
  w.good(1, 100ms);
  w.held.clear();
  w.view.servers = {with_weight(100), with_weight(100)};
  CHECK(w.weights() == Weights{100, 100});
  w.held.clear();
  w.view.servers = {with_weight(200), with_weight(56)};
  CHECK(w.weights() == Weights{128, 128});
}

TEST_CASE("the lag of a server that does not answer any more is that of now") {
  model::Direct w(3);
  for (std::size_t i = 0; i < 3; ++i) w.good(i, 1000);
  CHECK(w.decide().servers[0].lag_blocks == 0);
  w.pass_time(36s);
  w.bad(0);
  w.good(1, 1003);
  w.good(2, 1003);
  const BackendDecision d = w.decide();
  CHECK(d.servers[0].lag_blocks == 3);
  CHECK(d.servers[1].lag_blocks == 0);
}

TEST_CASE("where nothing is known of any server HAProxy keeps what it has") {
  model::Direct w(2);
  w.bad(0, Reason::kRateLimited);
  w.bad(1, Reason::kRateLimited);
  w.view.servers = {with_weight(151), with_weight(16)};
  const BackendDecision d = w.decide();
  CHECK_FALSE(d.fallback.has_value());
  CHECK_FALSE(d.any_verdict);
  CHECK(w.held == Weights{151, 16});
}

TEST_CASE("under a hash the end of a return is no reason to move clients") {
  World w(2);
  w.view.algorithm = "source";
  w.good(0);
  w.good(1);
  w.held = {150, 106};
  w.history->shares.converging = true;
  CHECK(w.weights() == Weights{150, 106});
  w.view.algorithm = "roundrobin";
  w.history->shares.converging = true;
  CHECK(w.weights() == Weights{128, 128});
}

TEST_CASE("no verdict yet: nothing to push") {
  World w(2);
  CHECK_FALSE(w.decision().any_verdict);
}

TEST_CASE("a server that returns is probed more often for a while, and its share grows as quickly") {
  World w(3);
  w.probe.interval = 5s;
  w.probe.fast_interval = 1s;
  w.good(0);
  w.good(1);
  w.good(2);
  w.history->servers[0].ejection.returned_at = w.now.mono;
  const auto interval = [&] {
    return probe_interval(w.history->servers[0], w.backend.servers[0].target, w.probe, w.now.mono);
  };
  const auto share_after = [&](milliseconds time, bool probed) {
    w.history->shares.last = {0.08, 0.46, 0.46};
    w.history->shares.at = w.now.mono;
    w.now.mono += time;
    if (probed) w.good(0);
    w.decision();
    return w.history->shares.last[0];
  };
  CHECK(interval() == 1s);
  CHECK(share_after(1s, true) == doctest::Approx(0.16));
  // A budget that forbids the probes: nothing new is known of it.
  CHECK(share_after(2s, false) == doctest::Approx(0.08 * 1.4));
  CHECK(interval() == 1s);
  w.now.mono += 3s;
  CHECK(interval() == 5s);
  CHECK(share_after(1s, true) == doctest::Approx(0.08 * 1.2));
}

TEST_CASE("a share grows to the double, or by 8 of 256, for each interval, and falls without limit") {
  World w(2);
  w.probe.interval = 5s;
  w.good(0);
  w.good(1);
  w.history->shares.last = {0.1, 0.9};
  w.history->shares.at = w.now.mono;
  w.now.mono += 5s;
  w.decision();
  CHECK(w.history->shares.last[0] == doctest::Approx(0.2));
  w.history->shares.last = {0.01, 0.99};
  w.now.mono += 5s;
  const BackendDecision d = w.decision();
  CHECK(w.history->shares.last[0] == doctest::Approx(0.01 + 8.0 / 256));
  CHECK(d.servers[0].inputs.limited_by == "growth");
  CHECK(d.servers[1].inputs.limited_by.empty());
}

TEST_CASE("after an ejection no server has more than half of the traffic, until a minute and the ramps are over") {
  World w(4, "adaptive");
  const auto all_good = [&](std::size_t but) {
    for (std::size_t i = 0; i < 4; ++i)
      if (i != but) w.good(i, i == 0 ? 20ms : 200ms);
  };
  all_good(4);
  const BackendDecision calm = w.decision();
  CHECK(calm.servers[0].weight > 190);
  CHECK(calm.servers[0].inputs.limited_by.empty());

  // As fast as the others may grow.
  BackendDecision uneasy;
  for (int i = 0; i < 4; ++i) {
    w.now.mono += 5s;
    w.now.wall += 5s;
    all_good(3);
    w.bad(3, Reason::kHttpStatus);
    uneasy = w.decision();
  }
  REQUIRE(uneasy.servers[3].weight == 0);
  CHECK(uneasy.servers[0].weight == 128);
  CHECK(uneasy.servers[0].inputs.limited_by == "exposure");
  CHECK(uneasy.servers[1].inputs.limited_by.empty());

  // It stays out: that is no news, and says nothing of the others.
  for (int i = 0; i < 12; ++i) {
    w.now.mono += 5s;
    w.now.wall += 5s;
    all_good(3);
    w.bad(3, Reason::kHttpStatus);
    w.decision();
  }
  CHECK(w.decision().servers[0].weight > 190);

  // Back on its ramp.
  const auto back = [&] {
    w.now.mono += 5s;
    w.now.wall += 5s;
    all_good(4);
    return w.decision();
  };
  back();
  back();
  REQUIRE(w.history->servers[3].ejection.returned_at);
  CHECK(back().servers[0].weight == 128);
  for (int i = 0; i < 7; ++i) back();
  CHECK(back().servers[0].weight > 190);
}

TEST_CASE("of two servers one keeps at most three quarters after an ejection, and a last one everything") {
  World w(3, "adaptive");
  w.good(0, 20ms);
  w.good(1, 400ms);
  w.history->servers[2].ejection.is_out = true;
  w.history->servers[2].ejection.since = w.now.mono;
  w.bad(2);
  CHECK(w.weights() == Weights{192, 64, 0});
  World last(2, "adaptive");
  last.good(0, 20ms);
  last.history->servers[1].ejection.is_out = true;
  last.history->servers[1].ejection.since = last.now.mono;
  last.bad(1);
  CHECK(last.weights() == Weights{256, 0});
}

TEST_CASE("growth adds up over many small passes") {
  World w(2);
  w.probe.interval = 5s;
  w.good(0);
  w.good(1);
  w.history->shares.last = {0.05, 0.95};
  w.history->shares.at = w.now.mono;
  for (int i = 0; i < 600; ++i) {
    w.now.mono += 100ms;
    w.decision();
  }
  CHECK(w.history->shares.last[0] == doctest::Approx(0.5));
}

TEST_CASE("when a server falls the others take its part at once, in proportion to what they had") {
  World w(3);
  for (std::size_t i = 0; i < 3; ++i) w.good(i);
  w.decision();
  w.bad(2, Reason::kHttpStatus);
  w.decision();
  w.bad(2, Reason::kHttpStatus);
  CHECK(w.weights() == Weights{128, 128, 0});
}

TEST_CASE("after a start, growth is measured from an old worker's weights, not from a fresh one's") {
  World fresh(2);
  fresh.view.servers[0]->weight = 25;
  fresh.view.servers[1]->weight = 231;
  fresh.view.worker_age = 30s;
  fresh.good(0);
  fresh.good(1);
  CHECK(fresh.weights() == Weights{128, 128});
  World old = World(2);
  old.view = fresh.view;
  old.view.worker_age = 61s;
  old.good(0);
  old.good(1);
  CHECK(old.weights() == Weights{50, 206});
}

TEST_CASE("leader: one has everything, the others stand by; it changes when it falls, in that very pass") {
  World w(3, "leader");
  for (std::size_t i = 0; i < 3; ++i) w.good(i);
  BackendDecision d = w.decision();
  CHECK(d.servers[0].weight == 256);
  CHECK(d.servers[1].weight == 0);
  CHECK(d.servers[1].reasons.at(0) == ReasonNote{Reason::kStandby, "s0 leads"});
  CHECK(d.healthy == 3);
  w.bad(0);
  CHECK(w.weights() == Weights{256, 0, 0});
  w.bad(0);
  CHECK(w.weights() == Weights{0, 256, 0});
}

TEST_CASE("leader: one that has just returned is not given the lead while there is another") {
  World w(3, "leader");
  for (std::size_t i = 0; i < 3; ++i) w.good(i, i == 0 ? 20ms : 80ms);
  w.history->leader.active.leader = 2;
  w.history->leader.looked_up = true;
  // Its ramp is nearly over: its score alone would give it the lead.
  w.history->servers[0].ejection.returned_at = w.now.mono - w.backend.ramp * 9 / 10;
  for (int i = 0; i < 2; ++i) {
    w.bad(2, Reason::kHttpStatus);
    w.decision();
  }
  CHECK(w.weights() == Weights{0, 256, 0});
  // Without another choice it has the lead.
  World two(2, "leader");
  two.good(0);
  two.good(1);
  two.history->leader.active.leader = 1;
  two.history->leader.looked_up = true;
  two.history->servers[0].ejection.returned_at = two.now.mono;
  for (int i = 0; i < 2; ++i) {
    two.bad(1, Reason::kHttpStatus);
    two.decision();
  }
  CHECK(two.weights() == Weights{256, 0});
}

TEST_CASE("leader: after a restart the leader is the one that HAProxy shows") {
  World w(3, "leader");
  for (auto& s : w.view.servers) s->weight = 0;
  w.view.servers[2]->weight = 256;
  for (std::size_t i = 0; i < 3; ++i) w.good(i);
  CHECK(w.weights() == Weights{0, 0, 256});
}

TEST_CASE("leader: a leader chosen before HAProxy could be read gives way to the one that it shows, once") {
  World w(3, "leader");
  const BackendView seen = w.view;
  w.view = {};
  for (std::size_t i = 0; i < 3; ++i) w.good(i);
  CHECK(w.weights() == Weights{256, 0, 0});
  w.view = seen;
  for (auto& s : w.view.servers) s->weight = 0;
  w.view.servers[2]->weight = 256;
  CHECK(w.weights() == Weights{0, 0, 256});
  // Later, what HAProxy shows is our own doing, or that of a writer that is put right.
  w.view.servers[1]->weight = 256;
  w.view.servers[2]->weight = 0;
  CHECK(w.weights() == Weights{0, 0, 256});
}

TEST_CASE("leader: active and backup servers have a leader each, and each keeps its own") {
  World w(4, "leader");
  w.view.servers[2]->backup = true;
  w.view.servers[3]->backup = true;
  for (std::size_t i = 0; i < 4; ++i) w.good(i);
  CHECK(w.weights() == Weights{256, 0, 256, 0});
  for (int probe = 0; probe < 2; ++probe) {
    w.bad(0);
    w.bad(2);
    w.decision();
  }
  CHECK(w.weights() == Weights{0, 256, 0, 256});
  w.now.mono += 1h;
  for (std::size_t i = 0; i < 4; ++i) {
    w.good(i);
    w.decision();
    w.good(i);
    w.decision();
  }
  CHECK(w.decision().healthy == 4);
  CHECK(w.weights() == Weights{0, 256, 0, 256});
}

TEST_CASE("max_share names the servers that it cuts, and gives way when too few are left") {
  for (const config::Scale scale : {config::Scale::kShare, config::Scale::kPeak}) {
    World w(3);
    w.backend.scale = scale;
    w.backend.max_share = 0.5;
    w.backend.servers[0].preference = 3;
    for (std::size_t i = 0; i < 3; ++i) w.good(i);
    BackendDecision d = w.decision();
    CHECK(d.servers[0].weight == 2 * d.servers[1].weight);
    CHECK(d.servers[0].inputs.limited_by == "max_share");
    CHECK(d.servers[1].inputs.limited_by.empty());
    for (int probe = 0; probe < 2; ++probe) {
      w.bad(1);
      w.bad(2);
      d = w.decision();
    }
    CHECK(d.servers[0].weight == 256);
    CHECK(d.servers[0].inputs.limited_by.empty());
  }
}

TEST_CASE("a share that grows toward more than max_share is held by max_share once it is there") {
  World w(2);
  w.probe.interval = 5s;
  w.backend.max_share = 0.6;
  w.backend.servers[0].preference = 9;
  w.good(0);
  w.good(1);
  w.history->shares.last = {0.2, 0.8};
  w.history->shares.at = w.now.mono;
  w.now.mono += 5s;
  CHECK(w.decision().servers[0].inputs.limited_by == "growth");
  w.now.mono += 5s;
  CHECK(w.decision().servers[0].inputs.limited_by == "max_share");
}

TEST_CASE("adaptive: worse in one thing is less, and the inputs tell why") {
  World w(3, "adaptive");
  w.good(0, 40ms);
  w.good(1, 80ms);
  w.good(2, 40ms);
  w.history->servers[2].errors.attempts = 10;
  w.history->servers[2].errors.failures = 2;
  w.history->servers[2].errors.counted_at = w.now.mono;
  const BackendDecision d = w.decision();
  CHECK(d.servers[0].score == doctest::Approx(1.0 / 40));
  CHECK(d.servers[1].score == doctest::Approx(1.0 / 80));
  CHECK(d.servers[2].score == doctest::Approx(1.0 / 40 / (1 + 20 * 2.0 / (10 + 10))));
  for (const ServerDecision& s : d.servers) {
    const ScoreInputs& in = s.inputs;
    const double again = in.preference * *in.freshness * in.failure_penalty * in.peers_factor * in.rate_limit_factor *
                         in.ramp / (std::max(*in.latency_used_ms, 20.0) * (1 + 20 * *in.error_rate));
    CHECK(s.score == doctest::Approx(again));
  }
}

TEST_CASE("a latency that counts for far more than the answers took is told in words") {
  World w(2, "adaptive");
  w.good(0, 40ms);
  w.good(1, 40ms);
  w.history->servers[0].probes.sent_at = w.now.mono;
  w.now.mono += 149ms;
  CHECK(slowness_text(w.decision().servers[0]) == "");
  w.now.mono += 1s;
  const BackendDecision d = w.decision();
  CHECK(slowness_text(d.servers[0]) == "no answer yet or slow: scored with 8.8 s, its usual latency is 40 ms");
  CHECK(slowness_text(d.servers[1]) == "");
  CHECK(d.servers[0].score < d.servers[1].score / 200);
}

TEST_CASE("a score that falls takes its share along at once, however slowly the others may grow by themselves") {
  World w(3);
  for (std::size_t i = 0; i < 3; ++i) w.good(i);
  w.decision();
  w.now.mono += 100ms;
  w.bad(2, Reason::kHttpStatus);
  CHECK(w.weights() == Weights{103, 102, 51});
}

TEST_CASE("a single lost packet costs its moment, not the minute after it") {
  World w(5, "adaptive");
  const auto round = [&] {
    for (std::size_t i = 0; i < 5; ++i) w.good(i);
    w.held = w.weights();
  };
  for (int i = 0; i < 20; ++i) {
    w.now.mono += MonoTime{5s};
    w.now.wall += 5s;
    round();
  }
  const Weights before = w.held;
  w.now.mono += MonoTime{3s};
  w.bad(1);
  w.held = w.weights();
  CHECK(w.held[1] < before[1] / 10);
  // Others decide meanwhile.
  for (int i = 0; i < 5; ++i) {
    w.now.mono += MonoTime{200ms};
    w.good(0);
    w.held = w.weights();
  }
  w.good(1);
  w.held = w.weights();
  CHECK(w.held[1] > before[1] / 2);
}

TEST_CASE("after an outage of all the first one back does not make the others begin from nothing") {
  Reason why{};
  SUBCASE("of the network") {
    why = Reason::kConnectFailed;
  }
  SUBCASE("of the providers") {
    why = Reason::kHttpStatus;
  }
  World w(4);
  for (std::size_t i = 0; i < 4; ++i) w.good(i);
  w.held = w.weights();
  const auto pass = [&] {
    w.now.mono += MonoTime{1s};
    w.now.wall += 1s;
  };
  for (int round = 0; round < 4; ++round) {
    pass();
    for (std::size_t i = 0; i < 4; ++i) w.bad(i, why);
    w.held = w.weights();
  }
  CHECK(w.held == Weights{64, 64, 64, 64});
  const auto back = [&](std::size_t up_to) {
    pass();
    for (std::size_t i = 0; i < up_to; ++i) w.good(i);
    w.held = w.weights();
  };
  back(1);
  back(1);
  CHECK(w.held == Weights{256, 0, 0, 0});
  for (int i = 0; i < 10; ++i) back(1);
  back(4);
  back(4);
  // Ten seconds later their places are still theirs, nearly.
  for (const unsigned weight : w.held) {
    CHECK(weight >= 45);
    CHECK(weight <= 110);
  }
}

TEST_CASE("a server that gets worse loses its share at once, though the others may grow only so fast") {
  World w(3, "adaptive");
  for (std::size_t i = 0; i < 3; ++i) w.good(i, i == 0 ? 20ms : 100ms);
  w.held = w.weights();
  CHECK(w.held[0] > 170);
  // Its median is a second, and smoothed within a few passes.
  for (int i = 0; i < 6; ++i) {
    w.now.mono += MonoTime{1s};
    w.now.wall += 1s;
    w.good(0, 1s);
    w.held = w.weights();
  }
  CHECK(w.history->servers[0].latency.smoothed_ms.value() > 200);
  CHECK(w.held[0] < 70);
}

TEST_CASE("the first one back after an outage of all is no liar: its blocks are dated as the chain's") {
  World w(3);
  for (std::size_t i = 0; i < 3; ++i) w.good(i);
  w.held = w.weights();
  // All stand still for two minutes.
  for (int i = 0; i < 24; ++i) {
    w.now.mono += MonoTime{5s};
    w.now.wall += 5s;
    for (std::size_t k = 0; k < 3; ++k) w.good(k, 40ms, 1s + 5s * (i + 1));
    w.held = w.weights();
  }
  const auto fresh = [&] {
    w.now.mono += MonoTime{5s};
    w.now.wall += 5s;
    fold(w.history->servers[1], HeadObservation{w.now, 40ms, Head{110, "0x110", w.now.wall - 1s}});
    for (const std::size_t k : {0U, 2U}) w.good(k, 40ms, 126s);
    w.held = w.weights();
  };
  fresh();
  fresh();
  CHECK(w.held == Weights{0, 256, 0});
}

TEST_CASE("what an operator took out returns by ramp, as what was ejected does") {
  World w(2, "adaptive");
  w.backend.ramp = 40s;
  const auto pass = [&](milliseconds t) {
    w.now.mono += t;
    w.now.wall += t;
    w.good(0);
    w.good(1);
    return w.decision().servers[0];
  };
  CHECK(pass(0s).state == State::kHealthy);
  w.view.servers[0]->disabled = true;
  CHECK(pass(5s).state == State::kDisabled);
  w.view.servers[0]->disabled = false;
  CHECK(pass(5s).state == State::kDegraded);
  const ServerDecision later = pass(10s);
  CHECK(later.inputs.ramp == doctest::Approx(std::sqrt(0.5)));
  REQUIRE(later.reasons.size() == 1);
  CHECK(later.reasons[0].code == Reason::kWarmingUp);
  CHECK(pass(31s).state == State::kHealthy);

  w.backend.ramp = 0s;
  w.view.servers[0]->disabled = true;
  pass(5s);
  w.view.servers[0]->disabled = false;
  CHECK(pass(5s).state == State::kHealthy);
}
