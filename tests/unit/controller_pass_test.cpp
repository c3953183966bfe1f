// A single pass of the controller.
#include "unit/controller_play.hpp"

using namespace rpcw;
using namespace rpcw::control;
using namespace std::chrono_literals;

TEST_CASE("controller: a single pass checks, compares, reads, decides once and pushes") {
  Options options;
  options.mode = Mode::kOnce;
  Play p(two_servers(), options);
  CHECK(p.give(control::event::Started{}).size() == 8);
  p.head(0, 100);
  p.synced(0);
  p.synced(1);
  SUBCASE("HAProxy first") {
    CHECK(p.read(0, shown({{"a", 100}, {"b", 100}})).empty());
    CHECK(p.head(1, 100) == Texts{"set 0: a 128, b 128"});
    CHECK(p.confirmed(0, 2) == Texts{"finish"});
    CHECK_FALSE(p.controller->haproxy_trouble());
    CHECK(p.controller->report().haproxy.at(0).changed == 2);
  }
  SUBCASE("HAProxy last") {
    CHECK(p.head(1, 100).empty());
    CHECK(p.read(0, shown({{"a", 100}, {"b", 100}})) == Texts{"set 0: a 128, b 128"});
    CHECK(p.confirmed(0, 2) == Texts{"finish"});
  }
  SUBCASE("HAProxy never") {
    CHECK(p.head(1, 100).empty());
    CHECK(p.not_read(0) == Texts{"finish"});
    CHECK(p.controller->haproxy_trouble());
    CHECK(p.controller->report().backends.at(0).servers.at(0).decision.weight == 128);
  }
  SUBCASE("a lost packet does not decide") {
    CHECK(p.read(0, shown({{"a", 100}, {"b", 100}})).empty());
    CHECK(p.no_head(1).empty());
    CHECK(p.pass(1s) == Texts{"head 1"});
    CHECK(p.no_head(1) == Texts{"set 0: a 256, b 0"});
  }
  SUBCASE("a static algorithm is driven by percentages in a second round") {
    CHECK(p.read(0, shown({{"a", 100}, {"b", 100}})).empty());
    CHECK(p.no_head(1).empty());
    CHECK(p.pass(1s) == Texts{"head 1"});
    REQUIRE(p.no_head(1) == Texts{"set 0: a 256, b 0"});
    std::vector<haproxy::Outcome> outcomes(2);
    outcomes[0].kind = haproxy::Outcome::Kind::kRefused;
    outcomes[0].refusal = haproxy::Refusal::kStaticAlgorithm;
    outcomes[1].kind = haproxy::Outcome::Kind::kDone;
    CHECK(p.give(control::event::WeightsAnswered{0, outcomes}) == Texts{"finish"});
  }
}

TEST_CASE("controller: a pass with nothing to change asks whether it could") {
  Options options;
  options.mode = Mode::kOnce;
  Play p(two_servers(), options);
  p.give(control::event::Started{});
  p.read(0, shown({{"a", 128}, {"b", 128}}));
  for (TargetId t : {0U, 1U}) p.synced(t);
  p.head(0, 100);
  REQUIRE(p.head(1, 100) == Texts{"level 0"});
  std::string level = "admin";
  SUBCASE("it could") {}
  SUBCASE("it could not") {
    level = "operator";
  }
  CHECK(p.give(control::event::LevelRead{0, level}) == Texts{"finish"});
  CHECK(p.controller->haproxy_trouble() == (level != "admin"));
}

TEST_CASE("controller: a pass asks again for heads that became old while another target was waited for") {
  Options options;
  options.mode = Mode::kOnce;
  Play p(two_servers(), options);
  p.give(control::event::Started{});
  p.read(0, shown({{"a", 100}, {"b", 100}}));
  p.head(0, 100);
  p.synced(0);
  p.synced(1);
  p.pass(3s);
  CHECK(p.no_head(1, Reason::kTimeout).empty());
  REQUIRE(p.pass(1s) == Texts{"head 1"});
  p.pass(3s);
  REQUIRE(p.no_head(1, Reason::kTimeout) == Texts{"head 0"});
  // Once: a second target that hangs would make the first one old again.
  p.pass(4s);
  CHECK(p.head(0, 107) == Texts{"set 0: a 256, b 0"});
  CHECK(p.controller->report().backends.at(0).head->number == 107);
}

TEST_CASE("controller: scores only reads HAProxy") {
  Options options;
  options.mode = Mode::kScores;
  Play p(two_servers(), options);
  p.give(control::event::Started{});
  for (TargetId t : {0U, 1U}) {
    p.head(t, 100);
    p.synced(t);
  }
  CHECK(p.read(0, shown({{"a", 100}, {"b", 100}})) == Texts{"finish"});
  CHECK(p.controller->report().dry_run == DryRun::kPass);
}
