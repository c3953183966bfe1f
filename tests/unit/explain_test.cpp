// Explanations of reports, and the line that systemd shows.
#include "observe/explain.hpp"

#include <doctest/doctest.h>

#include "observe/render.hpp"
#include "observe/sd_notify.hpp"

using namespace rpcw;
using namespace rpcw::observe;
using namespace std::chrono_literals;

namespace {

Report report() {
  Report out;
  EndpointReport& endpoint = out.haproxy.emplace_back();
  endpoint.endpoint = "unix:/a";
  endpoint.reachable = true;
  BackendReport& b = out.backends.emplace_back();
  b.name = "rpc";
  b.strategy = "adaptive";
  b.head = AgreedHead{.number = 19000123, .agreed_by = 3};
  for (const char* name : {"a", "b"}) {
    ServerReport& s = b.servers.emplace_back();
    s.name = name;
    s.current_weight = 128;
    s.decision.state = State::kHealthy;
    s.decision.weight = 128;
    s.decision.score = 0.01;
    ScoreInputs& in = s.decision.inputs;
    in.latency_used_ms = 50;
    in.gamma = 1;
    in.freshness = 1;
    in.error_rate = 0.05;
    in.attempts = 10;
    in.failures = 1;
  }
  return out;
}

std::string of(const Report& r, std::string_view server) {
  const auto text = explain(render_json(r), "rpc", server);
  REQUIRE(text);
  return *text;
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("explain: an answer that is missing says why the latency is long") {
  Report r = report();
  CHECK_FALSE(has(of(r, "a"), "unanswered_ms"));
  r.backends[0].servers[0].decision.inputs.unanswered_ms = 1200;
  CHECK(has(of(r, "a"), "unanswered_ms    1200 "));
}

TEST_CASE("explain: a backup's weight is no part of what the active servers share") {
  Report r = report();
  ServerReport spare = r.backends[0].servers[0];
  spare.name = "spare";
  spare.backup = true;
  spare.decision.weight = 256;
  r.backends[0].servers.push_back(spare);
  CHECK(has(of(r, "a"), "All scores add up to 0.02; its part is 50.0 %."));
  CHECK(has(of(r, "a"), "weight = 128, 50.0 % of the traffic\n"));
  CHECK(has(of(r, "spare"), "weight = 256, for when no active server is left\n"));
  for (std::size_t i = 0; i < 2; ++i) r.backends[0].servers[i].decision.weight = 0;
  CHECK(has(of(r, "spare"), "weight = 256, 100.0 % of the traffic\n"));
}

TEST_CASE("explain: a report whose blocks have no number is no end of the program") {
  std::string text = render_json(report());
  const auto from = text.find("\"number\":19000123");
  REQUIRE(from != std::string::npos);
  SUBCASE("none") {
    text.replace(from, 17, "\"other\":1");
  }
  SUBCASE("negative") {
    text.replace(from, 17, "\"number\":-1");
  }
  const auto explained = explain(text, "rpc", "a");
  REQUIRE(explained);
  CHECK(has(*explained, "The agreed head is"));
}

TEST_CASE("explain: the factors multiply to the score of the report") {
  const std::string text = of(report(), "a");
  CHECK(text.starts_with("a of rpc is healthy.\n"));
  CHECK(has(text, "The agreed head is 19000123; 3 operators agree on it."));
  CHECK(has(text, "  latency_used_ms    50 "));
  CHECK(has(text, "1 failures of 10 attempts"));
  CHECK(has(text, "score = 1 × 1 × 1 × 1 × 1 × 1 ÷ (max(50, 20)^1 × (1 + 20 × 0.05)) = 0.01\n"));
  CHECK(has(text, "its part is 50.0 %."));
  CHECK(has(text, "weight = 128, 50.0 % of the traffic\n"));
  CHECK(text.ends_with("HAProxy has the same: 128.\n"));
}

TEST_CASE("explain: how often it is probed, and its budget") {
  Report r = report();
  CHECK_FALSE(has(of(r, "a"), "It is probed"));
  r.backends[0].servers[0].probe_interval = 5s;
  CHECK(has(of(r, "a"), "It is probed each 5 s.\n"));
  r.backends[0].servers[0].probe_interval = 7340ms;
  r.backends[0].servers[0].probe_budget_per_s = 20'000 / 86'400.0;
  CHECK(has(of(r, "a"), "It is probed each 7.3 s; its budget is 20000 requests a day.\n"));
}

TEST_CASE("explain: a server of a higher tier stands by, and its score counts for no part") {
  Report r = report();
  ServerDecision& d = r.backends[0].servers[1].decision;
  d.weight = 0;
  d.reasons = {{Reason::kStandby, "tier 1: servers of lower tiers are enough"}};
  r.backends[0].servers[0].decision.weight = 256;
  CHECK(has(of(r, "b"), "  standby: tier 1: servers of lower tiers are enough\n"));
  CHECK(has(of(r, "b"), "It stands by: servers of lower tiers have the traffic, and its score does not count."));
  CHECK(has(of(r, "a"), "its part is 100.0 %."));
}

TEST_CASE("explain: an ejected server, a fallback, a limit, a HAProxy that has another weight") {
  Report r = report();
  ServerDecision& d = r.backends[0].servers[0].decision;
  d.state = State::kEjected;
  d.reasons = {{Reason::kTimeout, "no answer in 3 s"}};
  d.score = 0;
  r.backends[0].fallback = config::Fallback::kEqual;
  r.backends[0].servers[1].decision.inputs.limited_by = "growth";
  r.backends[0].servers[1].current_weight = 7;
  CHECK(has(of(r, "a"), "  timeout: no answer in 3 s\n"));
  CHECK(has(of(r, "a"), "Its score is 0: a server that is ejected gets nothing"));
  CHECK(has(of(r, "a"), "the weights follow the fallback \"equal\""));
  CHECK(has(of(r, "b"), "still on its way up"));
  CHECK(has(of(r, "b"), "HAProxy had 7."));
}

TEST_CASE("explain: names that are not there, and what is no report") {
  const std::string json = render_json(report());
  CHECK(explain(json, "other", "a").error() == "there is no backend other; there are rpc");
  CHECK(explain(json, "rpc", "c").error() == "rpc has no server c; it has a, b");
  for (const char* text : {"", "[]", "{\"backends\":[{}]}", "{\"backends\":[{\"servers\":[{}]}]}", "<html>"})
    CHECK(explain(text, "rpc", "a").error() == "the answer is no report of rpc-weighter");
}

TEST_CASE("the line that systemd shows") {
  Report r = report();
  CHECK(status_line(r) == "2 of 2 servers of 1 backend healthy; HAProxy answers");
  r.backends[0].servers[0].decision.state = State::kEjected;
  r.backends[0].fallback = config::Fallback::kEqual;
  r.haproxy.emplace_back().endpoint = "unix:/b";
  CHECK(status_line(r) == "1 of 2 servers of 1 backend healthy, fallback in rpc; 1 of 2 HAProxys answer");
  // With drive = "agent" alone HAProxy asks, and none is asked.
  r.haproxy.clear();
  CHECK(status_line(r) == "1 of 2 servers of 1 backend healthy, fallback in rpc");
}
