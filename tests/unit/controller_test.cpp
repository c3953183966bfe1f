// The controller without a socket: events in, actions out.
#include "weighter/controller/controller.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/two_servers.hpp"

using namespace rpcw;
using namespace rpcw::control;
using rpcw::model::shown;
using rpcw::model::two_servers;
using namespace std::chrono_literals;

namespace {

using Texts = std::vector<std::string>;

constexpr WallTime kStart{std::chrono::seconds{1'700'000'000}};

/// A controller and a clock that the test moves.
struct Play {
  explicit Play(config::Config file, Options options = {}, Legacy legacy = {})
      : config(std::move(file)), controller(std::make_unique<Controller>(config, options, std::move(legacy))) {}

  /// The actions as words, without log lines and wake-ups.
  Texts give(control::Event event) {
    Texts out;
    for (Action& a :
         controller->on(std::move(event), {kStart + std::chrono::duration_cast<milliseconds>(now), now + 1h}))
      std::visit([&](auto& what) { describe(what, out); }, a);
    // No request waits in a queue.
    for (const TargetId target : std::exchange(sent, {}))
      for (std::string& what : give(control::event::HeadSent{target})) out.push_back(std::move(what));
    return out;
  }
  Texts pass(milliseconds time) {
    now += time;
    return give(control::event::TimeReached{});
  }
  /// Moves the clock from wake-up to wake-up, until something is to be done; empty: nothing within an hour.
  Texts next() {
    for (int i = 0; i < 1000 && wake; ++i) {
      now = std::max(now, *wake - 1h);
      if (Texts out = give(control::event::TimeReached{}); !out.empty()) return out;
    }
    return {};
  }

  Texts head(TargetId target, std::uint64_t number, milliseconds latency = 40ms) {
    const Now received{kStart + std::chrono::duration_cast<milliseconds>(now), now + 1h};
    return give(control::event::HeadAnswered{
        target, {received, latency, Head{number, fmt::format("0x{:x}", number), received.wall}}});
  }
  Texts no_head(TargetId target, Reason why = Reason::kConnectFailed) {
    const Now received{kStart + std::chrono::duration_cast<milliseconds>(now), now + 1h};
    return give(control::event::HeadAnswered{
        target, {received, 1ms, std::unexpected(ProbeFailure{why, "refused", {}, false})}});
  }
  Texts synced(TargetId target) {
    return give(control::event::CheckAnswered{target, {{}, {CheckKind::kSyncing}, AnswerValue{}}});
  }
  Texts read(EndpointId endpoint, haproxy::Instance instance) {
    return give(control::event::ServersRead{endpoint, std::move(instance), 100});
  }
  Texts not_read(EndpointId endpoint, haproxy::Error error = haproxy::Error::kConnect) {
    return give(control::event::ServersRead{endpoint, std::unexpected(haproxy::Failure{error, "nobody there"}), 0});
  }
  Texts confirmed(EndpointId endpoint, std::size_t count) {
    std::vector<haproxy::Outcome> outcomes(count);
    for (haproxy::Outcome& o : outcomes) o.kind = haproxy::Outcome::Kind::kDone;
    return give(control::event::WeightsAnswered{endpoint, std::move(outcomes)});
  }

  /// Both servers have answered, one HAProxy was read, and its first push is under way.
  void push_first() {
    give(control::event::Started{});
    read(0, shown({{"a", 100}, {"b", 100}}));
    for (TargetId t : {0U, 1U}) {
      head(t, 100);
      synced(t);
    }
    REQUIRE(pass(0ms) == Texts{"set 0: a 128, b 128"});
  }
  /// And it has confirmed the push.
  void settle() {
    push_first();
    REQUIRE(confirmed(0, 2).empty());
  }

  void describe(const action::AddTarget& a, Texts& out) {
    out.push_back(fmt::format("add {} {}", a.target, a.config->url));
  }
  void describe(const action::RemoveTarget& a, Texts& out) { out.push_back(fmt::format("remove {}", a.target)); }
  void describe(const action::ExpectFiles&, Texts&) {}
  void describe(const action::SendHead& a, Texts& out) {
    out.push_back(fmt::format("head {}", a.target));
    sent.push_back(a.target);
  }
  void describe(const action::SendCheck& a, Texts& out) {
    out.push_back(fmt::format("{} {}", to_string(a.check.kind), a.target));
  }
  void describe(const action::SendTogether& a, Texts& out) {
    out.push_back(fmt::format("together {} and {}", a.target, a.checks.size()));
  }
  void describe(const action::Recall&, Texts& out) { out.emplace_back("recall"); }
  void describe(const action::ResolveName& a, Texts& out) { out.push_back(fmt::format("resolve {}", a.place)); }
  void describe(const action::OpenEndpoint& a, Texts& out) { out.push_back(fmt::format("open {}", a.endpoint)); }
  void describe(const action::CloseEndpoint& a, Texts& out) { out.push_back(fmt::format("close {}", a.endpoint)); }
  void describe(const action::ReadInfo& a, Texts& out) { out.push_back(fmt::format("info {}", a.endpoint)); }
  void describe(const action::ReadServers& a, Texts& out) {
    out.push_back(fmt::format("{} {}", a.last != nullptr ? "refresh" : "read", a.endpoint));
  }
  void describe(const action::ReadLevel& a, Texts& out) { out.push_back(fmt::format("level {}", a.endpoint)); }
  void describe(const action::SetWeights& a, Texts& out) {
    std::string text;
    for (const haproxy::WeightCommand& c : a.commands)
      text += fmt::format("{} {} {}{}", text.empty() ? "" : ",", c.server, c.weight, c.percent ? "%" : "");
    out.push_back(fmt::format("set {}:{}", a.endpoint, text));
  }
  void describe(const action::ReleaseClients& a, Texts& out) {
    for (const haproxy::ReleaseCommand& c : a.commands)
      out.push_back(fmt::format("release {}: {} {}", a.endpoint,
                                c.kind == haproxy::ReleaseCommand::Kind::kClearStick ? "stick" : "sessions", c.server));
  }
  void describe(const action::WakeAt& a, Texts&) { wake = a.at; }
  void describe(const action::Log& a, Texts&) { logged.push_back(a.line.message); }
  void describe(const action::Decided& a, Texts&) { std::ranges::copy(a.changes, std::back_inserter(changes)); }
  void describe(const action::Repaired& a, Texts&) {
    noted.push_back(fmt::format("repaired {} {}/{}", a.endpoint, a.backend, a.server));
  }
  void describe(const action::WorkerReplaced& a, Texts&) { noted.push_back(fmt::format("worker {}", a.endpoint)); }
  void describe(const action::Finish&, Texts& out) { out.emplace_back("finish"); }

  bool said(std::string_view text) const {
    return std::ranges::any_of(logged, [&](const std::string& line) { return line.find(text) != std::string::npos; });
  }

  config::Config config;
  std::unique_ptr<Controller> controller;
  MonoTime now{0};
  std::optional<MonoTime> wake;
  std::vector<TargetId> sent;
  Texts logged;
  std::vector<ServerChange> changes;
  Texts noted;
};

}  // namespace

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

namespace {

/// Answers what a controller asks for: providers after 40 ms, HAProxy at once, and counts heads under way.
struct Life {
  explicit Life(Play& play) : p(play) { weights = {{"a", 128}, {"b", 128}}; }

  void carry_out(const Texts& actions) {
    for (const std::string& what : actions) {
      done.push_back(what);
      const TargetId id = what.back() >= '0' && what.back() <= '9' ? static_cast<TargetId>(what.back() - '0') : 0;
      if (what.starts_with("head")) {
        most_heads = std::max(most_heads, ++heads[id]);
        if (id != mute) due.emplace_back(p.now + 40ms, what);
      } else if (what.starts_with("syncing") || what.starts_with("info") || what.starts_with("refresh") ||
                 what.starts_with("read") || what.starts_with("set")) {
        due.emplace_back(p.now, what);
      }
    }
  }
  void answer(const std::string& what) {
    const auto id = static_cast<TargetId>(what.back() - '0');
    if (what.starts_with("head")) {
      --heads[id];
      carry_out(p.head(id, 100 + static_cast<std::uint64_t>(p.now / 1s)));
    } else if (what.starts_with("syncing")) {
      carry_out(p.synced(id));
    } else if (what.starts_with("info")) {
      carry_out(p.give(control::event::InfoRead{0, haproxy::Info{"2.6.12", 7, 1000s}}));
    } else if (what.starts_with("set")) {
      carry_out(p.confirmed(0, static_cast<std::size_t>(std::ranges::count(what, ',')) + 1));
    } else {
      carry_out(p.read(0, shown(weights)));
    }
  }
  void live(milliseconds time) {
    const MonoTime end = p.now + time;
    for (;;) {
      MonoTime at = p.wake ? std::max(p.now, *p.wake - 1h) : end;
      const auto first = std::ranges::min_element(due, {}, &std::pair<MonoTime, std::string>::first);
      const bool answers = first != due.end() && first->first <= at;
      if (answers) at = std::max(p.now, first->first);
      if (at >= end) break;
      p.now = at;
      if (answers) {
        const std::string what = first->second;
        due.erase(first);
        answer(what);
      } else {
        carry_out(p.give(control::event::TimeReached{}));
      }
    }
    p.now = end;
  }

  Play& p;
  std::vector<std::pair<std::string, unsigned>> weights;
  std::vector<std::pair<MonoTime, std::string>> due;
  std::map<TargetId, int> heads;
  int most_heads = 0;
  std::optional<TargetId> mute;
  Texts done;

  [[nodiscard]] std::ptrdiff_t count(std::string_view what) const { return std::ranges::count(done, what); }
};

}  // namespace

TEST_CASE("controller: targets are checked at their interval, one head at a time") {
  Play p(two_servers());
  p.settle();
  Life life(p);
  life.live(60s);
  CHECK(life.count("head 0") >= 10);
  CHECK(life.count("head 0") <= 14);
  CHECK(life.most_heads == 1);
}

TEST_CASE("controller: a target that does not answer is not asked again, whatever timers and traffic say") {
  Play p(two_servers());
  p.settle();
  Life life(p);
  life.live(10s);
  life.mute = 0;
  life.done.clear();
  life.live(30s);
  // Its time-out is the prober's business: until then one request is under way.
  CHECK(life.count("head 0") <= 1);
  CHECK(life.most_heads == 1);
  CHECK(life.count("head 1") >= 5);
  // The missing answer is news: it loses weight before the time-out.
  CHECK(std::ranges::any_of(life.done, [](const std::string& what) { return what.starts_with("set 0: b"); }));
}

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

TEST_CASE("controller: a wake-up used up at its very moment is followed by another one for that moment") {
  Play p(two_servers());
  p.settle();
  // Server a is silent: the wake-up that notices it wants a decision in the same microsecond.
  for (int i = 0; i < 200; ++i) {
    REQUIRE(p.wake);
    p.now = *std::exchange(p.wake, std::nullopt) - 1h;
    for (const std::string& what : p.give(control::event::TimeReached{})) {
      if (what == "head 1") p.head(1, 100 + static_cast<std::uint64_t>(p.now / 1s));
      if (what.starts_with("refresh") || what.starts_with("info")) p.read(0, shown({{"a", 128}, {"b", 128}}));
      if (what.starts_with("set")) p.confirmed(0, 2);
    }
  }
  CHECK(p.now > 10s);
}

TEST_CASE("controller: an answer that waits for the decision and bad traffic lead to one head, not two") {
  Play p(two_servers());
  p.settle();
  p.pass(10s);  // both are asked
  p.head(0, 110);
  p.head(1, 110);
  // Before the decision HAProxy's counters show errors of server a, so that it is checked at once.
  p.pass(0ms);
  p.pass(1s);
  haproxy::Instance bad = shown({{"a", 128}, {"b", 128}});
  for (haproxy::ServerRow& s : bad.backends[0].servers)
    s.counters.lbtot = s.counters.econ = s.counters.eresp = s.counters.hrsp_5xx = 0;
  p.read(0, bad);
  for (haproxy::ServerRow& s : bad.backends[0].servers) s.counters.lbtot = 100;
  bad.backends[0].servers[0].counters.hrsp_5xx = 50;
  p.pass(1s);
  const Texts at_once = p.read(0, bad);
  CHECK(std::ranges::count(at_once, "head 0") == 1);
  CHECK(std::ranges::count(at_once, "head 1") == 0);
  // Neither its schedule nor the decision nor more errors ask again before the answer is there.
  Texts later = at_once;
  std::erase(later, "head 0");
  unsigned reads = 0;
  for (int i = 0; i < 40; ++i) {
    if (std::ranges::any_of(later, [](const std::string& what) { return what.starts_with("set"); })) p.confirmed(0, 2);
    std::erase_if(later, [](const std::string& what) { return what.starts_with("set"); });
    for (std::string& what : p.pass(100ms)) {
      if (what.starts_with("refresh") || what.starts_with("read")) {
        for (haproxy::ServerRow& s : bad.backends[0].servers) s.counters.lbtot = *s.counters.lbtot + 100;
        bad.backends[0].servers[0].counters.hrsp_5xx = *bad.backends[0].servers[0].counters.hrsp_5xx + 50;
        ++reads;
        std::ranges::move(p.read(0, bad), std::back_inserter(later));
      }
      later.push_back(std::move(what));
    }
  }
  CHECK(reads >= 2);
  CHECK(std::ranges::count(later, "head 0") == 0);
}

namespace {

/// Time in steps of 50 ms. What the controller asks for is answered at once.
struct Steps {
  explicit Steps(Play& play) : p(play) {}

  void play_until(MonoTime end) {
    while (p.now < end) {
      std::deque<std::string> todo;
      const auto add = [&todo](Texts&& more) { std::ranges::move(more, std::back_inserter(todo)); };
      for (add(p.pass(50ms)); !todo.empty(); todo.pop_front()) {
        const std::string& what = todo.front();
        const TargetId target = what.ends_with('1') ? 1 : 0;
        if (what.starts_with("head")) add(head(target));
        if (what.starts_with("syncing")) p.synced(target);
        if (what.starts_with("info"))
          p.give(control::event::InfoRead{
              0, haproxy::Info{"2.6.12", 7, 1000s + std::chrono::floor<std::chrono::seconds>(p.now)}});
        if (what.starts_with("set")) {
          on_set(what);
          p.confirmed(0, 2);
        }
        if (what.starts_with("refresh") || what.starts_with("read")) add(p.read(0, shows()));
      }
    }
  }
  Texts good_head(TargetId target) const { return p.head(target, 100 + static_cast<std::uint64_t>(p.now / 1s)); }

  Play& p;
  /// Gives a target's answer and returns what the controller does then; none: the answer never comes.
  std::function<Texts(TargetId)> head;
  std::function<haproxy::Instance()> shows = [] { return shown({{"a", 128}, {"b", 128}}); };
  std::function<void(const std::string&)> on_set = [](const std::string&) {};
};

}  // namespace

TEST_CASE("controller: servers with traffic are checked more often, by a fifth at most, and within their budget") {
  struct Checks {
    int a = 0;
    int b = 0;
    int unanswered = 0;
  };
  enum class A : std::uint8_t { kWell, kFailsEachOther, kSilentAfterAMinute };
  // Server a has most of the requests.
  const auto in_ten_minutes = [](std::uint64_t per_read, double budget_of_a, A manner = A::kWell) {
    config::Config file = two_servers();
    file.backends[0].servers[0].target.pace.budget = budget_of_a;
    Play p(std::move(file));
    p.settle();
    Checks out;
    std::uint64_t sent = 0;
    Steps steps(p);
    steps.head = [&](TargetId target) -> Texts {
      const bool of_a = target == 0;
      ++(of_a ? out.a : out.b);
      if (of_a && manner == A::kSilentAfterAMinute && p.now > 60s) {
        ++out.unanswered;
        return {};
      }
      const bool fails = of_a && manner == A::kFailsEachOther && out.a % 2 == 0;
      return fails ? p.no_head(target) : steps.good_head(target);
    };
    steps.shows = [&] {
      sent += per_read;
      haproxy::Instance read = shown({{"a", 128}, {"b", 128}});
      for (haproxy::ServerRow& row : read.backends[0].servers) {
        const std::uint64_t own = row.name == "a" ? 9 * sent : sent;
        row.counters.stot = row.counters.lbtot = row.counters.hrsp_2xx = own;
      }
      return read;
    };
    steps.play_until(p.now + 600s);
    return out;
  };
  const Checks idle = in_ten_minutes(0, 0);
  CHECK(idle.a + idle.b >= 225);
  CHECK(idle.a + idle.b <= 250);
  const Checks busy = in_ten_minutes(10, 0);
  CHECK(busy.a >= 1.25 * idle.a);
  CHECK(busy.a + busy.b <= 1.25 * (idle.a + idle.b));
  CHECK(busy.b <= 1.1 * idle.b);
  // A tenth of 1,000 a day is one in a quarter of an hour, and four are saved.
  const Checks bound = in_ten_minutes(10, 1'000);
  CHECK(bound.a > idle.a);
  CHECK(bound.a <= idle.a + 12);
  // A head is asked for again once in doubt, and the budget holds all the same.
  const Checks doubted = in_ten_minutes(0, 0, A::kFailsEachOther);
  CHECK(doubted.a > idle.a + 50);
  CHECK(in_ten_minutes(0, 1'000, A::kFailsEachOther).a <= idle.a + 12);
  // Clients wait for nothing more than for this server, and one head is under way.
  CHECK(in_ten_minutes(10, 0, A::kSilentAfterAMinute).unanswered == 1);
}

TEST_CASE("controller: without a healthy server all are probed more often, and less so the longer it lasts") {
  Play p(two_servers());
  p.settle();
  std::vector<MonoTime> heads_of_a;
  bool down = true;
  Steps steps(p);
  steps.head = [&](TargetId target) {
    if (target == 0) heads_of_a.push_back(p.now);
    return down ? p.no_head(target) : steps.good_head(target);
  };
  const auto heads_between = [&](MonoTime from, MonoTime to) {
    return std::ranges::count_if(heads_of_a, [&](MonoTime at) { return at >= from && at < to; });
  };
  steps.play_until(15s);
  REQUIRE(p.controller->report(Now{kStart, p.now + 1h}).backends[0].fallback);
  // Once a second at first, and at the usual interval after eight times as long as that.
  CHECK(heads_between(7s, 15s) >= 6);
  steps.play_until(160s);
  CHECK(heads_between(60s, 160s) <= 22);
  CHECK(heads_between(60s, 160s) >= 18);
  down = false;
  steps.play_until(240s);
  CHECK_FALSE(p.controller->report(Now{kStart, p.now + 1h}).backends[0].fallback);
  // The next outage begins anew.
  down = true;
  steps.play_until(255s);
  CHECK(heads_between(247s, 255s) >= 6);
}

TEST_CASE("controller: when answers change their size and a probe fails, the next one comes at once") {
  // Errors come with status 200 from some moment between two probes on. Seconds until the server has no weight.
  const auto found_after = [](milliseconds interval, MonoTime into_interval) {
    config::Config file = two_servers();
    file.probe.interval = interval;
    Play p(std::move(file));
    p.settle();
    const MonoTime from = 60s + into_interval;
    std::uint64_t requests = 0;
    std::uint64_t bytes_of_a = 0;
    std::optional<MonoTime> found;
    Steps steps(p);
    steps.head = [&](TargetId target) {
      return target == 0 && p.now >= from ? p.no_head(0, Reason::kRpcError) : steps.good_head(target);
    };
    steps.shows = [&] {
      constexpr std::uint64_t kMore = 40;
      requests += kMore;
      bytes_of_a += kMore * (p.now >= from ? 300 : 1000 + requests % 7 * 50);
      haproxy::Instance read = shown({{"a", 128}, {"b", 128}});
      for (haproxy::ServerRow& row : read.backends[0].servers) {
        row.counters.stot = row.counters.lbtot = row.counters.hrsp_2xx = requests;
        row.counters.bout = row.name == "a" ? bytes_of_a : 1000 * requests;
      }
      return read;
    };
    steps.on_set = [&](const std::string& what) {
      if (!found && (what + ",").find(" a 0,") != std::string::npos) found = p.now;
    };
    while (!found && p.now < 120s) steps.play_until(p.now + 50ms);
    return std::chrono::duration<double>(found.value_or(120s) - from).count();
  };
  for (int phase = 0; phase < 10; ++phase) {
    CAPTURE(phase);
    CHECK(found_after(5s, phase * 500ms) <= 1.6);
    CHECK(found_after(1s, phase * 100ms) <= 1.3);
  }
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
    CHECK(p.controller->denied() == Texts{"HAProxy unix:/h0: it refuses 2 weights: its socket needs `level admin`"});
  }
  SUBCASE("because there is no such server: no restart of HAProxy is waited for") {
    for (haproxy::Outcome& o : outcomes) o.refusal = haproxy::Refusal::kNoSuchServer;
    p.give(control::event::WeightsAnswered{0, outcomes});
    CHECK(p.controller->denied().empty());
  }
  CHECK(p.controller->unsettled().empty());
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
  CHECK(p.controller->report().dry_run);
}

TEST_CASE("controller: many targets are asked in combined requests, a window of them at a time") {
  config::Config file = two_servers();
  file.probe.max_in_flight = 8;
  file.backends[0].servers.clear();
  for (int i = 0; i < 1000; ++i) {
    config::Server& s = file.backends[0].servers.emplace_back();
    s.name = fmt::format("s{}", i);
    s.target.url = fmt::format("http://s{}.test/", i);
    s.target.operator_name = s.name;
  }
  Play p(file);
  const Texts begun = p.give(control::event::Started{});
  const auto together = [](const Texts& actions) {
    return std::ranges::count_if(actions, [](const std::string& what) { return what.starts_with("together"); });
  };
  CHECK(together(begun) == 8 + 512);
  CHECK(together(p.head(0, 100)) == 0);
  CHECK(together(p.synced(0)) == 1);
}

TEST_CASE("controller: combined requests that wait go on when all targets before them have left HAProxy") {
  config::Config file = two_servers();
  file.probe.max_in_flight = 8;
  file.backends[0].servers.clear();
  file.backends[0].discover = "http://{addr}/";
  const auto servers = [](int from, int to) {
    std::vector<std::pair<std::string, unsigned>> out;
    for (int i = from; i < to; ++i) out.emplace_back(fmt::format("s{}", i), 1);
    haproxy::Instance instance = shown(std::move(out));
    for (haproxy::ServerRow& row : instance.backends[0].servers) row.addr = fmt::format("{}.test:80", row.name);
    return instance;
  };
  const auto together = [](const Texts& actions) {
    return std::ranges::count_if(actions, [](const std::string& what) { return what.starts_with("together"); });
  };
  Play p(file);
  p.give(control::event::Started{});
  REQUIRE(together(p.read(0, servers(0, 1000))) == 8 + 512);
  p.pass(1s);
  CHECK(together(p.read(0, servers(600, 1000))) == 400);
}
