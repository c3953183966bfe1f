#include "weighter/judge/forks.hpp"

#include <doctest/doctest.h>

#include "model/direct.hpp"

using namespace rpcw;
using namespace std::chrono_literals;

namespace {

/// What a target answers is told by the letter of its chain: "a" and "b" have different blocks.
struct World : model::Direct {
  std::vector<std::string> chains;
  /// All chains have the same blocks up to this height.
  std::uint64_t common = 0;
  /// Of the parents that heads name: "": none, "same": as their hashes are written, else a prefix of another form.
  std::string parents;

  explicit World(std::vector<std::string> letters, const std::vector<std::string>& operators = {})
      : Direct(letters.size(), "equal", operators), chains(std::move(letters)) {}

  static std::string hash(const std::string& chain, std::uint64_t number) { return chain + std::to_string(number); }

  std::string block(std::size_t i, std::uint64_t number) const {
    return hash(number <= common ? "common" : chains[i], number);
  }
  void head(std::size_t i, std::uint64_t number) {
    Head shown{number, block(i, number), now.wall - 1s};
    if (!parents.empty()) shown.parent = (parents == "same" ? "" : parents) + block(i, number - 1);
    fold(history->servers[i], HeadObservation{now, 40ms, std::move(shown)});
  }
  void heads(std::uint64_t number) {
    for (std::size_t i = 0; i < chains.size(); ++i) head(i, number);
  }
  BackendVerdict verdict() { return judge(*history, backend, probe, now); }
  /// Decides, and answers whatever is asked then; returns how many questions there were.
  std::size_t compare() {
    verdict();
    const auto asked = fork_checks(*history);
    for (const BlockCheck& q : asked)
      fold_block(*history, q.member, {now, q.check, AnswerValue{0, block(q.member, q.check.argument)}});
    return asked.size();
  }
  std::vector<bool> forked() {
    std::vector<bool> out;
    for (const ServerVerdict& v : verdict().servers)
      out.push_back(v.disqualified && v.reasons.at(0).code == Reason::kForked);
    return out;
  }
};

using Flags = std::vector<bool>;

}  // namespace

TEST_CASE("heads that agree need no question") {
  World w({"a", "a", "a"});
  w.heads(100);
  CHECK(w.compare() == 0);
  CHECK(w.forked() == Flags{false, false, false});
}

TEST_CASE("one that is a block behind is known by the block it shares with the others") {
  World w({"a", "a", "a"});
  w.head(1, 99);
  w.heads(100);
  w.head(2, 101);
  CHECK(w.compare() == 0);
}

TEST_CASE("heads of neighbouring heights are compared by the parents that they name") {
  World w({"a", "a", "a"});
  w.parents = "same";
  w.heads(100);
  CHECK(w.compare() == 0);
  w.pass_time(60s);
  w.head(0, 160);
  w.head(1, 161);
  SUBCASE("of one chain") {
    w.head(2, 162);
    CHECK(w.compare() == 0);
    CHECK(w.history->forks.parents_hold);
  }
  SUBCASE("of another one") {
    w.chains[2] = "b";
    SUBCASE("a block later") {
      w.head(2, 162);
    }
    SUBCASE("a block earlier") {
      w.head(2, 159);
    }
    CHECK(w.compare() == 2);
    CHECK(w.forked() == Flags{false, false, true});
  }
  SUBCASE("further apart nothing is known") {
    w.chains[2] = "b";
    w.head(2, 163);
    CHECK(w.compare() == 0);
  }
}

TEST_CASE("a head that does not continue the one before has its chain asked for, before others can be compared") {
  World w({"a", "a", "a"});
  w.parents = "same";
  w.heads(100);
  w.head(1, 101);
  CHECK(w.compare() == 0);
  REQUIRE(w.history->forks.parents_hold);
  const auto asked = [&] {
    w.pass_time(10s);
    TargetHistory& t = w.history->servers[2];
    t.identity.check.sent_at = w.now.mono - 5s;
    t.identity.check.due = w.now.mono + 60s;
    return [&w, &t] {
      w.verdict();
      return t.identity.check.due <= w.now.mono;
    };
  };
  SUBCASE("another chain") {
    auto due = asked();
    w.chains[2] = "b";
    w.head(2, 101);
    CHECK(due());
  }
  SUBCASE("another block in its place") {
    auto due = asked();
    w.chains[2] = "b";
    w.head(2, 100);
    CHECK(due());
  }
  SUBCASE("the next block") {
    auto due = asked();
    w.head(2, 101);
    CHECK_FALSE(due());
  }
  SUBCASE("a later block, whose parent was not seen") {
    auto due = asked();
    w.head(2, 105);
    CHECK_FALSE(due());
  }
  SUBCASE("the same one again") {
    auto due = asked();
    w.head(2, 100);
    CHECK_FALSE(due());
  }
}

