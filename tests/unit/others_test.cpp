// What other RPC proxies and health checkers got wrong, by their public trackers: each case is one of their bugs, with
// what happened there. As far as it concerns judging; HAProxy's side is in tests/integration.
#include <doctest/doctest.h>

#include "model/direct.hpp"
#include "weighter/schedule/agenda.hpp"
#include "weighter/schedule/pace.hpp"

using namespace rpcw;
using rpcw::model::Direct;
using namespace std::chrono_literals;

using Weights = std::vector<unsigned>;

TEST_CASE("erpc #1154: a head 30 million ahead made all honest providers lag, and the liar had all the traffic") {
  Direct w(4);
  for (std::size_t i = 0; i < 4; ++i) w.good(i, 1000);
  w.decide();
  for (int pass = 0; pass < 500; ++pass) {
    w.pass_time(5s);
    const auto number = 1000 + static_cast<std::uint64_t>(pass) * 5 / 12;
    for (std::size_t i = 0; i < 3; ++i) w.good(i, number);
    w.good(3, number + 30'000'000);
    const BackendDecision d = w.decide();
    REQUIRE(d.head->number == number);
    REQUIRE(d.servers[3].weight == 0);
    REQUIRE(d.servers[3].reasons.at(0).code == Reason::kBlockAhead);
    for (std::size_t i = 0; i < 3; ++i) REQUIRE(d.servers[i].state == State::kHealthy);
  }
}

TEST_CASE("erpc #1129: no head at all was stored as lag 0, which ranked first") {
  Direct w(3);
  w.good(0, 1000);
  w.good(1, 1000);
  const BackendDecision d = w.decide();
  CHECK(d.servers[2].state == State::kUnknown);
  CHECK(d.servers[2].weight == 0);
  CHECK_FALSE(d.servers[2].lag_blocks.has_value());
  CHECK_FALSE(d.servers[2].latency.has_value());
}

TEST_CASE("erpc #449: a primary that refused connections had no samples, so no error rate, and was never left") {
  Direct w(2, "leader");
  SUBCASE("from the start") {
    w.bad(0, Reason::kConnectFailed);
    w.good(1, 1000);
    CHECK(w.weights() == Weights{0, 256});
  }
  SUBCASE("after it led") {
    w.good(0, 1000);
    w.good(1, 1000);
    CHECK(w.weights() == Weights{256, 0});
    for (int i = 0; i < 2; ++i) {
      w.pass_time(1s);
      w.bad(0, Reason::kConnectFailed);
      w.good(1, 1000);
      w.decide();
    }
    CHECK(w.held == Weights{0, 256});
  }
}

TEST_CASE("erpc #301: a URL of another chain looked the freshest, and won the traffic") {
  Direct w(3);
  w.history->servers[0].identity.status = IdentityHistory::Status::kUnknown;
  w.answer(0, {CheckKind::kIdentity}, 56);
  w.good(0, 90'000'000, 100ms, 1ms);
  w.good(1, 1000);
  w.good(2, 1000);
  const BackendDecision d = w.decide();
  CHECK(d.servers[0].weight == 0);
  CHECK(d.servers[0].reasons.at(0).code == Reason::kWrongChain);
  CHECK(d.head->number == 1000);
}

TEST_CASE("web3-haproxy-agent: node and reference both failed, 0 - 0 was 0, so it was up") {
  Direct w(1);
  w.backend.references.push_back({});
  w.restart();
  w.bad(0, Reason::kConnectFailed);
  w.bad(1, Reason::kConnectFailed);
  const BackendDecision d = w.decide();
  CHECK(d.servers[0].state == State::kEjected);
  CHECK_FALSE(d.head.has_value());
}

TEST_CASE("hyperlane #3304: chains that make blocks on demand break a limit on age, so it can be off") {
  Direct w(2);
  w.backend.chain.max_block_age.reset();
  w.good(0, 1000, 3h);
  w.good(1, 1000, 3h);
  const BackendDecision d = w.decide();
  CHECK(d.servers[0].state == State::kHealthy);
  CHECK(d.servers[1].state == State::kHealthy);
  CHECK(d.notes.empty());
}

TEST_CASE("hyperlane #2570: the head still moved, five days behind") {
  Direct w(1);
  for (int pass = 0; pass < 10; ++pass) {
    w.good(0, 1000 + static_cast<std::uint64_t>(pass), 120h);
    w.pass_time(5s);
    const BackendDecision d = w.decide();
    REQUIRE(d.servers[0].state == State::kEjected);
    REQUIRE(d.servers[0].reasons.at(0).code == Reason::kBlockTooOld);
  }
}

