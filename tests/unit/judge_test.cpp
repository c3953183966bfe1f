#include "weighter/judge/judge.hpp"

#include <doctest/doctest.h>

#include "unit/judged_world.hpp"
#include "weighter/judge/ejection.hpp"
#include "weighter/schedule/agenda.hpp"

using namespace rpcw;
using namespace rpcw::test;
using namespace std::chrono_literals;

TEST_CASE("a server that never answered is unknown, not healthy and not down") {
  JudgedWorld w(1);
  CHECK(w.state() == State::kUnknown);
}

TEST_CASE("the first verdict decides alone") {
  JudgedWorld w(2);
  w.good(0, 100);
  w.bad(1);
  const BackendVerdict v = w.verdict();
  CHECK(v.servers[0].state == State::kHealthy);
  CHECK(v.servers[1].state == State::kEjected);
  CHECK(v.servers[1].reasons == std::vector<ReasonNote>{{Reason::kTimeout, "it failed"}});
}

TEST_CASE("one failure halves, two take it out; one success is not enough to return, two are") {
  JudgedWorld w(2);
  w.backend.eject_time = 0s;
  w.good(0, 100);
  w.good(1, 100);
  CHECK(w.state() == State::kHealthy);
  w.bad(0, Reason::kHttpStatus);
  CHECK(w.verdict().servers[0].failure_penalty == 0.5);
  CHECK(w.state() == State::kDegraded);
  w.bad(0, Reason::kHttpStatus);
  CHECK(w.state() == State::kEjected);
  w.good(0, 101);
  CHECK(w.state() == State::kEjected);
  w.good(0, 102);
  CHECK(w.state() == State::kDegraded);
  CHECK(w.verdict().servers[0].reasons.at(0).code == Reason::kWarmingUp);
}

TEST_CASE("judging again without a new answer counts nothing") {
  JudgedWorld w(1);
  w.good(0, 100);
  CHECK(w.state() == State::kHealthy);
  w.bad(0);
  for (int i = 0; i < 5; ++i) CHECK(w.state() == State::kDegraded);
}

TEST_CASE("a head older than max_block_age is a failure, at the limit it is not") {
  JudgedWorld w(1);
  w.good(0, 100, 60s);
  CHECK(w.state() == State::kHealthy);
  w.good(0, 100, 60001ms);
  CHECK(w.state() == State::kDegraded);
  w.backend.chain.max_block_age.reset();
  w.good(0, 100, std::chrono::hours{24});
  CHECK(w.state() == State::kHealthy);
}

TEST_CASE("an interval longer than max_block_age makes no block too old that was fresh when it was told") {
  JudgedWorld w(2);
  w.backend.servers[0].target.pace.interval = 282s;
  w.good(0, 100, 12s);
  w.good(1, 100, 12s);
  CHECK(w.state(0) == State::kHealthy);
  w.pass_time(280s);
  // The other one is asked every few seconds, and its answers ceased: that is its own.
  CHECK(w.state(0) == State::kHealthy);
  CHECK(w.state(1) != State::kHealthy);
  // The next answer is judged as ever.
  w.good(0, 101, 61s);
  CHECK(w.verdict().servers[0].reasons.at(0).code == Reason::kBlockTooOld);
  // One that is overdue is too old after all.
  w.good(0, 102, 1s);
  CHECK(w.state(0) == State::kHealthy);
  w.pass_time(282s + 61s);
  CHECK(w.state(0) != State::kHealthy);
}

TEST_CASE("latency is judged by the median of three: one slow answer is no reason") {
  JudgedWorld w(1);
  w.good(0, 100);
  w.good(0, 100, 1s, 2500ms);
  w.good(0, 100);
  CHECK(w.state() == State::kHealthy);
  w.good(0, 100, 1s, 2500ms);
  CHECK(w.verdict().servers[0].reasons.at(0).code == Reason::kLatencyTooHigh);
}