TEST_CASE("parents that are written in another form than hashes say nothing") {
  World w({"a", "a", "a"});
  w.parents = "other ";
  w.heads(100);
  CHECK(w.compare() == 0);
  w.pass_time(60s);
  w.head(0, 160);
  w.head(1, 161);
  w.head(2, 162);
  CHECK(w.compare() == 0);
  CHECK_FALSE(w.history->forks.parents_hold);
}

TEST_CASE("a minority of one in three is forked: nothing at once, exempt from fall") {
  World w({"a", "b", "a"});
  w.heads(100);
  CHECK(w.compare() == 2);  // one of the two that agree speaks for both
  const BackendVerdict v = w.verdict();
  CHECK(v.servers[1].disqualified);
  CHECK(v.servers[1].state == State::kEjected);
  CHECK(v.servers[1].reasons.at(0) == ReasonNote{Reason::kForked, "block 97 is b97 here, 2 of 3 operators say a97"});
  CHECK(v.servers[0].state == State::kHealthy);
  CHECK(v.notes.empty());
}

TEST_CASE("two keys at one operator are one voice") {
  World w({"b", "b", "a", "c"}, {"vendor", "vendor"});
  w.heads(100);
  w.compare();
  CHECK(w.forked() == Flags{false, false, false, false});
  CHECK(w.verdict().notes.at(0).code == "fork_tie");
}

TEST_CASE("two against two is a tie: noted, and nothing changes") {
  World w({"a", "b", "a", "b"});
  w.heads(100);
  CHECK(w.compare() == 2);
  CHECK(w.forked() == Flags{false, false, false, false});
  const BackendVerdict v = w.verdict();
  REQUIRE(v.notes.size() == 1);
  CHECK(v.notes[0] == BackendNote{"fork_tie", "no majority on block 97: 2 operators say a97, 2 operators say b97"});
}

TEST_CASE("two operators alone cannot fork each other out") {
  World w({"a", "b"});
  w.heads(100);
  w.compare();
  CHECK(w.forked() == Flags{false, false});
  CHECK(w.verdict().notes.at(0).code == "fork_tie");
}

TEST_CASE("a block that is absent, and a question without an answer, are no fork") {
  World w({"a", "b", "a"});
  w.heads(100);
  w.verdict();
  auto asked = fork_checks(*w.history);
  REQUIRE(asked.size() == 2);
  CHECK(fork_checks(*w.history).empty());
  fold_block(*w.history, asked[0].member, {w.now, asked[0].check, AnswerValue{0, "a97"}});
  SUBCASE("absent") {
    fold_block(*w.history, asked[1].member, {w.now, asked[1].check, AnswerValue{}});
  }
  SUBCASE("failed") {
    fold_block(*w.history, asked[1].member,
               {w.now, asked[1].check, std::unexpected(ProbeFailure{Reason::kTimeout, "", {}})});
  }
  SUBCASE("never answered") {
    CHECK(w.history->forks.height.has_value());
    w.pass_time(w.probe.timeout + w.probe.interval + 1ms);
    w.heads(101);
  }
  CHECK(w.forked() == Flags{false, false, false});
  CHECK_FALSE(w.history->forks.height.has_value());
}

TEST_CASE("a natural reorganisation at the tip asks, and finds that all agree") {
  World w({"a", "a", "a"});
  w.heads(100);
  CHECK(w.compare() == 0);
  w.pass_time(12s);
  w.chains[1] = "uncle";
  w.heads(101);
  w.chains[1] = "a";
  CHECK(w.compare() == 2);
  CHECK(w.forked() == Flags{false, false, false});
}

