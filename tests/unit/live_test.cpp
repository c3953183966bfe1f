#include "weighter/judge/live.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <random>

#include "unit/live_traffic.hpp"
#include "weighter/schedule/extra.hpp"

using namespace rpcw;
using namespace std::chrono_literals;
using namespace rpcw::test;
using rpcw::model::Direct;

TEST_CASE("good traffic changes nothing, and an error here and there is no news") {
  SteadyTraffic w(4);
  for (int i = 0; i < 120; ++i)
    w.second([&](std::size_t s, LiveDelta& d) { d.failures = (i + static_cast<int>(s)) % 40 == 0 ? 1 : 0; });
  for (std::size_t s = 0; s < 4; ++s) {
    CHECK(w.share(s) == doctest::Approx(0.25).epsilon(0.1));
    CHECK(w.decision.servers[s].state == State::kHealthy);
  }
}

TEST_CASE("the rate of requests is known from the first read on") {
  SteadyTraffic w(4);
  const auto per_s = [&] { return scan_live(w.history->servers, w.now.mono)[0].backend_per_s; };
  for (int i = 0; i < 10; ++i) {
    w.second(kFine);
    CHECK(per_s() == doctest::Approx(200).epsilon(0.02));
  }
  // A new worker's first read counts nothing, in no time.
  w.pass_time(1s);
  fold_live(w.history->servers, std::vector<LiveDelta>(4), w.now.mono);
  CHECK(per_s() == doctest::Approx(200).epsilon(0.02));
  w.second(kFine);
  CHECK(per_s() == doctest::Approx(200).epsilon(0.02));
  // Another HAProxy's traffic of the same second comes with a read of its own.
  for (int i = 0; i < 30; ++i) {
    w.second(kFine);
    fold_live(w.history->servers, w.last, w.now.mono);
  }
  CHECK(per_s() == doctest::Approx(400).epsilon(0.02));
}

TEST_CASE("what fails for real requests only is out within seconds, and stays out longer each time") {
  SteadyTraffic w(4);
  for (int i = 0; i < 20; ++i) w.second(kFine);
  double bad = 0;
  double all = 0;
  int first_out = -1;
  for (int i = 0; i < 300; ++i) {
    const auto suspects = w.second([](std::size_t s, LiveDelta& d) { d.failures = s == 1 ? d.requests / 2 : 0; });
    if (i == 0) CHECK(suspects == std::vector<std::size_t>{1});
    bad += static_cast<double>(w.last[1].failures);
    for (const LiveDelta& d : w.last) all += static_cast<double>(d.requests);
    if (first_out < 0 && w.held[1] == 0) {
      first_out = i;
      CHECK(has(w.decision.servers[1], Reason::kLiveErrors));
    }
  }
  CHECK(first_out >= 0);
  CHECK(first_out <= 6);
  CHECK(bad / all < 0.01);
  CHECK(w.history->servers[1].ejection.count >= 2);
}

TEST_CASE("with little traffic a server that fails all of it loses it as well, and its failures are no one else's") {
  double per_s = 0.5;
  SUBCASE("a request in two seconds") {}
  SUBCASE("two in a second: it is out") {
    per_s = 2;
  }
  SteadyTraffic t(3, per_s);
  std::uint64_t lost = 0;
  bool out = false;
  for (int i = 0; i < 120; ++i) {
    t.second([](std::size_t server, LiveDelta& d) {
      if (server == 0) d.failures = d.requests;
    });
    lost += t.last[0].failures;
    out = out || t.decision.servers[0].state == State::kEjected;
    CHECK(t.decision.servers[1].inputs.error_rate.value_or(0) == 0);
    CHECK(t.decision.servers[2].inputs.error_rate.value_or(0) == 0);
  }
  CHECK(lost <= 20);
  CHECK(out == (per_s > 1));
}

