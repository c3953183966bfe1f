// A controller that goes on where one with an earlier configuration has ended.
#include "unit/controller_play.hpp"

using namespace rpcw;
using namespace rpcw::control;
using namespace std::chrono_literals;

namespace {

/// After SIGHUP: another controller adopts the state.
std::unique_ptr<Play> reloaded(Play& before, config::Config file) {
  auto after = std::make_unique<Play>(std::move(file), Options{}, before.controller->legacy());
  after->controller->state().adopt(std::move(before.controller->state()));
  after->now = before.now;
  return after;
}

}  // namespace

TEST_CASE("controller: a reload asks all at once, but a provider that limits our rate not before its time") {
  Play before(two_servers());
  before.settle();
  const Texts asked = before.pass(10s);
  REQUIRE(std::ranges::count(asked, "head 0") == 1);
  const Now received{kStart, before.now + 1h};
  before.give(control::event::HeadAnswered{
      0, {received, 1ms, std::unexpected(ProbeFailure{Reason::kRateLimited, "HTTP 429", 60s})}});
  before.head(1, 110);
  before.pass(1s);

  const auto after = reloaded(before, two_servers());
  const Texts begun = after->give(control::event::Started{});
  CHECK(std::ranges::count(begun, "head 0") == 0);
  CHECK(std::ranges::count(begun, "head 1") == 1);
  const Texts until_then = after->pass(50s);
  CHECK(std::ranges::count(until_then, "head 0") == 0);
  const Texts then = after->pass(20s);
  CHECK(std::ranges::count(then, "head 0") == 1);
}

TEST_CASE("controller: reloads cost no more than a budget allows") {
  config::Config file = two_servers();
  // A tenth of it is kept for checks before their time: one in 14 minutes, and four are saved.
  file.backends[0].servers[0].target.pace.budget = 1'000;
  auto play = std::make_unique<Play>(file);
  play->settle();
  int asked = 0;
  for (int i = 0; i < 20; ++i) {
    play->pass(300ms);
    play = reloaded(*play, file);
    const Texts begun = play->give(control::event::Started{});
    asked += static_cast<int>(std::ranges::count(begun, "head 0"));
    CHECK(std::ranges::count(begun, "head 1") == 1);
    play->head(0, 100);
    play->head(1, 100);
  }
  CHECK(asked >= 3);
  CHECK(asked <= 5);
}

TEST_CASE("controller: a backend whose servers are all new waits for all of them, also across a reload") {
  config::Config file = two_servers();
  file.backends[0].servers.clear();
  file.backends[0].discover = "http://{addr}/";
  Play before(file);
  before.give(control::event::Started{});
  before.read(0, shown({}));
  REQUIRE(before.pass(0ms).empty());
  REQUIRE(before.controller->decided());
  before.pass(1100ms);
  before.read(0, shown({{"a", 100}, {"b", 100}}));
  before.pass(100ms);

  const auto after = reloaded(before, file);
  after->give(control::event::Started{});
  after->read(0, shown({{"a", 100}, {"b", 100}}));
  after->head(0, 100);
  after->synced(0);
  const Texts by_the_first = after->pass(200ms);
  CHECK_FALSE(std::ranges::any_of(by_the_first, [](const std::string& what) { return what.starts_with("set"); }));
  after->head(1, 100);
  after->synced(1);
  const Texts by_both = after->pass(200ms);
  CHECK(std::ranges::count(by_both, "set 0: a 128, b 128") == 1);
}