TEST_CASE("a server that takes another branch is forked as soon as its first block there is fork_depth deep") {
  World w({"a", "a", "a"});
  std::size_t checks = 0;
  const auto next_block = [&](std::uint64_t number) {
    w.pass_time(1s);
    w.heads(number);
    checks += w.compare();
  };
  for (std::uint64_t number = 100; number <= 120; ++number) next_block(number);
  REQUIRE(checks == 0);
  w.chains[1] = "b";
  w.common = 120;
  for (std::uint64_t number = 121; number <= 123; ++number) next_block(number);
  // At once, in case the branch is an old one.
  CHECK(checks == 2);
  CHECK(w.forked() == Flags{false, false, false});
  SUBCASE("and it stays there") {
    next_block(124);
    CHECK(checks == 4);
    CHECK(w.forked() == Flags{false, true, false});
    for (std::uint64_t number = 125; number <= 184; ++number) next_block(number);
    CHECK(checks <= 4 + 2 * 6);
    CHECK(w.forked() == Flags{false, true, false});
    w.chains[1] = "a";
    next_block(185);
    CHECK(w.forked() == Flags{false, false, false});
  }
  SUBCASE("and it comes back before: a reorganisation") {
    w.chains[1] = "a";
    for (std::uint64_t number = 124; number <= 130; ++number) next_block(number);
    CHECK(checks == 2);
    CHECK(w.forked() == Flags{false, false, false});
  }
  SUBCASE("and the chain begins anew, far below") {
    w.chains[1] = "a";
    w.common = 0;
    for (std::uint64_t number = 5; number <= 30; ++number) next_block(number);
    CHECK_FALSE(w.history->forks.disputed.has_value());
    checks = 0;
    w.chains[1] = "b";
    w.common = 30;
    for (std::uint64_t number = 31; number <= 34; ++number) next_block(number);
    CHECK(checks == 4);
    CHECK(w.forked() == Flags{false, true, false});
  }
}

TEST_CASE("a tip where two blocks compete all the time costs two comparisons in ten seconds, and ejects no server") {
  World w({"a", "a", "a"});
  std::size_t checks = 0;
  for (std::uint64_t number = 100; number < 1300; ++number) {
    w.pass_time(50ms);
    w.common = number - 1;
    w.chains[1] = number % 3 == 0 ? "a" : "b";
    // A block is the last one that is in dispute when the next comes.
    w.heads(number);
    checks += w.compare();
    CHECK(w.forked() == Flags{false, false, false});
  }
  CHECK(checks <= 2 * 2 * 7);
}

TEST_CASE("a server that leaves its fork votes again when its blocks are the others'") {
  World w({"a", "b", "a"});
  w.heads(100);
  w.compare();
  CHECK(w.forked() == Flags{false, true, false});
  w.pass_time(12s);
  w.heads(101);
  CHECK(w.forked() == Flags{false, true, false});
  w.chains[1] = "a";
  w.pass_time(12s);
  w.heads(102);
  CHECK(w.forked() == Flags{false, false, false});
}

TEST_CASE(
    "a server that contradicts the others soon after a comparison is asked for its chain meanwhile, and not without end") {
  World w({"a", "b", "a"});
  w.heads(100);
  CHECK(w.compare() == 2);
  w.chains[1] = "a";
  for (std::uint64_t block = 101; block < 110; ++block) w.heads(block);
  w.pass_time(1s);
  w.chains[1] = "b";
  w.heads(110);
  CheckState& one = w.history->servers[1].identity.check;
  CheckState& other = w.history->servers[0].identity.check;
  one = other = {.due = w.now.mono + 60s, .sent_at = w.now.mono - 10s};
  CHECK(w.compare() == 0);
  CHECK(one.due == w.now.mono);
  CHECK(other.due == w.now.mono + 60s);

  one = {.due = w.now.mono + 60s, .sent_at = w.now.mono};
  const MonoTime asked = w.now.mono;
  w.pass_time(1s);
  CHECK(w.compare() == 0);
  CHECK(one.due == asked + 2s);
}

TEST_CASE("a server that moves to another chain is asked for it, though the others know its old blocks") {
  World w({"a", "a", "a", "a"});
  w.heads(100);
  w.compare();
  // It is probed more often than the others.
  for (std::uint64_t block = 101; block <= 103; ++block) w.head(0, block);
  w.head(1, 101);
  w.head(2, 102);
  w.chains[0] = "b";
  w.head(0, 104);
  w.head(3, 104);
  w.pass_time(1s);
  std::vector<bool> asked;
  for (TargetHistory& t : w.history->servers) t.identity.check = {.due = w.now.mono + 60s, .sent_at = w.now.mono - 10s};
  w.compare();
  for (const TargetHistory& t : w.history->servers) asked.push_back(t.identity.check.due == w.now.mono);
  // One block against another: both may be the wrong one. The others have shown neither.
  CHECK(asked == std::vector<bool>{true, false, false, true});
  w.head(1, 104);
  w.pass_time(1s);
  w.history->servers[3].identity.check = {.due = w.now.mono + 60s, .sent_at = w.now.mono - 1s};
  w.compare();
  CHECK(w.history->servers[3].identity.check.due == w.now.mono + 60s);
}