TEST_CASE("optimism infra #608, dshackle #178: probes cost money; 941,536 a month went to an unused fallback") {
  Direct w(1);
  CHECK(bill_of(w.backend, false, config::Probe{}.interval).sum() * 30 < 600'000);
  // What is asked seldom is asked seldom, however often heads are.
  std::size_t asked = 0;
  for (int second = 0; second < 3600; ++second) {
    w.pass_time(1s);
    w.good(0, 1000 + static_cast<std::uint64_t>(second) / 12);
    for (const Check& check : due_checks(w.history->servers[0], false, {}, w.backend, w.now.mono)) {
      ++asked;
      w.answer(0, check, check.kind == CheckKind::kIdentity ? 1 : 0);
    }
  }
  CHECK(asked == 60 + 12);
}

TEST_CASE("rpc-plane #18: 429 means load, not death") {
  Direct w(2);
  w.good(0, 1000);
  w.good(1, 1000);
  w.decide();
  for (int pass = 0; pass < 10; ++pass) {
    w.pass_time(5s);
    w.bad(0, Reason::kRateLimited);
    w.good(1, 1000);
    const BackendDecision d = w.decide();
    REQUIRE(d.servers[0].state == State::kDegraded);
    REQUIRE(d.servers[0].weight > 0);
    REQUIRE(d.servers[0].weight < d.servers[1].weight);
  }
  w.pass_time(1s);
  w.good(0, 1000);
  CHECK(w.decide().servers[0].state == State::kHealthy);
}

TEST_CASE("nearcore #3059: a syncing flag that flips two blocks behind drained a whole pool") {
  Direct w(3);
  for (int pass = 0; pass < 10; ++pass) {
    w.pass_time(12s);
    for (std::size_t i = 0; i < 3; ++i) {
      w.good(i, 1000 + static_cast<std::uint64_t>(pass));
      w.answer(i, {CheckKind::kSyncing}, pass % 2 == 0 ? 2 : 0);
    }
    for (const ServerDecision& s : w.decide().servers) REQUIRE(s.state == State::kHealthy);
  }
}

TEST_CASE("agave #5071, rpc-gateway #71: health was ok 2,500 slots behind, and a cached head hid an outage") {
  Direct w(3);
  for (std::size_t i = 0; i < 3; ++i) w.good(i, 1000);
  w.decide();
  State last = State::kHealthy;
  for (int pass = 1; pass <= 12; ++pass) {
    w.pass_time(5s);
    const auto number = 1000 + static_cast<std::uint64_t>(pass) * 5 / 12;
    w.answer(0, {CheckKind::kSyncing}, 0);
    // The gateway goes on dating its cached head as new.
    w.good(0, 1000, 0s, 1ms);
    w.good(1, number);
    w.good(2, number);
    last = w.decide().servers[0].state;
  }
  CHECK(last == State::kEjected);
}

TEST_CASE("dshackle #155, #198: methods that a provider does not offer looked like failures") {
  Direct w(2);
  w.backend.min_peers = 3;
  const auto due = [&](std::size_t i) { return due_checks(w.history->servers[i], false, {}, w.backend, w.now.mono); };
  for (int round = 0; round < 2; ++round) {
    w.pass_time(5min);
    for (std::size_t i = 0; i < 2; ++i) {
      w.good(i, 1000);
      for (const Check& check : due(i)) w.unsupported(i, check);
    }
    for (const ServerDecision& s : w.decide().servers) CHECK(s.state == State::kHealthy);
  }
  w.pass_time(1h);
  // Which chain it is must be known, however often it refuses to tell.
  CHECK(due(0) == std::vector<Check>{{CheckKind::kIdentity}});
  w.pass_time(24h);
  CHECK(due(1).size() == 3);
}

TEST_CASE("viem #2886: a storm of questions while answers were still to come") {
  Direct w(1);
  CHECK(due_checks(w.history->servers[0], false, {}, w.backend, w.now.mono).size() == 2);
  for (int second = 0; second < 3600; ++second) {
    w.pass_time(1s);
    REQUIRE(due_checks(w.history->servers[0], false, {}, w.backend, w.now.mono).empty());
  }
}

TEST_CASE("archimedes #1679: a loop of 429s that the probes themselves kept alive") {
  Direct w(1);
  w.good(0, 1000);
  CHECK(probe_interval(w.history->servers[0], w.backend.servers[0].target, w.probe, w.now.mono) == 5s);
  milliseconds last{0};
  for (int i = 0; i < 4; ++i) {
    w.bad(0, Reason::kRateLimited);
    CHECK(due_checks(w.history->servers[0], false, {}, w.backend, w.now.mono).empty());
    const milliseconds next = probe_interval(w.history->servers[0], w.backend.servers[0].target, w.probe, w.now.mono);
    CHECK(next > last);
    last = next;
  }
  CHECK(last == 60s);
  w.good(0, 1000);
  CHECK(probe_interval(w.history->servers[0], w.backend.servers[0].target, w.probe, w.now.mono) == 5s);
}

TEST_CASE("chainlink #10726: switches between providers that were almost equal") {
  Direct w(2, "leader");
  w.backend.switch_back = true;
  unsigned switches = 0;
  Weights last;
  for (int pass = 0; pass < 720; ++pass) {
    w.pass_time(5s);
    w.good(0, 1000 + static_cast<std::uint64_t>(pass) * 5 / 12, 1s, pass % 7 < 3 ? 52ms : 44ms);
    w.good(1, 1000 + static_cast<std::uint64_t>(pass) * 5 / 12, 1s, pass % 5 < 2 ? 40ms : 51ms);
    if (std::exchange(last, w.weights()) != w.held) ++switches;
  }
  CHECK(switches == 1);  // the first choice
}

TEST_CASE("viem, nodecore, graph-node: most went to a fast server three blocks behind, or nothing to the slowest") {
  Direct w(3);
  const auto pass = [&](std::uint64_t number, std::uint64_t behind) {
    w.pass_time(12s);
    w.good(0, number - behind, 1s + 12s * static_cast<int>(behind), 10ms);
    w.good(1, number, 1s, 80ms);
    w.good(2, number, 1s, 900ms);
    w.decide();
  };
  std::uint64_t number = 1000;
  for (int i = 0; i < 10; ++i) pass(number++, 0);
  const unsigned fresh = w.held[0];
  CHECK(w.held[2] >= 1);
  for (int i = 0; i < 10; ++i) pass(number++, 2);
  CHECK(w.held[0] < fresh);
  CHECK(w.held[2] >= 1);
  for (int i = 0; i < 2; ++i) pass(number++, 3);
  CHECK(w.held[0] == 0);
}
