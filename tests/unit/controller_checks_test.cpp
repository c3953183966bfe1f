// When the controller checks targets.
#include "unit/controller_play.hpp"

using namespace rpcw;
using namespace rpcw::control;
using namespace std::chrono_literals;

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
