// What is served over HTTP, without a socket.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <rapidjson/document.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "observe/decisions.hpp"
#include "observe/http.hpp"
#include "observe/metrics.hpp"
#include "observe/page.hpp"

using namespace rpcw;
using namespace rpcw::observe;

namespace {

ServerReport server(std::string name, unsigned weight, bool backup = false, State state = State::kHealthy) {
  ServerReport out;
  out.name = std::move(name);
  out.backup = backup;
  out.decision.weight = weight;
  out.decision.state = state;
  return out;
}

}  // namespace

TEST_CASE("http: paths and queries are decoded") {
  CHECK(percent_decoded("/a%20b+c%2", false) == "/a b+c%2");
  CHECK(percent_decoded("a+b%zz%", true) == "a b%zz%");
  CHECK(percent_decoded("%C3%A9%00", false) == std::string("\xC3\xA9\0", 3));
  const auto query = parse_query("backend=rpc%2Dbackend&limit=5&&flag&limit=7");
  CHECK(query.size() == 3);
  CHECK(query.find("backend")->second == "rpc-backend");
  CHECK(query.find("limit")->second == "7");
  CHECK(query.find("flag")->second == "");
}

TEST_CASE("http: gzip is used only where it is accepted") {
  CHECK(accepts_gzip("gzip"));
  CHECK(accepts_gzip("deflate, GZIP;q=0.5"));
  CHECK(accepts_gzip("br , x-gzip"));
  CHECK_FALSE(accepts_gzip(""));
  CHECK_FALSE(accepts_gzip("gzip;q=0"));
  CHECK_FALSE(accepts_gzip("gzip; q=0.000"));
  CHECK_FALSE(accepts_gzip("gzipped, br"));
  CHECK(accepts_openmetrics("application/openmetrics-text;version=1.0.0;q=0.8, text/plain;q=0.5"));
  CHECK_FALSE(accepts_openmetrics("text/plain"));
  CHECK_FALSE(accepts_openmetrics("application/openmetrics-text;q=0"));
}

TEST_CASE("http: hosts that may be asked for") {
  const std::vector<std::string> names{"weighter.internal"};
  CHECK(host_allowed("LOCALHOST:9404", names));
  CHECK(host_allowed("192.0.2.1", names));
  CHECK(host_allowed("[2001:db8::1]:80", names));
  CHECK(host_allowed("Weighter.Internal", names));
  for (const char* other : {"", ":9404", "weighter.internal.", "localhost.example", "[localhost]", "[::1", "1.2.3"})
    CHECK_FALSE_MESSAGE(host_allowed(other, names), other);
}

TEST_CASE("metrics: shares are of the servers that HAProxy uses") {
  BackendReport b;
  CHECK(shares_of(b).empty());
  b.servers = {server("a", 128), server("b", 64), server("c", 64, false, State::kDisabled), server("d", 256, true)};
  CHECK(shares_of(b) == std::vector<double>{128.0 / 192, 64.0 / 192, 0, 0});
  b.unmanaged_weight = 64;
  CHECK(shares_of(b) == std::vector<double>{0.5, 0.25, 0, 0});
  b.unmanaged_weight = 0;
  b.servers = {server("a", 0), server("d", 256, true)};
  CHECK(shares_of(b) == std::vector<double>{0, 1});
  b.servers = {server("a", 0)};
  CHECK(shares_of(b) == std::vector<double>{0});
  // Switched on, a server of a static algorithm weighs what haproxy.cfg says.
  b.servers = {server("a", 128), server("b", 128), server("c", 0)};
  b.servers[0].static_weight = 10;
  b.servers[1].static_weight = b.servers[2].static_weight = 30;
  CHECK(shares_of(b) == std::vector<double>{0.25, 0.75, 0});
}

TEST_CASE("metrics: a histogram counts each value in its bucket") {
  static constexpr std::array kBounds{0.1, 1.0};
  Histogram h(kBounds);
  for (const double value : {0.05, 0.1, 0.2, 1.0, 7.0}) h.observe(value);
  CHECK(h.counts()[0] == 2);
  CHECK(h.counts()[1] == 2);
  CHECK(h.counts()[2] == 1);
  CHECK(h.sum() == doctest::Approx(8.35));
}

namespace {

/// The metrics of one server, whose head takes two requests, and scrapes of them.
struct Scraped {
  Scraped() {
    BackendReport& b = report->backends.emplace_back();
    b.name = "dot";
    b.servers = {server("s", 128)};
    chain.offers.head_requests = 2;
    const std::array<control::Action, 1> added{control::action::AddTarget{0, &target, {}, &chain, "dot", "s"}};
    metrics->on_event(control::event::Started{}, {});
    metrics->on_actions(added, {}, {});
  }

  [[nodiscard]] bool has(std::string_view line) const {
    struct Text final : BodyWriter {
      boost::asio::awaitable<bool> next() override { co_return true; }
      boost::asio::awaitable<bool> flush() override { co_return true; }
    } out;
    boost::asio::io_context io;
    boost::asio::co_spawn(io, Metrics::write(metrics, report, false, out), boost::asio::detached);
    io.run();
    return out.text.find(fmt::format("\n{}\n", line)) != std::string::npos;
  }