TEST_CASE("the wrong chain gets nothing, whatever else is right") {
  JudgedWorld w(1);
  fold(w.history->servers[0], Answer{w.now, {CheckKind::kIdentity}, AnswerValue{0, "56"}}, w.backend.chain);
  w.good(0, 100);
  const ServerVerdict v = w.verdict().servers[0];
  CHECK(v.disqualified);
  CHECK(v.state == State::kEjected);
  CHECK(v.reasons.at(0) == ReasonNote{Reason::kWrongChain, "answers for chain 56, ethereum is 1"});
}

TEST_CASE("an identity that cannot be had changes nothing") {
  JudgedWorld w(1);
  fold(w.history->servers[0],
       Answer{w.now, {CheckKind::kIdentity}, std::unexpected(ProbeFailure{Reason::kTimeout, "", {}})}, w.backend.chain);
  CHECK(w.history->servers[0].identity.status == IdentityHistory::Status::kVerified);
}

TEST_CASE("a rate limit is neither success nor failure") {
  JudgedWorld w(1);
  w.good(0, 100);
  CHECK(w.state() == State::kHealthy);
  for (int i = 0; i < 5; ++i) {
    w.bad(0, Reason::kRateLimited);
    const ServerVerdict v = w.verdict().servers[0];
    CHECK(v.state == State::kDegraded);
    CHECK(v.rate_limit_factor == 0.25);
  }
}

TEST_CASE("the agreed head") {
  const auto agree = [](std::vector<Vote> votes) { return agree_on_head(votes, 12s, 30s); };
  CHECK_FALSE(agree({}).has_value());
  CHECK(agree({{"a", 7}}) == AgreedHead{7, 1});
  CHECK(agree({{"a", 7}, {"b", 9}}) == AgreedHead{9, 1});
  SUBCASE("two that are too far apart have none") {
    CHECK_FALSE(agree({{"a", 7}, {"b", 10}}).has_value());
  }
  SUBCASE("of three, the highest that two have reached: one liar moves nothing") {
    CHECK(agree({{"a", 100}, {"b", 30'000'000}, {"c", 101}}) == AgreedHead{101, 2});
  }
  SUBCASE("two keys at one vendor are one voice, the freshest") {
    CHECK(agree({{"a", 100}, {"liar", 500}, {"liar", 501}, {"b", 101}}) == AgreedHead{101, 2});
    CHECK(agree({{"a", 99}, {"a", 100}}) == AgreedHead{100, 1});
  }
}

TEST_CASE("lag is told in blocks and seconds, and is a failure above max_lag") {
  JudgedWorld w(3);
  w.good(0, 100);
  w.good(1, 100);
  w.good(2, 98);
  ServerVerdict near = w.verdict().servers[2];
  CHECK(near.state == State::kDegraded);
  CHECK(near.freshness == doctest::Approx(0.375));
  CHECK(near.failure_penalty == 1.0);
  w.good(2, 97);
  const ServerVerdict v = w.verdict().servers[2];
  CHECK(v.state == State::kDegraded);
  CHECK(v.reasons.at(0) == ReasonNote{Reason::kBlockLag, "3 blocks (36 s) behind 100, limit 30 s"});
}

TEST_CASE("a server does not fall behind merely because the others were asked after it") {
  JudgedWorld w(3);
  w.all_good(100);
  w.verdict();
  w.pass_time(5s);
  w.good(1, 110);
  w.good(2, 110);
  CHECK(w.verdict().servers[0].state == State::kHealthy);
}

TEST_CASE("a reference has no state, and tells what would count against a server") {
  JudgedWorld w(2);
  w.backend.references.resize(2);
  w.restart();
  w.all_good(100);
  w.good(2, 98, 25s, 40ms);
  std::vector<ReferenceVerdict> references = w.verdict().references;
  REQUIRE(references.size() == 2);
  CHECK(references[0].reasons.empty());
  CHECK(references[0].head->number == 98);
  CHECK(references[0].head_age == 25s);
  CHECK(references[0].lag_blocks == 2);
  CHECK(references[0].latency == 40ms);
  CHECK_FALSE(references[1].head.has_value());
  CHECK(references[1].reasons.empty());

  w.bad(2);
  w.answer(3, {CheckKind::kIdentity}, 56);
  w.good(3, 100);
  references = w.verdict().references;
  CHECK(references[0].reasons == std::vector<ReasonNote>{{Reason::kTimeout, "it failed"}});
  CHECK(references[0].lag_blocks == 2);
  CHECK(references[1].reasons.at(0).code == Reason::kWrongChain);
}

