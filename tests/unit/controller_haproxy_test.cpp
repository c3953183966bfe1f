// What the controller reads of HAProxys and sends to them.
#include "unit/controller_play.hpp"

using namespace rpcw;
using namespace rpcw::control;
using namespace std::chrono_literals;

TEST_CASE("controller: a HAProxy that has left is closed only when its last exchange has ended") {
  config::Config config = two_servers(0);
  const auto address = [](const char* of) {
    config::Endpoint out;
    out.kind = config::Endpoint::Kind::kDns;
    out.address = "haproxy.test";
    out.resolved = of;
    out.text = fmt::format("tcp:{}:9999", of);
    return out;
  };
  config.haproxy.endpoints.push_back(address(""));
  Play p(config);
  p.give(control::event::Started{});
  p.give(control::event::NameResolved{0, std::vector{address("10.0.0.1")}});
  // So large that its servers are not read each time.
  p.give(control::event::ServersRead{0, shown({{"a", 100}, {"b", 100}}), 100'000'000});
  p.give(control::event::NameResolved{0, std::vector{address("10.0.0.2")}});
  REQUIRE(p.pass(1s) == Texts{"info 0"});
  p.pass(61s);
  // Another worker: its servers are to be read, which is an exchange of its own.
  const Texts then = p.give(control::event::InfoRead{0, haproxy::Info{"2.6.12", 8, 1s}});
  REQUIRE(std::ranges::count(then, "refresh 0") == 1);
  CHECK(std::ranges::count(then, "close 0") == 0);
  const Texts last = p.read(0, shown({{"a", 100}, {"b", 100}}, 8));
  CHECK(std::ranges::count(last, "close 0") == 1);
}

TEST_CASE("controller: HAProxy is not read while weights are on their way, but right after") {
  Play p(two_servers());
  p.push_first();
  for (int i = 0; i < 30; ++i)
    for (const std::string& what : p.pass(100ms)) {
      CHECK_FALSE(what.starts_with("info"));
      CHECK_FALSE(what.starts_with("refresh"));
      CHECK_FALSE(what.starts_with("set"));
    }
  const Texts after = p.confirmed(0, 2);
  CHECK(after == Texts{"refresh 0"});
}

TEST_CASE("controller: HAProxy is read four times as often while clients send requests") {
  const auto reads_in_ten_seconds = [](std::uint64_t per_read) {
    Play p(two_servers());
    p.settle();
    std::uint64_t sent = 0;
    std::uint64_t block = 100;
    int reads = 0;
    for (int step = 0; step < 200; ++step) {
      std::deque<std::string> todo;
      const auto add = [&todo](Texts&& more) { std::ranges::move(more, std::back_inserter(todo)); };
      for (add(p.pass(50ms)); !todo.empty(); todo.pop_front()) {
        const std::string& what = todo.front();
        if (what == "head 0" || what == "head 1") p.head(what.back() == '0' ? 0 : 1, ++block / 2);
        if (what != "refresh 0") continue;
        ++reads;
        sent += per_read;
        haproxy::Instance read = shown({{"a", 128}, {"b", 128}});
        for (haproxy::ServerRow& row : read.backends[0].servers)
          row.counters.stot = row.counters.lbtot = row.counters.hrsp_2xx = sent;
        add(p.read(0, std::move(read)));
      }
    }
    return reads;
  };
  const int idle = reads_in_ten_seconds(0);
  CHECK(idle >= 9);
  CHECK(idle <= 11);
  const int busy = reads_in_ten_seconds(100);
  CHECK(busy > 3 * idle);
  CHECK(busy <= 41);
}

TEST_CASE("controller: a reload between push and confirmation is seen by the next read, and the weights are put back") {
  Play p(two_servers());
  p.push_first();
  // The old worker confirms; the new one has the weights of its file.
  CHECK(p.confirmed(0, 2).empty());
  CHECK(p.pass(1100ms) == Texts{"refresh 0"});
  CHECK(p.read(0, shown({{"a", 100}, {"b", 100}}, 8, 0s)) == Texts{"set 0: a 128, b 128"});
  CHECK(p.said("was reloaded: pid 7 -> 8"));
  CHECK(p.confirmed(0, 2).empty());
}

