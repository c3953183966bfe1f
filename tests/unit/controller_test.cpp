// What the controller decides and reports.
#include "unit/controller_play.hpp"

using namespace rpcw;
using namespace rpcw::control;
using namespace std::chrono_literals;

TEST_CASE("controller: what is missing, what was decided and what is reported of a running agent") {
  Play p(two_servers());
  p.give(control::event::Started{});
  CHECK(p.controller->unsettled() == Texts{"backend rpc: no decision yet", "HAProxy unix:/h0: not read yet"});
  CHECK_FALSE(p.controller->report({}).haproxy.at(0).reachable);
  p.read(0, shown({{"a", 100}, {"b", 100}}));
  CHECK(p.controller->unsettled() == Texts{"backend rpc: no decision yet"});
  for (const TargetId target : {0U, 1U}) {
    p.head(target, 100);
    p.synced(target);
  }
  REQUIRE(p.pass(0ms) == Texts{"set 0: a 128, b 128"});
  CHECK(p.controller->unsettled() == Texts{"HAProxy unix:/h0: 2 weights not set yet"});
  REQUIRE(p.changes.size() == 2);
  CHECK(p.changes[0] == ServerChange{"rpc", "a", State::kUnknown, State::kHealthy, std::nullopt, 128, {}});
  p.confirmed(0, 2);
  CHECK(p.controller->unsettled().empty());
  const Report report = p.controller->report({kStart, {}});
  CHECK(report.haproxy.at(0).reachable);
  CHECK(report.haproxy.at(0).version == "2.6.12");
  CHECK(report.backends.at(0).servers.at(1).current_weight == 128U);
  CHECK(report.backends.at(0).servers.at(1).lag == 0ms);
}

TEST_CASE("controller: the first decision waits for every target and is pushed at once") {
  Play p(two_servers());
  CHECK(p.give(control::event::Started{}) == Texts{"open 0", "add 0 http://a.test/", "add 1 http://b.test/", "head 0",
                                                   "head 1", "syncing 0", "syncing 1", "read 0"});
  CHECK(p.read(0, shown({{"a", 100}, {"b", 100}})).empty());
  CHECK(p.head(0, 100).empty());
  CHECK(p.synced(0).empty());
  CHECK(p.head(1, 100).empty());
  CHECK(p.pass(0ms).empty());
  CHECK(p.synced(1).empty());
  CHECK(p.pass(0ms) == Texts{"set 0: a 128, b 128"});
}

TEST_CASE("controller: the servers' state of an earlier process comes before the first check") {
  Options options;
  options.recall = true;
  Play p(two_servers(), options);
  CHECK(p.give(control::event::Started{}) == Texts{"open 0", "recall", "read 0"});
  CHECK(p.give(control::event::Recalled{}) ==
        Texts{"add 0 http://a.test/", "add 1 http://b.test/", "head 0", "head 1", "syncing 0", "syncing 1"});
}

TEST_CASE("controller: an agent that stands by decides, and reads HAProxy anew before its first weight") {
  Play p(two_servers(), {.standby = true});
  p.give(control::event::Started{});
  p.read(0, shown({{"a", 100}, {"b", 100}}));
  for (TargetId t : {0U, 1U}) {
    p.head(t, 100);
    p.synced(t);
  }
  CHECK(p.pass(0ms).empty());
  CHECK(p.controller->decided());
  CHECK(p.controller->unsettled().empty());
  CHECK(p.give(control::event::Acting{true}) == Texts{"refresh 0"});
  // The agent that acted before has set one of them.
  CHECK(p.read(0, shown({{"a", 128}, {"b", 1}})) == Texts{"set 0: b 128"});
  CHECK_FALSE(p.controller->unsettled().empty());
  // The lease is over before the line has left.
  CHECK(p.give(control::event::Acting{false}).empty());
  CHECK(p.give(control::event::WeightsAnswered{0, std::vector<haproxy::Outcome>(1)}).empty());
  for (int i = 0; i < 20; ++i) {
    const Texts next = p.next();
    CHECK(std::ranges::none_of(next, [](const std::string& what) { return what.starts_with("set"); }));
    if (std::ranges::find(next, "refresh 0") != next.end()) p.read(0, shown({{"a", 128}, {"b", 1}}));
    for (const std::string& what : next)
      if (what.starts_with("head")) p.head(static_cast<TargetId>(what.back() - '0'), 100 + static_cast<unsigned>(i));
  }
  CHECK(p.controller->report(Now{kStart, 1h}).haproxy[0].errors.empty());
}

TEST_CASE("controller: a backend whose servers are all rate-limited from the start is decided, and gets no weights") {
  Play p(two_servers());
  p.give(control::event::Started{});
  p.read(0, shown({{"a", 100}, {"b", 100}}));
  for (TargetId t : {0U, 1U}) {
    p.no_head(t, Reason::kRateLimited);
    p.synced(t);
  }
  CHECK(p.controller->unsettled() == Texts{"backend rpc: no decision yet"});
  CHECK(p.pass(0ms).empty());
  CHECK(p.controller->state().decision(0).servers.at(0).state == State::kUnknown);
  CHECK(p.controller->decided());
  CHECK(p.controller->unsettled().empty());
}