TEST_CASE("a head 30 million ahead ejects its own server alone") {
  JudgedWorld w(3);
  w.good(0, 100);
  w.good(1, 100);
  w.good(2, 30'000'100);
  const BackendVerdict v = w.verdict();
  CHECK(v.servers[0].state == State::kHealthy);
  CHECK(v.servers[1].state == State::kHealthy);
  CHECK(v.servers[2].state == State::kEjected);
  CHECK(v.servers[2].disqualified);
  CHECK(v.servers[2].reasons.at(0).code == Reason::kBlockAhead);
}

TEST_CASE("an unverified server has no vote on the head") {
  JudgedWorld w(3);
  w.history->servers[1].identity.status = IdentityHistory::Status::kUnknown;
  w.history->servers[2].identity.status = IdentityHistory::Status::kWrong;
  w.good(0, 100);
  w.good(1, 900);
  w.good(2, 900);
  CHECK(w.verdict().head == AgreedHead{100, 1});
}

TEST_CASE("blind: no provider gave any HTTP answer") {
  JudgedWorld w(2);
  w.bad(0, Reason::kConnectFailed);
  w.bad(1, Reason::kDnsFailed);
  CHECK(w.verdict().blind);
  w.bad(1, Reason::kHttpStatus);
  CHECK_FALSE(w.verdict().blind);
}

TEST_CASE("a head that stands still and begins to lag is asked for more often") {
  JudgedWorld w(3);
  const auto both_at = [&](std::uint64_t n) {
    w.pass_time(12s);
    for (std::size_t i = 1; i < 3; ++i) w.good(i, n);
  };
  w.all_good(100);
  w.verdict();
  for (std::uint64_t n = 101; n <= 102; ++n) {
    both_at(n);
    w.good(0, 100);
    w.verdict();
    CHECK(probe_interval(w.history->servers[0], w.backend.servers[0].target, w.probe, w.now.mono) ==
          (n == 101 ? w.probe.interval : w.probe.fast_interval));
  }
  // It still lags, but goes on.
  both_at(103);
  w.good(0, 101);
  w.verdict();
  CHECK(probe_interval(w.history->servers[0], w.backend.servers[0].target, w.probe, w.now.mono) == w.probe.interval);
}

TEST_CASE("without an agreed head no server is known to lag, nor is asked more often for it") {
  JudgedWorld w(3);
  w.all_good(100);
  w.verdict();
  for (std::uint64_t n = 101; n <= 102; ++n) {
    w.pass_time(12s);
    w.good(0, 100);
    for (std::size_t i = 1; i < 3; ++i) w.good(i, n);
    w.verdict();
  }
  REQUIRE(w.history->servers[0].heads.slipping);
  w.history->servers[0].heads.lag_blocks.reset();
  w.verdict();
  CHECK_FALSE(w.history->servers[0].heads.slipping);
}

TEST_CASE("freshness is full up to one block and 2 s, then linear down to 0 at max_lag") {
  CHECK(freshness(0s, 12s, 30s) == 1.0);
  CHECK(freshness(14s, 12s, 30s) == 1.0);
  CHECK(freshness(22s, 12s, 30s) == doctest::Approx(0.5));
  CHECK(freshness(24s, 12s, 30s) == doctest::Approx(0.375));
  CHECK(freshness(30s, 12s, 30s) == 0.0);
  CHECK(freshness(1s, 60s, 30s) == 1.0);
}

