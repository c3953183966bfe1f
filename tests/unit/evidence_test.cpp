// Evidence that misleads: providers that contradict themselves, that fail for a while, or that claim what cannot be.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "model/direct.hpp"
#include "weighter/cadence.hpp"
#include "weighter/judge/judge.hpp"
#include "weighter/schedule/agenda.hpp"

using namespace rpcw;
using rpcw::model::Direct;
using namespace std::chrono_literals;

namespace {

using Weights = std::vector<unsigned>;

struct World : Direct {
  explicit World(std::size_t servers, std::string_view strategy = "adaptive") : Direct(servers, strategy) {}

  BackendVerdict verdict() { return judge(*history, backend, probe, now); }
  TargetHistory& target(std::size_t i) { return history->servers[i]; }
  void refuse(std::size_t i, CheckKind kind, Reason why = Reason::kRpcError) {
    fold(target(i), Answer{now, {kind}, std::unexpected(ProbeFailure{why, "no", {}})}, backend.chain);
  }
  std::vector<Check> due(std::size_t i) { return due_checks(target(i), false, {}, backend, now.mono); }
  bool asks(std::size_t i, CheckKind kind) {
    return std::ranges::any_of(due(i), [&](const Check& a) { return a.kind == kind; });
  }
  void all_good(std::uint64_t number, milliseconds age = 1s) {
    for (std::size_t i = 0; i < backend.servers.size(); ++i) good(i, number, age);
  }
};

bool has(const ServerVerdict& v, Reason code) {
  return std::ranges::any_of(v.reasons, [&](const ReasonNote& n) { return n.code == code; });
}

}  // namespace

// ---- silence and rate limits

TEST_CASE("a time-out followed by rate limits is no longer silence: an answer came") {
  World w(2);
  w.all_good(100);
  w.decide();
  w.bad(0);
  CHECK(w.verdict().servers[0].latency_used_ms.value() > 1000);
  for (int i = 0; i < 3; ++i) {
    w.pass_time(5s);
    w.bad(0, Reason::kRateLimited);
    w.good(1, 100);
    const ServerVerdict v = w.verdict().servers[0];
    CHECK(v.latency_used_ms.value() == doctest::Approx(40));
    CHECK(v.rate_limit_factor == 0.25);
  }
}

// ---- checks besides the head

TEST_CASE("identity is asked again soon after a refusal, and at once after a recovery") {
  World w(3);
  w.target(0).identity.status = IdentityHistory::Status::kUnknown;
  w.good(0, 100);
  REQUIRE(w.asks(0, CheckKind::kIdentity));
  w.unsupported(0, {CheckKind::kIdentity});
  w.pass_time(60s);
  CHECK(w.asks(0, CheckKind::kIdentity));
  w.unsupported(0, {CheckKind::kIdentity});

  // A refusal like all others does not cost an hour either.
  w.pass_time(60s);
  for (int i = 0; i < 10; ++i) {
    if (w.asks(0, CheckKind::kIdentity)) w.refuse(0, CheckKind::kIdentity);
    w.pass_time(6s);
  }
  CHECK(w.target(0).identity.check.due - w.now.mono <= kIdentityEvery);
  w.bad(0, Reason::kHttpStatus);
  if (w.asks(0, CheckKind::kIdentity)) w.refuse(0, CheckKind::kIdentity, Reason::kHttpStatus);
  w.pass_time(1s);
  w.good(0, 101);
  CHECK(w.asks(0, CheckKind::kIdentity));
}

TEST_CASE("an identity that is never told is asked for at most once a minute in the long run") {
  World w(2);
  w.target(0).identity.status = IdentityHistory::Status::kUnknown;
  unsigned asked = 0;
  for (int second = 0; second < 3600; ++second) {
    w.pass_time(1s);
    w.good(0, 100);
    if (!w.asks(0, CheckKind::kIdentity)) continue;
    ++asked;
    w.refuse(0, CheckKind::kIdentity);
  }
  CHECK(asked >= 60);
  CHECK(asked <= 70);
}