TEST_CASE("chains that never show the same height are compared once, and then on the slow timer") {
  World w({"a", "a", "b"});
  for (std::size_t i = 0; i < 3; ++i) w.head(i, 100 + i);
  CHECK(w.compare() == 3);
  CHECK(w.forked() == Flags{false, false, true});
  w.chains[2] = "a";
  std::size_t checks = 0;
  for (int pass = 0; pass < 200; ++pass) {
    w.pass_time(5s);
    for (std::size_t i = 0; i < 3; ++i) w.head(i, 110 + static_cast<std::uint64_t>(pass) * 3 + i);
    checks += w.compare();
  }
  CHECK(w.forked() == Flags{false, false, false});
  // 1000 s: once when the forked one was looked at again after 30 s, then every 5 minutes.
  CHECK(checks <= 5 * 3);
  CHECK(checks >= 3 * 3);
}

TEST_CASE("a persistent contradiction is not asked about without end") {
  World w({"a", "b"});
  std::size_t checks = 0;
  for (int pass = 0; pass < 60; ++pass) {
    w.heads(100 + static_cast<std::uint64_t>(pass));
    checks += w.compare();
    w.pass_time(1s);
  }
  CHECK(checks <= 2 * 7);
}

TEST_CASE("a head on a fork has no voice on the agreed head") {
  World w({"a", "a", "a", "b", "b"}, {"one", "two", "three", "rogue", "rogue"});
  w.heads(100);
  w.compare();
  w.verdict();
  w.head(3, 102);
  w.head(4, 102);
  CHECK(w.verdict().head == AgreedHead{100, 3});
}

TEST_CASE("without hashes in heads all are asked for the block, and seldom") {
  World w({"a", "b", "a"});
  w.backend.chain.offers.hash = false;
  const auto heads = [&](std::uint64_t number) {
    for (std::size_t i = 0; i < 3; ++i)
      fold(w.history->servers[i], HeadObservation{w.now, 40ms, Head{number, "", w.now.wall - 1s}});
  };
  heads(100);
  CHECK(w.compare() == 3);
  CHECK(w.forked() == Flags{false, true, false});
  // The next comparison is due in half a minute, since one is on a fork.
  for (int i = 1; i <= 5; ++i) {
    w.pass_time(5s);
    heads(100);
    CHECK(w.compare() == 0);
  }
  w.pass_time(6s);
  heads(102);
  w.chains = {"a", "a", "a"};
  CHECK(w.compare() == 3);
  CHECK(w.forked() == Flags{false, false, false});
  // All well: every five minutes.
  for (int i = 0; i < 10; ++i) {
    w.pass_time(29s);
    heads(110);
    CHECK(w.compare() == 0);
  }
}

TEST_CASE("a family without blocks at heights is judged without forks") {
  World w({"a", "b", "a"});
  w.backend.chain.offers.block = false;
  w.heads(100);
  CHECK(w.compare() == 0);
  CHECK(w.forked() == Flags{false, false, false});
}

TEST_CASE("a head without a time is as old as the last rise of its height") {
  World w({"a", "a", "a"});
  const auto head = [&](std::size_t i, std::uint64_t number) {
    Head undated{number, "", {}};
    undated.dated = false;
    fold(w.history->servers[i], HeadObservation{w.now, 40ms, undated});
  };
  w.backend.chain.offers.hash = false;
  w.backend.chain.offers.time = false;
  for (std::size_t i = 0; i < 3; ++i) head(i, 100);
  CHECK(w.verdict().servers[0].head_age == 0ms);
  // The others move on within the limits; the first one stands still.
  for (int t = 1; t <= 10; ++t) {
    w.pass_time(5s);
    head(0, 100);
    for (std::size_t i = 1; i < 3; ++i) head(i, 100 + static_cast<std::uint64_t>(t) / 3);
    w.verdict();
  }
  const BackendVerdict v = w.verdict();
  CHECK(v.servers[0].head_age == 50s);
  CHECK(v.servers[1].head_age <= 10s);
  CHECK_FALSE(v.servers[1].disqualified);
  CHECK(v.servers[0].state != State::kHealthy);
  CHECK(v.servers[1].state == State::kHealthy);
}