TEST_CASE("after an ejection a server that is too far behind gets nothing that another one may not have") {
  Direct d(3, "adaptive");
  std::uint64_t number = 1000;
  const auto pass = [&](std::uint64_t behind, bool well) {
    d.pass_time(12s);
    ++number;
    d.good(0, number, 1s);
    d.good(1, number - behind, milliseconds(1000 + behind * 12'000));
    if (well)
      d.good(2, number, 1s);
    else
      d.bad(2, Reason::kHttpStatus);
    return d.decide();
  };
  for (int i = 0; i < 5; ++i) pass(0, true);
  BackendDecision last;
  for (int i = 0; i < 4; ++i) last = pass(4, false);
  REQUIRE(last.servers[2].state == State::kEjected);
  REQUIRE(last.servers[1].state == State::kDegraded);
  CHECK(d.held[0] >= 250);
}

TEST_CASE("requests that fail everywhere are no server's fault") {
  SteadyTraffic w(4);
  for (int i = 0; i < 60; ++i) w.second([](std::size_t, LiveDelta& d) { d.failures = d.requests * 3 / 10; });
  for (std::size_t s = 0; s < 4; ++s) {
    CHECK(w.held[s] >= 48);
    CHECK_FALSE(has(w.decision.servers[s], Reason::kLiveErrors));
  }
}

TEST_CASE("live traffic alone takes out half of a backend at the most") {
  SteadyTraffic w(4);
  for (int i = 0; i < 20; ++i) w.second(kFine);
  for (int i = 0; i < 9; ++i)
    w.second([](std::size_t s, LiveDelta& d) { d.failures = s > 0 ? d.requests * (s + 5) / 10 : 0; });
  int out = 0;
  for (const unsigned weight : w.held) out += weight == 0 ? 1 : 0;
  CHECK(out == 2);
}

TEST_CASE("a server without traffic has no evidence against it") {
  SteadyTraffic w(3);
  for (int i = 0; i < 10; ++i) w.second(kFine);
  const auto views = scan_live(w.history->servers, w.now.mono + MonoTime{2h});
  for (const LiveView& v : views) {
    CHECK(v.error_rate == 0);
    CHECK_FALSE(v.latency_ms.has_value());
    CHECK_FALSE(v.out);
  }
}

TEST_CASE("a quota: the share goes to what it carries, and stays there instead of swinging") {
  SteadyTraffic w(3, 300);
  for (int i = 0; i < 20; ++i) w.second(kFine);
  double refused = 0;
  double all = 0;
  double lowest = 1;
  double highest = 0;
  for (int i = 0; i < 600; ++i) {
    w.second([](std::size_t s, LiveDelta& d) {
      constexpr std::uint64_t kQuota = 40;
      d.client_errors = s == 0 && d.requests > kQuota ? d.requests - kQuota : 0;
    });
    if (i < 60) continue;
    refused += static_cast<double>(w.last[0].client_errors);
    for (const LiveDelta& d : w.last) all += static_cast<double>(d.requests);
    lowest = std::min(lowest, w.share(0));
    highest = std::max(highest, w.share(0));
  }
  CHECK(refused / all < 0.005);
  // 40 of 300 are 13 %.
  CHECK(lowest > 0.08);
  CHECK(highest < 0.19);
  CHECK(has(w.decision.servers[0], Reason::kRateLimited));
  CHECK(w.decision.servers[0].inputs.limited_by == "quota");
}

TEST_CASE("a server that lets requests wait gets what it carries, and keeps that") {
  SteadyTraffic w(4);
  w.step = 250ms;
  double open = 0;
  double carries = 30;
  double average_ms = 40;
  const auto one_by_one = [&](std::size_t i, LiveDelta& d) {
    if (i != 0) return;
    open += static_cast<double>(d.requests);
    d.ended = d.timed = static_cast<std::uint64_t>(std::min(open, carries / 4));
    open -= static_cast<double>(d.ended);
    d.open = static_cast<std::uint64_t>(open);
    d.latency_ms = 40 + 1000 * open / carries;
    // Over the last 512 answers, as HAProxy's.
    average_ms += (*d.latency_ms - average_ms) * static_cast<double>(d.ended) / 512;
    d.average_ms = average_ms;
  };
  for (int i = 0; i < 120; ++i) w.second(one_by_one);
  CHECK(w.share(0) <= carries / w.per_s);
  CHECK(has(w.decision.servers[0], Reason::kRateLimited));
  double most_open = 0;
  double least_share = 1;
  for (int i = 0; i < 480; ++i) {
    w.second(one_by_one);
    most_open = std::max(most_open, open);
    least_share = std::min(least_share, w.share(0));
  }
  CHECK(most_open < 0.5 * carries);
  CHECK(least_share > 0.5 * carries / w.per_s);

  SUBCASE("and more again when it carries more") {
    carries = 1000;
    for (int i = 0; i < 1600; ++i) w.second(one_by_one);
    CHECK(w.share(0) == doctest::Approx(0.25).epsilon(0.05));
  }
}

TEST_CASE("a server that becomes slower, or answers nothing for a while, shows no limit") {
  for (const int reads : {1, 2, 8, 40}) {
    CAPTURE(reads);
    SteadyTraffic w(4);
    w.step = 250ms;
    std::vector<std::uint64_t> sent;
    for (int at = 0; at < 200; ++at)
      w.second([&](std::size_t i, LiveDelta& d) {
        if (i != 0) return;
        // From the tenth second on each answer comes so many reads late.
        sent.push_back(d.requests);
        const auto then = static_cast<std::size_t>(at < 40 ? 0 : reads);
        d.ended = d.timed = sent.size() - 1 >= 40 + then || at < 40 ? sent[sent.size() - 1 - then] : 0;
        d.open = 0;
        for (std::size_t k = sent.size() - then; k < sent.size(); ++k) d.open += sent[k];
        if (d.ended > 0) d.latency_ms = d.average_ms = 40 + 250.0 * static_cast<double>(then);
      });
    CHECK_FALSE(w.history->servers[0].live.quota_per_s.has_value());
  }
}

TEST_CASE("slow answers to requests that come by chance show no limit") {
  std::mt19937_64 random(5);
  SteadyTraffic w(4, 80);
  w.step = 250ms;
  // Each takes 0.3 s or more, so that some are always open.
  std::vector<double> ends;
  double now = 0;
  for (int at = 0; at < 2400; ++at) {
    now += 0.25;
    w.second([&](std::size_t i, LiveDelta& d) {
      d.latency_ms = d.average_ms = 400;
      if (i != 0) return;
      d.requests = static_cast<std::uint64_t>(std::poisson_distribution<>(5)(random));
      for (std::uint64_t k = 0; k < d.requests; ++k)
        ends.push_back(now - std::uniform_real_distribution<>(0, 0.25)(random) +
                       0.3 * std::exp(std::normal_distribution<>(0.2, 0.3)(random)));
      const auto before = ends.size();
      std::erase_if(ends, [now](double end) { return end <= now; });
      d.ended = d.timed = before - ends.size();
      d.open = ends.size();
    });
    CHECK_FALSE(w.history->servers[0].live.quota_per_s.has_value());
  }
}

TEST_CASE("max_rate: the share is never more than the plan carries, and falls when the traffic grows") {
  SteadyTraffic w(3, 100);
  w.backend.servers[0].max_rate = 25;
  for (int i = 0; i < 20; ++i) w.second(kFine);
  CHECK(w.share(0) <= 0.25 + 1.0 / 256);
  CHECK(w.share(0) > 0.2);
  CHECK(w.decision.servers[0].inputs.limited_by == "max_rate");
  CHECK(w.decision.servers[0].state == State::kHealthy);
  CHECK(w.decision.servers[0].inputs.quota_share.value() == doctest::Approx(0.25).epsilon(0.05));
  w.per_s = 300;
  for (int i = 0; i < 20; ++i) w.second(kFine);
  // The traffic of 300 a second is measured with a half-life of 3 s.
  CHECK(w.share(0) <= 25.0 / 290 + 1.0 / 256);
  CHECK(w.share(0) > 0.05);
}

TEST_CASE("max_rate: the part that a failing server loses goes to those that may have it") {
  SteadyTraffic w(3, 100);
  w.backend.servers[0].max_rate = 25;
  for (int i = 0; i < 20; ++i) w.second(kFine);
  // The failure penalty halves one, an ejection takes the rest.
  w.bad(1);
  w.decide();
  CHECK(w.held[1] < 75);
  CHECK(w.share(0) <= 0.26 + 1.0 / 256);
  w.bad(1);
  w.decide();
  CHECK(w.held[1] == 0);
  CHECK(w.share(0) <= 0.26 + 1.0 / 256);
}

TEST_CASE("max_rate: when all plans together carry less than the traffic, all get more in proportion") {
  SteadyTraffic w(2, 100);
  w.backend.servers[0].max_rate = 10;
  w.backend.servers[1].max_rate = 30;
  for (int i = 0; i < 20; ++i) w.second(kFine);
  CHECK(w.share(0) == doctest::Approx(0.25).epsilon(0.1));
}

TEST_CASE("under a hash one client's wrong requests are no server's quota") {
  SteadyTraffic t(3);
  t.requests = Requests::kOfSome;
  for (int i = 0; i < 30; ++i)
    t.second([](std::size_t server, LiveDelta& d) {
      if (server == 0) d.client_errors = d.requests / 2;
    });
  CHECK_FALSE(t.history->servers[0].live.quota_per_s);
  t.requests = Requests::kOfAll;
  for (int i = 0; i < 5; ++i)
    t.second([](std::size_t server, LiveDelta& d) {
      if (server == 0) d.client_errors = d.requests / 2;
    });
  CHECK(t.history->servers[0].live.quota_per_s);
}

TEST_CASE("under a hash a client's failing requests take no server after the other out") {
  SteadyTraffic t(4);
  t.requests = Requests::kOfSome;
  t.view.algorithm = "source";
  // A third of what comes to its server; HAProxy sends it to the next one when that is out.
  for (int i = 0; i < 30; ++i)
    t.second([](std::size_t server, LiveDelta& d) {
      if (server == 0) d.failures = d.requests / 3;
    });
  CHECK_FALSE(t.history->servers[0].ejection.is_out);
  // As many as nearly all requests of a server.
  const auto ejected = [&t] {
    return std::ranges::count_if(t.history->servers, [](const TargetHistory& h) { return h.ejection.is_out; });
  };
  for (int i = 0; i < 60; ++i) {
    const auto first = std::ranges::find(t.held, 0U, [](unsigned w) { return w == 0 ? 1U : 0U; }) - t.held.begin();
    t.second([&](std::size_t server, LiveDelta& d) {
      if (static_cast<std::ptrdiff_t>(server) == first) d.failures = d.requests * 9 / 10;
    });
    CHECK(ejected() <= 1);
  }
}

TEST_CASE("a quota that is gone is found out in time") {
  SteadyTraffic w(3, 300);
  for (int i = 0; i < 20; ++i) w.second(kFine);
  for (int i = 0; i < 30; ++i)
    w.second([](std::size_t s, LiveDelta& d) { d.client_errors = s == 0 && d.requests > 40 ? d.requests - 40 : 0; });
  CHECK(w.share(0) < 0.17);
  for (int i = 0; i < 1200; ++i) w.second(kFine);
  CHECK(w.share(0) > 0.25);
}

TEST_CASE("some seconds in which everything is refused do not cost minutes") {
  for (const int spell : {2, 5, 15, 60}) {
    CAPTURE(spell);
    SteadyTraffic w(4, 40);
    for (int i = 0; i < 20; ++i) w.second(kFine);
    for (int i = 0; i < spell; ++i)
      w.second([](std::size_t s, LiveDelta& d) { d.client_errors = s == 0 ? d.requests : 0; });
    CHECK(w.share(0) < 0.2);
    int back = 0;
    while (w.share(0) < 0.2 && back < 1000) {
      w.second(kFine);
      ++back;
    }
    CHECK(back <= 200);
  }
}

TEST_CASE("a server that refused everything from the first read on gets its share back") {
  SteadyTraffic w(4, 100);
  for (int i = 0; i < 10; ++i) w.second([](std::size_t s, LiveDelta& d) { d.client_errors = s == 0 ? d.requests : 0; });
  CHECK(w.share(0) < 0.05);
  for (int i = 0; i < 240; ++i) w.second(kFine);
  CHECK(w.share(0) > 0.2);
}

TEST_CASE("4xx that all servers answer are the clients' own") {
  SteadyTraffic w(3, 300);
  for (int i = 0; i < 60; ++i) w.second([](std::size_t, LiveDelta& d) { d.client_errors = d.requests / 5; });
  for (std::size_t s = 0; s < 3; ++s) CHECK(w.share(s) == doctest::Approx(1.0 / 3).epsilon(0.1));
}

TEST_CASE("a server that is slow for real requests gets less") {
  SteadyTraffic w(3, 300);
  for (int i = 0; i < 60; ++i) w.second([](std::size_t s, LiveDelta& d) { d.latency_ms = s == 0 ? 400.0 : 60.0; });
  CHECK(w.share(0) < 0.2);
  CHECK(has(w.decision.servers[0], Reason::kLiveLatency));
  CHECK(w.decision.servers[0].inputs.live_latency_ms == 400.0);
}

TEST_CASE("requests that pile up call for a probe at once") {
  SteadyTraffic w(3, 300);
  for (int i = 0; i < 20; ++i) CHECK(w.second(kFine).empty());
  CHECK(w.second([](std::size_t s, LiveDelta& d) { d.open = s == 2 ? 90 : 4; }) == std::vector<std::size_t>{2});
}

TEST_CASE("a few failures where there were none call for a probe, and a trickle of them does not") {
  SteadyTraffic clean(3, 300);
  for (int i = 0; i < 20; ++i) REQUIRE(clean.second(kFine).empty());
  const SteadyTraffic::Answers three = [](std::size_t s, LiveDelta& d) { d.failures = s == 2 ? 3 : 0; };
  CHECK(clean.second(three) == std::vector<std::size_t>{2});
  SteadyTraffic used_to_it(3, 300);
  for (int i = 0; i < 60; ++i) used_to_it.second(three);
  CHECK(used_to_it.second(three).empty());
}

TEST_CASE("limits that HAProxy does not see take a large part of the share with each probe") {
  SteadyTraffic w(4);
  for (int i = 0; i < 20; ++i) w.second(kFine);
  REQUIRE(w.share(0) == doctest::Approx(0.25).epsilon(0.05));
  for (const double left : {0.65, 0.65 * 0.65}) {
    w.bad(0, Reason::kRateLimited);
    for (int i = 0; i < 2; ++i) w.second(kFine);
    CHECK(w.share(0) < left * 0.25);
  }
  CHECK(w.share(0) > 0.05);
}

TEST_CASE("a server whose clients give up waiting goes out, though nothing has failed") {
  SteadyTraffic w(4);
  for (int i = 0; i < 20; ++i) w.second(kFine);
  // All its clients leave after a second.
  for (int i = 0; i < 5; ++i)
    w.second([](std::size_t s, LiveDelta& d) {
      if (s != 0) return;
      d.aborted = d.open = d.requests;
      d.ended = d.timed = 0;
    });
  CHECK(w.share(0) == 0);
  CHECK(has(w.decision.servers[0], Reason::kLiveErrors));
}

TEST_CASE("a server of which one method in ten hangs, and whose clients give up, loses its share") {
  SteadyTraffic w(4);
  for (int i = 0; i < 20; ++i) w.second(kFine);
  for (int i = 0; i < 10; ++i)
    w.second([](std::size_t s, LiveDelta& d) {
      if (s != 0) return;
      d.aborted = d.requests / 10;
      d.open = 2 + d.aborted;
      d.ended = d.timed = d.requests - d.aborted;
    });
  CHECK(w.share(0) < 0.15);
}

TEST_CASE("clients that ask two at once and take the first answer are no server's fault") {
  SteadyTraffic w(4);
  w.second(kFine);
  for (int i = 0; i < 60; ++i)
    w.second([](std::size_t s, LiveDelta& d) {
      if (s != 0) return;
      // They leave after 30 of 40 ms.
      d.aborted = d.requests / 2;
      d.open = 2;
      d.ended = d.timed = d.requests - d.aborted;
    });
  CHECK(w.share(0) == doctest::Approx(0.25).epsilon(0.1));
}

TEST_CASE("requests that wait take their part of the share at once, and give it back within seconds") {
  SteadyTraffic w(3, 300);
  for (int i = 0; i < 20; ++i) w.second(kFine);
  const double usual = w.share(2);
  w.second([](std::size_t s, LiveDelta& d) { d.open = s == 2 ? 60 : 4; });
  CHECK(w.share(2) < usual / 20);
  CHECK(w.decision.servers[2].state == State::kHealthy);
  w.second(kFine);
  CHECK(w.share(2) < usual);
  for (int i = 0; i < 4; ++i) w.second(kFine);
  CHECK(w.share(2) == doctest::Approx(usual).epsilon(0.1));
}

TEST_CASE("a server whose requests and probe wait is out after half of a time-out, whatever the strategy") {
  SteadyTraffic w(3, 300);
  w.backend.strategy = "equal";
  const auto hang = [&](std::size_t open) {
    w.second([&](std::size_t s, LiveDelta& d) { d.open = s == 2 ? open : 4; });
    return w.decision.servers[2].state;
  };
  for (int i = 0; i < 20; ++i) w.second(kFine);
  SUBCASE("both") {
    w.history->servers[2].probes.sent_at = w.now.mono;
    CHECK(hang(60) != State::kEjected);
    w.history->servers[2].probes.sent_at = w.now.mono - MonoTime{1s};
    CHECK(hang(120) == State::kEjected);
    CHECK(w.decision.servers[2].reasons.at(0).code == Reason::kLiveErrors);
  }
  SUBCASE("requests alone") {
    CHECK(hang(60) != State::kEjected);
    CHECK(hang(120) != State::kEjected);
  }
  SUBCASE("the probe alone") {
    w.history->servers[2].probes.sent_at = w.now.mono - MonoTime{1s};
    CHECK(hang(4) != State::kEjected);
  }
}

TEST_CASE("many requests at once that all servers have open are no server's fault") {
  SteadyTraffic w(3, 300);
  for (int i = 0; i < 20; ++i) w.second(kFine);
  CHECK(w.second([](std::size_t, LiveDelta& d) { d.open = 60; }).empty());
  CHECK(w.share(2) == doctest::Approx(1.0 / 3).epsilon(0.1));
}

TEST_CASE("one read is enough when chance can't explain its failures, and only then") {
  const auto after = [](double part) {
    SteadyTraffic w(4, 200);
    for (int i = 0; i < 20; ++i) w.second(kFine);
    w.second([&](std::size_t s, LiveDelta& d) {
      if (s == 1) d.failures = static_cast<std::uint64_t>(part * static_cast<double>(d.requests));
    });
    return w.decision.servers[1].state;
  };
  CHECK(after(0.04) == State::kHealthy);
  CHECK(after(0.12) != State::kEjected);
  CHECK(after(0.4) == State::kEjected);
  SteadyTraffic few(4, 8);
  for (int i = 0; i < 20; ++i) few.second(kFine);
  few.second([&](std::size_t s, LiveDelta& d) { d.failures = s == 1 ? d.requests : 0; });
  CHECK(few.decision.servers[1].state != State::kEjected);
}

TEST_CASE("requests that end badly after their server is out do not keep it out") {
  SteadyTraffic w(4);
  for (int i = 0; i < 20; ++i) w.second(kFine);
  for (int i = 0; i < 2; ++i) {
    w.pass_time(1s);
    w.bad(1);
    w.decide();
  }
  REQUIRE(w.held[1] == 0);
  // It hung, and its requests' time-outs come now.
  for (int i = 0; i < 5; ++i) w.second([](std::size_t s, LiveDelta& d) { d.failures = s == 1 ? 40 : 0; });
  for (int i = 0; i < 15; ++i) w.second(kFine);
  CHECK(w.held[1] > 0);
  CHECK(w.history->servers[1].ejection.count == 1);
}

TEST_CASE("several quotas at once do not hide each other") {
  SteadyTraffic w(4, 200);
  for (int i = 0; i < 20; ++i) w.second(kFine);
  double refused = 0;
  double all = 0;
  for (int i = 0; i < 200; ++i) {
    w.second([](std::size_t s, LiveDelta& d) {
      const std::uint64_t quota = s == 0 ? 20 : s == 1 ? 30 : 1000;
      d.client_errors = d.requests > quota ? d.requests - quota : 0;
    });
    if (i < 10) continue;
    for (const LiveDelta& d : w.last) {
      refused += static_cast<double>(d.client_errors);
      all += static_cast<double>(d.requests);
    }
  }
  CHECK(refused / all < 0.01);
  CHECK(w.share(0) == doctest::Approx(0.1).epsilon(0.3));
  CHECK(w.share(1) == doctest::Approx(0.15).epsilon(0.3));
}

TEST_CASE("the first count, and one after a long silence, do not take a server's quota for next to nothing") {
  SteadyTraffic w(3, 300);
  const SteadyTraffic::Answers limited = [](std::size_t s, LiveDelta& d) {
    d.client_errors = s == 0 && d.requests > 40 ? d.requests - 40 : 0;
  };
  SUBCASE("first") {
    w.second(limited);
    CHECK(w.history->servers[0].live.quota_per_s.value_or(300) > 20);
  }
  SUBCASE("after a silence") {
    for (int i = 0; i < 10; ++i) w.second(kFine);
    w.pass_time(20s);
    w.second(limited);
    // A burst of 100 was counted over 21 s, 40 of it answered: that is 1.9 a second.
    CHECK(w.history->servers[0].live.quota_per_s.value_or(300) > 4);
  }
  for (int i = 0; i < 150; ++i) w.second(limited);
  CHECK(w.share(0) > 0.05);
}