  config::Target target;
  Chain chain;
  std::shared_ptr<Metrics> metrics = std::make_shared<Metrics>(WallTime{});
  std::shared_ptr<Report> report = std::make_shared<Report>();
};

}  // namespace

TEST_CASE("metrics: a head is billed with the requests that it takes") {
  const Scraped s;
  for (int i = 0; i < 3; ++i) s.metrics->on_event(control::event::HeadSent{0}, {});
  CHECK(s.has("rpc_weighter_probe_requests_total{backend=\"dot\",server=\"s\",question=\"head\"} 6"));
}

TEST_CASE("metrics: what can happen to a server is 0 before it happens") {
  const Scraped s;
  for (const char* result : {"ok", "connect_failed", "tls_failed", "dns_failed", "timeout", "http_status", "rpc_error",
                             "bad_answer", "too_large", "rate_limited"}) {
    CAPTURE(result);
    CHECK(s.has(fmt::format("rpc_weighter_probes_total{{backend=\"dot\",server=\"s\",result=\"{}\"}} 0", result)));
  }
  for (const char* reason :
       {"connect_failed", "timeout", "rate_limited", "latency_too_high", "block_too_old", "block_lag", "block_ahead",
        "wrong_chain", "forked", "syncing", "canary_failed", "live_errors"}) {
    CAPTURE(reason);
    CHECK(s.has(fmt::format("rpc_weighter_ejections_total{{backend=\"dot\",server=\"s\",reason=\"{}\"}} 0", reason)));
  }
  CHECK_FALSE(s.has("rpc_weighter_ejections_total{backend=\"dot\",server=\"s\",reason=\"standby\"} 0"));
  const std::array<control::Action, 1> decided{control::action::Decided{{{.backend = "dot",
                                                                          .server = "s",
                                                                          .from_state = State::kHealthy,
                                                                          .to_state = State::kEjected,
                                                                          .from_weight = 128,
                                                                          .to_weight = 0,
                                                                          .reasons = {{Reason::kForked, "x"}}}}}};
  s.metrics->on_actions(decided, {}, {});
  CHECK(s.has("rpc_weighter_ejections_total{backend=\"dot\",server=\"s\",reason=\"forked\"} 1"));
}

TEST_CASE("metrics: a server that is gone is forgotten, whether or not they are scraped meanwhile") {
  const Scraped s;
  s.metrics->on_event(control::event::HeadSent{0}, {});
  Report without = *s.report;
  without.backends[0].servers.clear();
  s.metrics->forget_gone(without);
  CHECK(s.has("rpc_weighter_probe_requests_total{backend=\"dot\",server=\"s\",question=\"head\"} 0"));
}

TEST_CASE("decisions: the newest first, at most 200, and filtered") {
  Decisions all;
  for (unsigned i = 0; i < 300; ++i)
    all.add({.backend = i % 2 == 0 ? "x" : "y",
             .server = "s",
             .from_state = State::kHealthy,
             .to_state = State::kEjected,
             .from_weight = i,
             .to_weight = 0,
             .reasons = {{Reason::kTimeout, "no \"answer\" <b>"}}},
            WallTime(milliseconds(1'700'000'000'123)));
  const auto shown = [&](const Decisions::Filter& filter) {
    rapidjson::Document out;
    out.Parse(all.json(filter).c_str());
    REQUIRE_FALSE(out.HasParseError());
    return out;
  };
  const auto newest = shown({});
  REQUIRE(newest["decisions"].Size() == 200);
  CHECK(newest["decisions"][0]["from_weight"].GetInt() == 299);
  CHECK(newest["decisions"][199]["from_weight"].GetInt() == 100);
  CHECK(newest["decisions"][0]["time"].GetString() == std::string("2023-11-14T22:13:20.123Z"));
  CHECK(newest["decisions"][0]["reasons"][0]["detail"].GetString() == std::string("no \"answer\" <b>"));
  const auto some = shown({.backend = "x", .limit = 3});
  REQUIRE(some["decisions"].Size() == 3);
  CHECK(some["decisions"][0]["from_weight"].GetInt() == 298);
  CHECK(some["decisions"][2]["from_weight"].GetInt() == 294);
  CHECK(shown({.server = "other"})["decisions"].Size() == 0);
}

TEST_CASE("page: its policy names the hashes of its own style and script, and nothing is loaded from elsewhere") {
  const HttpAnswer page = status_page();
  CHECK(page.content_type == "text/html; charset=utf-8");
  REQUIRE(page.headers.size() == 1);
  const std::string& policy = page.headers[0].second;
  CHECK(policy.starts_with("default-src 'none'; script-src 'sha256-"));
  CHECK(policy.find("unsafe") == std::string::npos);
  CHECK(page.body.starts_with("<!doctype html>"));
  CHECK(page.body.ends_with("</html>\n"));
  for (const char* outside : {"src=\"http", "href=\"http", "url(", "@import", "innerHTML", "eval("})
    CHECK_MESSAGE(page.body.find(outside) == std::string::npos, outside);
}