TEST_CASE("controller: of two HAProxys one is refused: the other has its weights, and the first is tried again") {
  Play p(two_servers(2));
  const Texts begun = p.give(control::event::Started{});
  CHECK(std::ranges::count(begun, "read 0") == 1);
  CHECK(std::ranges::count(begun, "read 1") == 1);
  CHECK(p.not_read(0).empty());
  CHECK(p.read(1, shown({{"a", 100}, {"b", 100}})).empty());
  for (TargetId t : {0U, 1U}) {
    p.head(t, 100);
    p.synced(t);
  }
  CHECK(p.pass(0ms) == Texts{"set 1: a 128, b 128"});
  CHECK(p.confirmed(1, 2).empty());
  Texts later;
  for (int i = 0; i < 12; ++i)
    for (std::string& what : p.pass(100ms)) later.push_back(std::move(what));
  CHECK(std::ranges::count(later, "read 0") == 1);
  CHECK(p.read(0, shown({{"a", 100}, {"b", 100}}, 9)) == Texts{"set 0: a 128, b 128"});
}

TEST_CASE("controller: a refusal of one weight stops no other, and is not repeated at once") {
  Play p(two_servers());
  p.push_first();
  std::vector<haproxy::Outcome> outcomes(2);
  outcomes[0].kind = haproxy::Outcome::Kind::kRefused;
  outcomes[0].refusal = haproxy::Refusal::kPermissionDenied;
  outcomes[0].detail = "Permission denied";
  outcomes[1].kind = haproxy::Outcome::Kind::kDone;
  CHECK(p.give(control::event::WeightsAnswered{0, outcomes}).empty());
  CHECK(p.said("Permission denied"));
  REQUIRE(p.pass(1100ms) == Texts{"refresh 0"});
  CHECK(p.read(0, shown({{"a", 100}, {"b", 128}})).empty());
}

TEST_CASE("controller: a read that fails for a moment makes nothing of the same worker be forgotten") {
  Play p(two_servers());
  p.push_first();
  std::vector<haproxy::Outcome> outcomes(2);
  outcomes[0].kind = haproxy::Outcome::Kind::kRefused;
  outcomes[0].refusal = haproxy::Refusal::kPermissionDenied;
  outcomes[0].detail = "Permission denied";
  outcomes[1].kind = haproxy::Outcome::Kind::kDone;
  p.give(control::event::WeightsAnswered{0, outcomes});
  const auto times_said = [&p](std::string_view text) {
    return std::ranges::count_if(p.logged,
                                 [&](const std::string& line) { return line.find(text) != std::string::npos; });
  };
  REQUIRE(times_said("Permission denied") == 1);
  REQUIRE(p.pass(1100ms) == Texts{"refresh 0"});
  p.not_read(0);
  Texts asked;
  for (int i = 0; i < 12 && asked.empty(); ++i) {
    asked = p.pass(100ms);
    std::erase_if(asked, [](const std::string& what) { return what != "read 0"; });
  }
  REQUIRE(asked == Texts{"read 0"});
  Texts then;
  SUBCASE("it is the same one: what it refuses is not sent again") {
    then = p.read(0, shown({{"a", 100}, {"b", 128}}, 7, 1002s));
    CHECK(then.empty());
    CHECK(times_said("is back") == 1);
    CHECK(times_said("Permission denied") == 1);
  }
  SUBCASE("it is another one") {
    then = p.read(0, shown({{"a", 100}, {"b", 100}}, 8, 1s));
    CHECK(then == Texts{"set 0: a 128, b 128"});
  }
}

TEST_CASE("controller: a HAProxy that refuses for want of level admin keeps the agent from being ready") {
  Play p(two_servers());
  p.push_first();
  std::vector<haproxy::Outcome> outcomes(2);
  for (haproxy::Outcome& o : outcomes) {
    o.kind = haproxy::Outcome::Kind::kRefused;
    o.refusal = haproxy::Refusal::kPermissionDenied;
    o.detail = "Permission denied";
  }
  SUBCASE("by its level") {
    p.give(control::event::WeightsAnswered{0, outcomes});
    CHECK(p.controller->hindrances() ==
          Texts{"HAProxy unix:/h0: it refuses 2 weights: its socket needs `level admin`"});
  }
  SUBCASE("because there is no such server: no restart of HAProxy is waited for") {
    for (haproxy::Outcome& o : outcomes) o.refusal = haproxy::Refusal::kNoSuchServer;
    p.give(control::event::WeightsAnswered{0, outcomes});
    CHECK(p.controller->hindrances().empty());
  }
  CHECK(p.controller->unsettled().empty());
}