TEST_CASE("a check is dropped only when its method was not found twice while heads came") {
  World w(2);
  const Check syncing{CheckKind::kSyncing};
  SUBCASE("a status or words are no such answer: it is asked again at its usual time") {
    w.good(0, 100);
    for (int i = 0; i < 5; ++i) {
      REQUIRE(w.asks(0, CheckKind::kSyncing));
      w.refuse(0, CheckKind::kSyncing, Reason::kHttpStatus);
      w.pass_time(kNodeStateEvery);
    }
  }
  SUBCASE("once is not enough, twice is") {
    w.good(0, 100);
    REQUIRE(w.asks(0, CheckKind::kSyncing));
    w.unsupported(0, syncing);
    w.pass_time(kNodeStateEvery);
    REQUIRE(w.asks(0, CheckKind::kSyncing));
    w.unsupported(0, syncing);
    w.pass_time(23h);
    CHECK_FALSE(w.asks(0, CheckKind::kSyncing));
    w.pass_time(1h);
    CHECK(w.asks(0, CheckKind::kSyncing));
  }
  SUBCASE("while the head fails it says nothing") {
    w.good(0, 100);
    for (int i = 0; i < 4; ++i) {
      w.bad(0, Reason::kHttpStatus);
      REQUIRE(w.asks(0, CheckKind::kSyncing));
      w.unsupported(0, syncing);
      w.pass_time(kNodeStateEvery);
    }
  }
}

TEST_CASE("a server that was verified and now tells nothing gets no more than it had") {
  for (const std::string_view strategy : {"adaptive", "equal", "inverse-latency"}) {
    CAPTURE(strategy);
    World w(2, strategy);
    w.backend.eject_time = 0s;
    w.backend.ramp = 0s;
    w.all_good(1000);
    CHECK(w.weights() == Weights{128, 128});
    for (int i = 0; i < 3; ++i) {
      w.pass_time(5s);
      w.bad(0, Reason::kHttpStatus);
      w.refuse(0, CheckKind::kIdentity, Reason::kHttpStatus);
      w.good(1, 1000);
      w.decide();
    }
    CHECK(w.held == Weights{0, 256});
    // It answers again, perhaps as another chain, and does not say as which.
    for (int i = 0; i < 20; ++i) {
      w.pass_time(5s);
      w.good(0, 998);
      w.refuse(0, CheckKind::kIdentity);
      w.good(1, 1000);
      w.decide();
      CHECK(w.held[0] <= 1);
    }
    w.answer(0, {CheckKind::kIdentity}, 1);
    for (int i = 0; i < 10; ++i) {
      w.pass_time(5s);
      w.all_good(1000);
      w.decide();
    }
    CHECK(w.held[0] > 100);
  }
}

TEST_CASE("a server that tells its chain no more keeps its share, and no leader is made of it") {
  World w(2);
  w.all_good(1000);
  CHECK(w.weights() == Weights{128, 128});
  for (int i = 0; i < 20; ++i) {
    w.pass_time(5s);
    w.refuse(0, CheckKind::kIdentity);
    w.good(0, 1000, 1s, 21ms);
    w.good(1, 1000, 1s, 400ms);
    w.decide();
  }
  CHECK(w.held[0] == 128);

  World leader(3, "leader");
  leader.all_good(1000);
  CHECK(leader.weights() == Weights{256, 0, 0});
  leader.refuse(1, CheckKind::kIdentity);
  for (int i = 0; i < 2; ++i) {
    leader.pass_time(1s);
    leader.bad(0, Reason::kConnectFailed);
    leader.good(1, 1000);
    leader.good(2, 1000);
    leader.decide();
  }
  CHECK(leader.held == Weights{0, 0, 256});
}

// ---- what a node says and what it shows