TEST_CASE("a silent server loses before its time-out, and a failed one keeps what its silence cost") {
  JudgedWorld w(1);
  w.good(0, 100);
  w.history->servers[0].probes.sent_at = w.now.mono;
  w.pass_time(149ms);
  CHECK(w.verdict().servers[0].latency_used_ms == doctest::Approx(40));
  CHECK_FALSE(w.verdict().servers[0].unanswered_ms);
  w.pass_time(1ms);
  w.pass_time(150ms);
  CHECK(w.verdict().servers[0].latency_used_ms == doctest::Approx(600));
  CHECK(w.verdict().servers[0].unanswered_ms == doctest::Approx(300));
  w.pass_time(700ms);
  CHECK(w.verdict().servers[0].latency_used_ms == doctest::Approx(1000.0 * 1000 / 150));
  w.bad(0);
  CHECK(w.verdict().servers[0].latency_used_ms == doctest::Approx(3000.0 * 3000 / 150));
  w.good(0, 101);
  CHECK(w.verdict().servers[0].latency_used_ms.value() < 60);
  CHECK_FALSE(w.verdict().servers[0].unanswered_ms);
}

TEST_CASE("a latency that rose is believed sooner than one that fell") {
  JudgedWorld w(1);
  for (int i = 0; i < 3; ++i) w.good(0, 100, 1s, 100ms);
  const auto after = [&](milliseconds latency, int probes) {
    for (int i = 0; i < probes; ++i) {
      w.pass_time(5s);
      w.good(0, 100, 1s, latency);
    }
    return w.verdict().servers[0].latency_used_ms.value();
  };
  const double risen = after(200ms, 4);
  CHECK(risen > 150);
  const double fallen = after(100ms, 4);
  CHECK(fallen > 130);
  CHECK(fallen < risen);
}

TEST_CASE("a head that jumps further than time explains is out, until another one confirms it") {
  JudgedWorld w(2);
  w.good(0, 100);
  w.good(1, 100);
  w.verdict();
  w.pass_time(5s);
  w.good(1, 100);
  w.good(0, 5100, 0s);
  const BackendVerdict v = w.verdict();
  CHECK(v.servers[0].disqualified);
  CHECK(v.servers[1].state == State::kHealthy);
  CHECK(v.head == AgreedHead{100, 1});
  CHECK_FALSE(v.servers[0].reasons.empty());
  w.pass_time(5s);
  w.good(0, 5100, 0s);
  w.good(1, 5099, 0s);
  CHECK(w.verdict().head->number >= 5099);
}

TEST_CASE("a node that catches up does not jump: its blocks are dated accordingly") {
  JudgedWorld w(2);
  w.good(0, 100, 6000s);
  w.good(1, 600, 0s);
  w.verdict();
  w.pass_time(5s);
  w.good(0, 600, 5s);
  w.good(1, 600, 5s);
  w.verdict();
  CHECK_FALSE(w.history->servers[0].heads.jumped);
}

TEST_CASE("a node that catches up is not ahead, though its operator has no other and its blocks have no time") {
  JudgedWorld w(2, {"own", "own"});
  w.good(0, 100);
  w.good(1, 5000);
  w.verdict();
  for (const std::uint64_t number : {2000U, 4000U, 5001U}) {
    w.pass_time(5s);
    w.good(0, number, 0s);
    w.good(1, 5001, 0s);
    CAPTURE(number);
    CHECK_FALSE(w.verdict().servers[0].disqualified);
  }
  // Beyond the other one it is.
  w.pass_time(5s);
  w.good(1, 5002, 0s);
  w.good(0, 9000, 0s);
  CHECK(w.verdict().servers[0].disqualified);
}