TEST_CASE("controller: a server that is left alone to another writer is put out and back all the same") {
  Play p(two_servers());
  p.settle();
  bool fails = false;
  // Reads HAProxy once more, where a has this weight; returns what is set.
  const auto look = [&](unsigned weight_of_a) {
    Texts set;
    const auto note = [&](const Texts& actions) {
      for (const std::string& what : actions)
        if (what.starts_with("set")) set.push_back(what);
    };
    Texts asked = p.pass(1100ms);
    note(asked);
    for (const TargetId t : {0U, 1U})
      if (std::ranges::count(asked, fmt::format("head {}", t)) > 0 && (t == 1 || !fails))
        note(p.head(t, 100 + static_cast<std::uint64_t>(p.now / 1s)));
    note(p.read(0, shown({{"a", weight_of_a}, {"b", fails ? 256U : 128U}})));
    if (!set.empty()) p.confirmed(0, 1);
    return set;
  };
  for (unsigned i = 0; i < 4; ++i) CHECK(look(40 + i) == Texts{"set 0: a 128"});
  CHECK(look(50) == Texts{});
  CHECK(p.said("another writer keeps changing"));
  CHECK(look(60) == Texts{});
  fails = true;
  p.no_head(0);
  p.pass(150ms);
  p.confirmed(0, 1);
  p.no_head(0);
  Texts out = p.pass(150ms);
  std::erase_if(out, [](const std::string& what) { return !what.starts_with("set"); });
  REQUIRE(out == Texts{"set 0: b 256, a 0"});
  p.confirmed(0, 2);
  // The other writer is still there: not each time.
  CHECK(look(60) == Texts{});
  CHECK(look(60) == Texts{});
  out.clear();
  for (int i = 0; i < 8 && out.empty(); ++i) out = look(60);
  CHECK(out == Texts{"set 0: a 0"});
}

TEST_CASE("controller: a backend that no HAProxy has keeps the agent from being ready") {
  Play p(two_servers());
  p.give(control::event::Started{});
  haproxy::Instance other = shown({{"a", 100}, {"b", 100}});
  other.backends[0].name = "web";
  p.read(0, other);
  for (TargetId t : {0U, 1U}) {
    p.head(t, 100);
    p.synced(t);
  }
  p.pass(0ms);
  CHECK(p.controller->unsettled().empty());
  CHECK(p.controller->hindrances() == Texts{"backend rpc: HAProxy does not have it"});
}

TEST_CASE("controller: after a reload a static algorithm is known, unless HAProxy has another worker") {
  Play before(two_servers());
  before.push_first();
  std::vector<haproxy::Outcome> outcomes(2);
  for (haproxy::Outcome& o : outcomes) {
    o.kind = haproxy::Outcome::Kind::kRefused;
    o.refusal = haproxy::Refusal::kStaticAlgorithm;
  }
  before.give(control::event::WeightsAnswered{0, outcomes});
  Play after(two_servers(), {}, before.controller->legacy());
  after.give(control::event::Started{});
  bool same = true;
  SUBCASE("the same worker") {
    after.read(0, shown({{"a", 100}, {"b", 100}}));
  }
  SUBCASE("another one") {
    same = false;
    after.read(0, shown({{"a", 100}, {"b", 100}}, 8));
  }
  CHECK(after.controller->report({kStart, {}}).backends.at(0).percent == same);
}

TEST_CASE("controller: a rise that is refused leaves no HAProxy with 0 for all") {
  config::Config file = two_servers();
  file.backends[0].strategy = "leader";
  Play p(std::move(file));
  p.give(control::event::Started{});
  p.read(0, shown({{"a", 100}, {"b", 100}}));
  for (TargetId t : {0U, 1U}) {
    p.head(t, 100);
    p.synced(t);
  }
  REQUIRE(p.pass(0ms) == Texts{"set 0: a 256, b 0"});
  p.confirmed(0, 2);
  // The leader fails, and HAProxy refuses to raise the other one.
  bool moved = false;
  for (int i = 0; i < 300 && !moved; ++i)
    for (const std::string& what : p.next()) {
      if (what == "head 0") p.no_head(0);
      if (what == "head 1") p.head(1, 100 + static_cast<std::uint64_t>(p.now / 1s));
      if (what.starts_with("refresh") || what.starts_with("info")) p.read(0, shown({{"a", 256}, {"b", 0}}));
      moved = moved || what == "set 0: b 256, a 0";
    }
  REQUIRE(moved);
  std::vector<haproxy::Outcome> outcomes(2);
  outcomes[0].kind = haproxy::Outcome::Kind::kRefused;
  outcomes[0].refusal = haproxy::Refusal::kOther;
  outcomes[0].detail = "no";
  outcomes[1].kind = haproxy::Outcome::Kind::kDone;
  CHECK(p.give(control::event::WeightsAnswered{0, outcomes}) == Texts{"set 0: a 256"});
}