TEST_CASE("a node that says it lacks 300,000 blocks while its head is level with the others' is not syncing") {
  World w(3);
  w.all_good(1000);
  w.answer(0, {CheckKind::kSyncing}, 300'000);
  CHECK(w.verdict().servers[0].state == State::kHealthy);
  w.pass_time(5s);
  // Nor is it asked again at once, as one in doubt would be.
  w.target(0).node.syncing_check = {.due = w.now.mono + 60s, .sent_at = w.now.mono};
  w.pass_time(5s);
  CHECK_FALSE(w.asks(0, CheckKind::kSyncing));

  // Behind the others, or with none to compare with, its word counts.
  World behind(3);
  behind.good(0, 990);
  behind.good(1, 1000);
  behind.good(2, 1000);
  behind.answer(0, {CheckKind::kSyncing}, 300'000);
  CHECK(has(behind.verdict().servers[0], Reason::kSyncing));
  World lone(1);
  lone.good(0, 1000);
  lone.answer(0, {CheckKind::kSyncing}, 300'000);
  CHECK(has(lone.verdict().servers[0], Reason::kSyncing));
}

TEST_CASE("a server whose head alternates between the tip and block 16 is not healthy") {
  for (const bool ages : {true, false}) {
    CAPTURE(ages);
    World w(2);
    if (!ages) w.backend.chain.max_block_age.reset();
    std::uint64_t tip = 24'000'000;
    w.all_good(tip);
    w.decide();
    const auto rounds = [&](int count, bool alternates) {
      for (int i = 0; i < count; ++i) {
        w.pass_time(6s);
        tip += static_cast<std::uint64_t>(i % 2);
        if (alternates && i % 2 == 0)
          w.good(0, 16, 100'000h);
        else
          w.good(0, tip);
        w.good(1, tip);
        w.decide();
      }
    };
    rounds(8, true);
    CHECK(w.held == Weights{0, 256});
    // As long as it recurs, and whichever of the two heads came last.
    for (int i = 0; i < 40; ++i) {
      rounds(2, true);
      REQUIRE(w.held == Weights{0, 256});
      const ServerVerdict v = w.verdict().servers[0];
      REQUIRE(v.state == State::kEjected);
      REQUIRE(has(v, Reason::kBlockLag));
    }
    rounds(120, false);
    CHECK(w.held[0] > 0);
  }
}

TEST_CASE("a head that falls back once is judged by its lag alone") {
  World w(2);
  w.all_good(1000);
  w.decide();
  w.pass_time(5s);
  w.good(0, 500, 40s);
  w.good(1, 1000);
  w.decide();
  for (std::uint64_t n = 1000; n < 1010; ++n) {
    w.pass_time(5s);
    w.all_good(n);
    const ServerVerdict v = w.verdict().servers[0];
    CHECK(v.state == State::kHealthy);
  }
}

// ---- what an old process knew

TEST_CASE("a state that is 40 minutes old, or holds a head from the future, delays no server") {
  const auto woken = [](World& w, milliseconds slept) {
    w.pass_time(slept);
    for (TargetHistory& t : w.history->servers) t = awoken(std::move(t), slept, w.now, w.history->clock.behind);
    for (std::size_t i = 0; i < 3; ++i) w.answer(i, {CheckKind::kIdentity}, 1);
  };
  const auto decided = [](World& w) {
    w.all_good(1200);
    for (const ServerDecision& s : w.decide().servers) CHECK(s.state == State::kHealthy);
  };
  SUBCASE("ejected then") {
    World w(3);
    w.all_good(1000);
    w.decide();
    for (int i = 0; i < 3; ++i) {
      w.pass_time(5s);
      w.bad(0);
      w.good(1, 1000);
      w.good(2, 1000);
      w.decide();
    }
    REQUIRE(w.held[0] == 0);
    woken(w, 40min);
    decided(w);
  }
  SUBCASE("limited at the first probe") {
    World w(3);
    w.all_good(1000);
    w.decide();
    woken(w, 40min);
    w.bad(0, Reason::kRateLimited);
    w.good(1, 1200);
    w.good(2, 1200);
    CHECK(w.decide().servers[0].state == State::kUnknown);
    w.pass_time(5s);
    decided(w);
  }
  SUBCASE("a head from the future") {
    World w(3);
    w.good(0, 1190, -3600s);
    w.good(1, 1000);
    w.good(2, 1000);
    w.decide();
    REQUIRE(w.held[0] == 0);
    woken(w, 1s);
    decided(w);
  }
  SUBCASE("all heads from the future: the clock is behind, and all is as it was") {
    World w(3);
    for (std::size_t i = 0; i < 3; ++i) w.good(i, 1000, -20s);
    w.decide();
    woken(w, 1s);
    for (std::size_t i = 0; i < 3; ++i) CHECK(w.target(i).heads.newest.has_value());
  }
  SUBCASE("a minute old, all is as it was") {
    World w(3);
    w.all_good(1000);
    w.decide();
    w.bad(0);
    w.decide();
    woken(w, 60s);
    CHECK(w.target(0).probes.failure.has_value());
    CHECK(w.target(1).heads.newest.has_value());
  }
}

TEST_CASE("what this machine cannot ask says nothing about the provider") {
  World w(2);
  w.all_good(1000);
  w.decide();
  const std::vector<unsigned> before = w.held;
  for (int i = 0; i < 5; ++i) {
    w.pass_time(5s);
    ProbeFailure f{Reason::kConnectFailed, "no socket", {}};
    f.ours = true;
    fold(w.target(0), HeadObservation{w.now, 0s, std::unexpected(f)});
    fold(w.target(0), Answer{w.now, {CheckKind::kIdentity}, std::unexpected(f)}, w.backend.chain);
    w.good(1, 1000);
    const BackendDecision d = w.decide();
    CHECK(d.servers[0].state == State::kDegraded);
    CHECK(d.servers[0].reasons == std::vector<ReasonNote>{{Reason::kConnectFailed, "no socket"}});
    CHECK(w.held == before);
  }
  CHECK_FALSE(must_tell_identity(w.target(0)));
  w.good(0, 1000);
  CHECK(w.decide().servers[0].state == State::kHealthy);
}

// ---- claims above a majority

TEST_CASE("two of five that claim 500 blocks more at a fresh start get nothing") {
  World w(5);
  for (std::size_t i = 0; i < 5; ++i) w.good(i, i < 2 ? 1500 : 1000, 5s);
  const BackendDecision d = w.decide();
  REQUIRE(d.head.has_value());
  CHECK(d.head->number == 1000);
  CHECK(d.head->agreed_by >= 3);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(w.held[i] == 0);
    CHECK(d.servers[i].reasons.at(0).code == Reason::kBlockAhead);
  }
  for (std::size_t i = 2; i < 5; ++i) CHECK(d.servers[i].state == State::kHealthy);
  CHECK(w.held[2] + w.held[3] + w.held[4] == 256);
}

TEST_CASE("a majority that stands still is behind, whatever its number") {
  World w(5);
  w.backend.chain.max_block_age = 3600s;
  for (std::size_t i = 0; i < 5; ++i) w.good(i, i < 2 ? 1500 : 1000, i < 2 ? 5s : 2400s);
  const BackendDecision d = w.decide();
  REQUIRE(d.head.has_value());
  CHECK(d.head->number == 1500);
  for (std::size_t i = 2; i < 5; ++i) CHECK(d.servers[i].reasons.at(0).code == Reason::kBlockLag);
}

TEST_CASE("fresh heads without a majority have no quorum") {
  World four(4);
  for (std::size_t i = 0; i < 4; ++i) four.good(i, i < 2 ? 1500 : 1000, 5s);
  BackendDecision d = four.decide();
  CHECK_FALSE(d.head.has_value());
  REQUIRE(d.notes.size() == 1);
  CHECK(d.notes[0].code == "no_quorum");
  for (const ServerDecision& s : d.servers) CHECK(s.state == State::kHealthy);

  World three(3);
  for (std::size_t i = 0; i < 3; ++i) three.good(i, 1000 + 100 * i, 5s);
  d = three.decide();
  CHECK_FALSE(d.head.has_value());
  CHECK(d.notes.at(0).code == "no_quorum");
}

TEST_CASE("a chain that goes on is no minority's claim, however the answers come in") {
  World w(5);
  std::uint64_t number = 1000;
  for (int round = 0; round < 30; ++round) {
    w.pass_time(12s);
    ++number;
    // The first two are asked just after the block, the others just before it.
    for (std::size_t i = 0; i < 5; ++i) w.good(i, i < 2 ? number : number - 1, i < 2 ? 0s : 12s);
    for (const ServerDecision& s : w.decide().servers) REQUIRE(s.state == State::kHealthy);
  }
}