TEST_CASE("of two that contradict each other the one whose blocks are old has no traffic") {
  // Block time 12 s, max_lag 30 s: four blocks are 48 s.
  JudgedWorld w(2);
  std::uint64_t number = 1000;
  const auto pass = [&](std::uint64_t behind) {
    w.pass_time(12s);
    ++number;
    w.good(0, number - behind, milliseconds(1000 + behind * 12'000));
    w.good(1, number, 1s);
    return w.verdict();
  };
  for (int i = 0; i < 5; ++i) pass(0);
  for (int i = 0; i < 5; ++i) pass(4);
  const BackendVerdict v = pass(4);
  REQUIRE(v.notes.size() == 1);
  CHECK(v.notes[0].code == "no_quorum");
  CHECK(v.servers[0].freshness == 0);
  REQUIRE_FALSE(v.servers[0].reasons.empty());
  CHECK(v.servers[0].reasons[0].code == Reason::kBlockLag);
  CHECK(v.servers[0].state == State::kDegraded);
  CHECK(v.servers[1].freshness == 1);
  CHECK(v.servers[1].state == State::kHealthy);
}

TEST_CASE("two of three that fall behind together lose freshness by the dates of their blocks") {
  JudgedWorld w(3);
  std::uint64_t number = 1000;
  const auto pass = [&](std::uint64_t behind) {
    w.pass_time(12s);
    ++number;
    for (const std::size_t i : {0U, 1U}) w.good(i, number - behind, milliseconds(1000 + behind * 12'000));
    w.good(2, number, 1s);
    return w.verdict();
  };
  for (int i = 0; i < 5; ++i) pass(0);
  for (int i = 0; i < 5; ++i) pass(4);
  const BackendVerdict v = pass(4);
  CHECK(v.servers[0].freshness == 0);
  CHECK(v.servers[1].freshness == 0);
  CHECK(v.servers[2].freshness == 1);
  CHECK_FALSE(v.servers[2].disqualified);
}

TEST_CASE("a server is not behind because others were asked after it") {
  JudgedWorld w(3);
  w.backend.chain.block_time = 1s;
  w.backend.chain.max_lag = 10s;
  std::uint64_t number = 1000;
  for (int i = 0; i < 20; ++i) {
    w.pass_time(2s);
    number += 2;
    w.good(static_cast<std::size_t>(i % 3), number, 500ms);
    for (const ServerVerdict& v : w.verdict().servers)
      if (v.state != State::kUnknown) CHECK(v.freshness == 1);
  }
}

TEST_CASE("one that is ahead of what time allows makes nobody old") {
  JudgedWorld w(3);
  for (std::uint64_t number = 1000; number < 1050; number += 5) {
    w.good(0, number, 1s);
    w.good(1, number, 1s);
    w.good(2, number + 25, 0s);
    const BackendVerdict v = w.verdict();
    CHECK(v.servers[0].freshness == 1);
    CHECK(v.servers[1].freshness == 1);
    w.pass_time(5s);
  }
}

TEST_CASE("a lone server may jump: no vote proves the contrary") {
  JudgedWorld w(1);
  w.good(0, 100);
  w.verdict();
  w.pass_time(5s);
  w.good(0, 100'000, 0s);
  CHECK(w.state() == State::kHealthy);
}

TEST_CASE("the block time is measured from agreed heads") {
  JudgedWorld w(3);
  for (std::uint64_t n = 0; n < 20; ++n) {
    w.all_good(100 + n, 0s);
    w.verdict();
    w.pass_time(6s);
  }
  CHECK(w.history->block_time.measured == milliseconds{6000});
  CHECK(block_time_for_lag(w.history->block_time, w.backend.chain) == milliseconds{6000});
  w.history->block_time.measured = 300s;
  CHECK(block_time_for_lag(w.history->block_time, w.backend.chain) == milliseconds{24'000});
}

TEST_CASE("a single block behind is never a failure, however slow the chain") {
  JudgedWorld w(2);
  w.backend.chain.block_time = 40s;
  w.good(0, 101);
  w.good(1, 100);
  CHECK(w.verdict().servers[1].state == State::kHealthy);
}

TEST_CASE("syncing is a failure, too few peers only weigh less") {
  JudgedWorld w(2);
  w.backend.min_peers = 5;
  w.history->servers[0].node.peers = 2;
  fold(w.history->servers[1], Answer{w.now, {CheckKind::kSyncing}, AnswerValue{1000, {}}}, w.backend.chain);
  w.good(0, 103);
  w.good(1, 100);
  const BackendVerdict v = w.verdict();
  CHECK(v.servers[0].state == State::kDegraded);
  CHECK(v.servers[0].peers_factor == 0.5);
  CHECK(v.servers[0].reasons.at(0) == ReasonNote{Reason::kTooFewPeers, "2 peers, min_peers 5"});
  CHECK(v.servers[1].state == State::kEjected);
  CHECK(v.servers[1].reasons.at(0).code == Reason::kSyncing);
}

TEST_CASE("a rate limit: the last head stays valid until it is too old, and for fall intervals more") {
  JudgedWorld w(3);
  w.all_good(100);
  w.verdict();
  const auto limit = [&] {
    fold(w.history->servers[0],
         HeadObservation{w.now, 40ms, std::unexpected(ProbeFailure{Reason::kRateLimited, "HTTP 429", {}})});
  };
  std::uint64_t block = 100;
  const auto a_while = [&](milliseconds t) {
    for (milliseconds passed{0}; passed < t; passed += 5s) {
      w.pass_time(5s);
      ++block;
      w.good(1, block);
      w.good(2, block);
    }
    limit();
    return w.verdict().servers[0];
  };
  ServerVerdict v = a_while(55s);
  CHECK(v.state == State::kDegraded);
  CHECK(v.rate_limit_factor == 0.25);
  // A second of age, and 60 of the chain's.
  v = a_while(10s);
  CHECK(v.state == State::kDegraded);
  v = a_while(10s);
  CHECK(v.state == State::kEjected);
  REQUIRE(v.reasons.size() == 2);
  CHECK(v.reasons[0].code == Reason::kBlockTooOld);
  CHECK(v.reasons[1].code == Reason::kRateLimited);
  w.good(0, block);
  w.verdict();
  w.pass_time(20s);
  w.all_good(++block);
  CHECK(w.state() == State::kDegraded);
}

TEST_CASE("a rate limit where blocks have no age: five minutes") {
  JudgedWorld w(2);
  w.backend.chain.max_block_age.reset();
  w.all_good(100);
  w.verdict();
  fold(w.history->servers[0],
       HeadObservation{w.now, 40ms, std::unexpected(ProbeFailure{Reason::kRateLimited, "HTTP 429", {}})});
  w.pass_time(5min);
  w.good(1, 100);
  CHECK(w.state() == State::kDegraded);
  w.pass_time(1ms);
  CHECK(w.state() == State::kEjected);
}

TEST_CASE("a server that does not tell its chain is named, and the lag rule is known not to hold when none does") {
  JudgedWorld w(3);
  for (TargetHistory& t : w.history->servers) t.identity.status = IdentityHistory::Status::kUnknown;
  w.all_good(100);
  CHECK(w.verdict().notes.empty());  // not asked yet
  w.unsupported(2, {CheckKind::kIdentity});
  w.answer(0, {CheckKind::kIdentity}, 1);
  BackendVerdict v = w.verdict();
  REQUIRE(v.notes.size() == 1);
  CHECK(v.notes[0] ==
        BackendNote{"unverified", "server s2 does not tell its chain id, so it has no vote on the agreed head"});
  CHECK(v.servers[2].state == State::kHealthy);

  JudgedWorld untold(2);
  for (TargetHistory& t : untold.history->servers) t.identity.status = IdentityHistory::Status::kUnknown;
  untold.all_good(100);
  for (std::size_t i = 0; i < 2; ++i) untold.unsupported(i, {CheckKind::kIdentity});
  v = untold.verdict();
  REQUIRE(v.notes.size() == 1);
  CHECK(
      v.notes[0].detail ==
      "servers s0, s1 do not tell their chain id, so they have no vote on the agreed head; no server has one, so only "
      "the age of blocks is judged");
  untold.answer(0, {CheckKind::kIdentity}, 1);
  untold.answer(1, {CheckKind::kIdentity}, 1);
  CHECK(untold.verdict().notes.empty());
}