TEST_CASE("controller: what an earlier process has decided is no decision of this one") {
  Play before(two_servers());
  before.settle();
  Play p(two_servers(), {.recall = true});
  p.give(control::event::Started{});
  p.not_read(0);
  p.controller->state().adopt(before.controller->state().snapshot(plain_key), plain_key);
  p.give(control::event::Recalled{});
  CHECK(p.controller->unsettled() == Texts{"backend rpc: no decision yet"});
  CHECK_FALSE(p.controller->decided());
  for (TargetId t : {0U, 1U}) {
    p.head(t, 100);
    p.synced(t);
  }
  p.pass(0ms);
  CHECK(p.controller->decided());
  CHECK(p.controller->unsettled().empty());
}

TEST_CASE("controller: a stop waits for the exchange that is under way, and starts nothing") {
  SUBCASE("no exchange") {
    Play p(two_servers());
    p.settle();
    CHECK(p.give(control::event::StopRequested{}) == Texts{"finish"});
  }
  SUBCASE("a read") {
    Play p(two_servers());
    p.settle();
    REQUIRE(p.pass(1100ms) == Texts{"refresh 0"});
    CHECK(p.give(control::event::StopRequested{}).empty());
    CHECK(p.pass(10s).empty());
    CHECK(p.read(0, shown({{"a", 1}, {"b", 1}})) == Texts{"finish"});
  }
  SUBCASE("a push") {
    Play p(two_servers());
    p.push_first();
    CHECK(p.give(control::event::StopRequested{}).empty());
    CHECK(p.confirmed(0, 2) == Texts{"finish"});
  }
  SUBCASE("a decision that is wanted") {
    Play p(two_servers());
    p.settle();
    p.pass(10s);
    p.head(0, 110);
    p.confirmed(0, 0);
    const Texts stopped = p.give(control::event::StopRequested{});
    CHECK(p.pass(1s).empty());
    // Reads that were under way are the only thing waited for.
    CHECK((stopped == Texts{"finish"} || p.read(0, shown({})) == Texts{"finish"}));
  }
  SUBCASE("checks alone") {
    Play p(two_servers());
    p.give(control::event::Started{});
    p.read(0, shown({{"a", 100}, {"b", 100}}));
    CHECK(p.give(control::event::StopRequested{}) == Texts{"finish"});
    CHECK(p.head(0, 100).empty());
  }
}

TEST_CASE("controller: a server that HAProxy's list gains is checked and delays no decision") {
  config::Config file = two_servers();
  file.backends[0].servers.clear();
  file.backends[0].discover = "http://{addr}/";
  Options options;
  options.recall = true;
  Play p(file, options);
  CHECK(p.give(control::event::Started{}) == Texts{"open 0", "read 0"});
  CHECK(p.read(0, shown({{"a", 100}, {"b", 100}})) == Texts{"recall"});
  CHECK(p.give(control::event::Recalled{}) == Texts{"add 0 http://127.0.0.1:8001/", "add 1 http://127.0.0.1:8002/",
                                                    "head 0", "head 1", "syncing 0", "syncing 1"});
  for (TargetId t : {0U, 1U}) {
    p.head(t, 100);
    p.synced(t);
  }
  REQUIRE(p.pass(0ms) == Texts{"set 0: a 128, b 128"});
  // While the push is on its way another server appears at the next read.
  CHECK(p.confirmed(0, 2).empty());
  REQUIRE(p.pass(1100ms) == Texts{"refresh 0"});
  const Texts grown = p.read(0, shown({{"a", 128}, {"b", 128}, {"c", 100}}));
  REQUIRE(grown.size() >= 3);
  CHECK(grown[0] == "add 2 http://127.0.0.1:8003/");
  CHECK(grown[1] == "head 2");
  // A server without an answer has weight 0, so that it is taken out for now.
  CHECK(std::ranges::count(grown, "set 0: c 0") == 1);
  p.confirmed(0, 1);
  // b leaves; its answer under way comes too late.
  p.pass(1100ms);
  const Texts shrunk = p.read(0, shown({{"a", 128}, {"c", 0}}));
  CHECK(std::ranges::count(shrunk, "remove 1") == 1);
  CHECK(p.head(1, 200).empty());
  CHECK(p.synced(1).empty());
}

TEST_CASE("controller: servers that share a name have their part of the traffic") {
  Play p(two_servers());
  p.give(control::event::Started{});
  p.read(0, shown({{"a", 50}, {"a", 60}, {"b", 100}}));
  for (TargetId t : {0U, 1U}) {
    p.head(t, 100);
    p.synced(t);
  }
  p.pass(0ms);
  const Report report = p.controller->report({kStart, {}});
  const BackendReport& backend = report.backends.at(0);
  REQUIRE(backend.servers.at(1).decision.weight == 256);
  CHECK(shares_of(backend) == std::vector<double>{0, 256.0 / (256 + 110)});
}

TEST_CASE("controller: a dry run answers no agent-check with a weight") {
  config::Config file = two_servers();
  file.backends[0].drive = config::Drive::kAgent;
  Options options;
  for (const bool dry_run : {false, true}) {
    options.dry_run = dry_run;
    Play p(file, options);
    p.give(control::event::Started{});
    p.read(0, shown({{"a", 100}, {"b", 100}}));
    for (TargetId t : {0U, 1U}) {
      p.head(t, 100);
      p.synced(t);
    }
    p.pass(0ms);
    CHECK(p.controller->answer_agent("rpc/a").line == (dry_run ? AgentAnswer{}.line : "128%\n"));
  }
}
