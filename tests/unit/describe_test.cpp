#include "cli/describe.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "unit/config_world.hpp"
#include "weighter/schedule/pace.hpp"

namespace rpcw::config {
namespace {

using namespace std::chrono_literals;

// ---- describe

/// As `check` shows it.
std::string described(std::string_view text) {
  Config config = good(text).config;
  set_paces(config);
  return cli::describe(config);
}

TEST_CASE("describe: the whole text") {
  CHECK(described(kWhole) == R"(rpc-weighter
  log         debug, JSON
  re-read     on SIGHUP and when the file changes

haproxy
  endpoints   unix:/run/haproxy/admin.sock, tcp:[::1]:9999, dns:${HOST}:9998,
              master:unix:/run/master, tcp:10.0.0.1:1
  exchanges   read every 250ms, time-out 1.5s, a CA of your own

probe
  interval    every 2s, every 50ms in doubt, time-out 60s
  verdict     out after 10 failed, back after 1 good
  at most     65536 requests at a time, 1024 look-ups, 64KiB an answer
  connection  through the proxy http://example.org:3128/…, a CA of your own,
              a client certificate

http
  listen      [::]:9404, unix:/run/weighter.sock
  hosts       weighter.internal

backend rpc-backend
  chain       mychain, evm, chain id 12345, a block every 2s
  limits      latency 150ms, block age not limited, lag 2m, lag 5 blocks,
              at least 3 peers
  strategy    inverse-latency (latency, block age), scale peak,
              without HAProxy's counters
  return      at once
  fallback    keep when fewer than 2 are healthy
  server      quicknode     https://example.org/…
              operator qn, headers X-Second Authorization A, preference 2,
              max_rate 1.5/s without effect,
              tier 9: serves while fewer than 2 of the lower tiers are healthy
              every 10s, 20 736 requests a day, budget 60 000
  server      file.1:2_3-4  https://example.net/…
              every 2s, 89 856 requests a day
  reference   https://example.com/…
              every 2s, 44 640 requests a day
  reference   http://reference.example.org:80/…
              operator ref, header B
              every 5s, 18 720 requests a day
  canary      eth_call, every 2s to 10s, with the probes
  canary      m, every 60s
  cost        173 952 requests a day, 5 218 560 in 30 days
              112 320 heads, 5 760 chain ids, 1 152 node states, 54 720 canaries

backend own
  chain       base, evm, chain id 8453, a block every 200ms
  limits      latency 2s, block age 20s, lag 10s
  strategy    adaptive (latency, lag, errors), scale share
  return      after 10s, doubled each time up to 5m, to its share within 30s
  fallback    equal when none is healthy
  servers     HAProxy's own list, https://{server}.{backend}:{port}/…
  cost        each server found: every 2s, 44 928 requests a day
)");
}

TEST_CASE("config: every strategy can be had, and describe says what it goes by") {
  const auto line_of = [](std::string_view keys) {
    const std::string text = cli::describe(good(fmt::format("{}{}\n{}", kInBackend, keys, kServer)).config);
    const std::size_t at = text.find("  strategy ");
    REQUIRE(at != std::string::npos);
    return text.substr(at, text.find("  return ", at) - at);
  };
  CHECK(line_of("") == "  strategy    adaptive (latency, lag, errors), scale share\n");
  CHECK(line_of("strategy = \"adaptive\"") == line_of(""));
  CHECK(line_of("strategy = \"inverse-latency\"") ==
        "  strategy    inverse-latency (latency, block age), scale share\n");
  CHECK(line_of("strategy = \"equal\"") == "  strategy    equal (health alone), scale share\n");
  CHECK(line_of("strategy = \"leader\"\nscale = \"peak\"\nmax_share = 1") ==
        "  strategy    leader (one server has everything), changes only when it fails\n");
  CHECK(line_of("strategy = \"leader\"\nswitch_back = true") ==
        "  strategy    leader (one server has everything),\n              switches back to a clearly better one\n");
}

/// Servers on HAProxy's own list, some of them with a table of their own; and a backend without.
constexpr std::string_view kDiscovering = R"([haproxy]
endpoints = ["unix:/x"]
[[backend]]
name = "found"
chain = "ethereum"
discover = "http://{addr}/"
[[backend.server]]
name = "ankr"
preference = 0.5
[[backend.server]]
name = "slow"
interval = "30s"
[[backend.server]]
name = "dear"
budget = "10000/day"
[[backend.reference]]
url = "https://reference.example/"
[[backend]]
name = "given"
chain = "ethereum"
[[backend.server]]
name = "a"
url = "https://a.example/"
)";

TEST_CASE("describe: what probing each server of HAProxy's own list takes, and all that the file names") {
  const std::string text = described(kDiscovering);
  CAPTURE(text);
  CHECK(text.find(R"(
  server      ankr  if HAProxy has it
              preference 0.5
              every 5s, 19 008 requests a day,
              as an own node every 1s, 88 128 requests a day
  server      slow  if HAProxy has it
              every 30s, 4 608 requests a day
  server      dear  if HAProxy has it
              every 11.9s, 8 989 requests a day, budget 10 000
  servers     HAProxy's own list, http://{addr}/…
  reference   https://reference.example/…
              every 5s, 18 720 requests a day
  cost        51 325 requests a day, 1 539 750 in 30 days for those named here
              44 701 heads, 5 760 chain ids, 864 node states
              each other server found: every 5s, 19 008 requests a day,
              as an own node every 1s, 88 128 requests a day
)") != std::string::npos);
  CHECK(text.find(R"(
all backends
  cost        70 333 requests a day, 2 109 990 in 30 days for those named here
)") != std::string::npos);
  // Under a budget of [probe], which is none of own nodes.
  CHECK(described(fmt::format("[probe]\nbudget = \"20000/day\"\n{}", kDiscovering)).find(R"(
              each other server found: every 5.31s, 17 999 requests a day,
              budget 20 000, as an own node every 1s, 88 128 requests a day
)") != std::string::npos);
}

TEST_CASE("describe: fits 80 columns") {
  const std::string text = described(kWhole) + described(kBackend) + described(kDiscovering);
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    REQUIRE(end != std::string_view::npos);
    const std::string line(rest.substr(0, end));
    CAPTURE(line);
    const auto columns =
        std::ranges::count_if(line, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; });
    CHECK(columns <= 80);
    CHECK_FALSE(line.ends_with(' '));
    rest.remove_prefix(end + 1);
  }
}

TEST_CASE("probe requests a day") {
  const auto bill = [](const char* probe, const char* backend) {
    const Config c = good(fmt::format("{}{}{}{}", probe, kInBackend, backend, kServer)).config;
    const Backend& b = c.backends[0];
    return bill_of(b, false, interval_of(b.servers[0].target, c.probe)).sum();
  };
  CHECK(bill("", "") == 17'280 + 1'440 + 288);
  CHECK(bill("[probe]\ninterval = \"1s\"\n", "") == 86'400 + 1'440 + 288);
  CHECK(bill("[probe]\ninterval = \"7s\"\n", "") == 12'343 + 1'440 + 288);
  CHECK(bill("", "[[backend.canary]]\nmethod = \"a\"\n[[backend.canary]]\nmethod = \"a\"\ninterval = \"24h\"\n") ==
        17'280 + 1'440 + 288 + 1'440 + 1);
  // Other checks go beside heads.
  CHECK(bill("[probe]\ninterval = \"1h\"\n", "") == 24 * 3);
  Config c = good(kBackend).config;
  CHECK(bill_of(c.backends[0], true, milliseconds{5000}).sum() == 17'280 + 1'440);
  c.backends[0].chain.offers.head_requests = 2;
  c.backends[0].chain.identity.clear();
  CHECK(bill_of(c.backends[0], false, milliseconds{5000}).sum() == 2 * 17'280 + 288);
}

}  // namespace
}  // namespace rpcw::config
