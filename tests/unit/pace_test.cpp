#include "weighter/schedule/pace.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>
#include <string_view>

#include "cli/describe.hpp"
#include "config/load.hpp"
#include "config/url.hpp"
#include "weighter/cadence.hpp"
#include "weighter/plan/server_list.hpp"
#include "weighter/schedule/agenda.hpp"
#include "weighter/strategy/strategy.hpp"

using namespace rpcw;
using namespace std::chrono_literals;

namespace {

config::Config read(const std::string& text) {
  config::Surroundings surroundings = config::Surroundings::of_process(strategy_names());
  auto out = config::parse(text, "test.toml", surroundings);
  if (!out) FAIL(out.error().front().to_text());
  set_paces(out->config);
  return std::move(out->config);
}

/// Of one server: keys of [probe], its URL's host, keys of its own.
struct One {
  milliseconds interval{};
  milliseconds fast{};
  double budget = 0;
  std::uint64_t a_day = 0;
};

One one(std::string_view probe, std::string_view host, std::string_view own = "") {
  const config::Config c =
      read(fmt::format("[probe]\n{}\n[[backend]]\nname = \"b\"\nchain = \"ethereum\"\n[[backend.server]]\n"
                       "name = \"s\"\nurl = \"https://{}/key\"\n{}\n",
                       probe, host, own));
  const config::Target& t = c.backends[0].servers[0].target;
  const milliseconds interval = config::interval_of(t, c.probe);
  return {interval, config::fast_interval_of(t, c.probe), t.pace.budget, bill_of(c.backends[0], false, interval).sum()};
}

std::string refusal(std::string_view key) {
  const auto out = config::parse(fmt::format("[probe]\n{}\n[[backend]]\nname = \"b\"\nchain = \"ethereum\"\n"
                                             "[[backend.server]]\nname = \"s\"\nurl = \"http://h/\"\n",
                                             key),
                                 "f", config::Surroundings::of_process(strategy_names()));
  return out ? "" : out.error().front().message;
}

}  // namespace

TEST_CASE("pace: hosts of the own network") {
  for (const char* host : {"10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.1", "192.168.1.1", "169.254.1.1",
                           "fc00::1", "fdff::1", "fe80::1", "febf::1", "::ffff:10.1.2.3", "geth.chains.svc",
                           "geth.chains.svc.cluster.local", "GETH.Local", "node.internal.", "ip-10-0-0-1.ec2.internal"})
    CHECK_MESSAGE(url::is_own_network(host), host);
  for (const char* host : {"127.0.0.1",
                           "::1",
                           "localhost",
                           "geth",
                           "9.255.255.255",
                           "11.0.0.1",
                           "172.15.0.1",
                           "172.32.0.1",
                           "192.167.1.1",
                           "192.169.1.1",
                           "169.253.1.1",
                           "100.64.0.1",
                           "fbff::1",
                           "fec0::1",
                           "fe7f::1",
                           "::ffff:8.8.8.8",
                           "2001:db8::1",
                           "example.org",
                           "svc",
                           "local.example.org",
                           "mysvc",
                           "10.example.org",
                           "svc.example.com"})
    CHECK_FALSE_MESSAGE(url::is_own_network(host), host);
}

TEST_CASE("pace: by itself 1 s for own nodes, and 5 s for all others, loopback included") {
  CHECK(one("", "eth.example.org").interval == 5s);
  CHECK(one("", "127.0.0.1:8545").interval == 5s);
  CHECK(one("", "geth:8545").interval == 5s);
  CHECK(one("", "10.0.0.7:8545").interval == 1s);
  CHECK(one("", "[fd00::7]:8545").interval == 1s);
  CHECK(one("interval = \"auto\"", "geth.chains.svc.cluster.local").interval == 1s);
  // Doubts are settled sooner than others are asked.
  CHECK(one("", "eth.example.org").fast == 1s);
  CHECK(one("", "10.0.0.7").fast == 250ms);
  CHECK(one("fast_interval = \"500ms\"", "10.0.0.7").fast == 500ms);
  CHECK(one("fast_interval = \"2s\"", "10.0.0.7").fast == 1s);
}

TEST_CASE("pace: an interval that the file names is kept, and a server's own goes first") {
  CHECK(one("interval = \"5s\"", "10.0.0.7").interval == 5s);
  CHECK(one("interval = \"10s\"", "eth.example.org").interval == 10s);
  CHECK(one("interval = \"10s\"", "eth.example.org", "interval = \"2s\"").interval == 2s);
  CHECK(one("interval = \"10s\"", "eth.example.org", "interval = \"2s\"").fast == 500ms);
  CHECK(one("interval = \"10s\"", "eth.example.org", "interval = \"auto\"").interval == 5s);
  CHECK(one("interval = \"10s\"", "10.0.0.7", "interval = \"auto\"").interval == 1s);
  CHECK(one("", "10.0.0.7", "interval = \"3s\"").interval == 3s);
}

TEST_CASE("pace: as short as the budget allows, with a tenth kept for probes out of turn") {
  const One usual = one("budget = \"600000/month\"", "eth.example.org");
  CHECK(usual.budget == 20'000);
  CHECK(static_cast<double>(usual.a_day) <= 18'000);
  CHECK(static_cast<double>(usual.a_day) > 17'990);
  // A large one makes it shorter, down to that of own nodes.
  CHECK(one("budget = \"1500000/month\"", "eth.example.org").interval <= 2s);
  CHECK(one("budget = \"99999999/day\"", "eth.example.org").interval == 1s);
  // A server's own goes first.
  CHECK(one("budget = \"600000/month\"", "eth.example.org", "budget = \"40000/day\"").budget == 40'000);
  // Own nodes cost nothing, unless their table says otherwise.
  CHECK(one("budget = \"600000/month\"", "10.0.0.7").interval == 1s);
  CHECK(one("", "10.0.0.7", "budget = \"20000/day\"").a_day == usual.a_day);
  // One that the file names becomes longer, never shorter.
  CHECK(one("interval = \"10s\"\nbudget = \"600000/month\"", "eth.example.org").interval == 10s);
  CHECK(one("interval = \"1s\"\nbudget = \"600000/month\"", "10.0.0.7").a_day == usual.a_day);
  // Small ones make checks beside heads rarer too.
  const One small = one("budget = \"1000/day\"", "eth.example.org");
  CHECK(static_cast<double>(small.a_day) <= 900);
  CHECK(small.interval > 1min);
  CHECK(one("budget = \"100/day\"", "eth.example.org").interval <= 1h);
}

TEST_CASE("pace: budgets that are none") {
  CHECK(refusal("budget = \"600000/month\"").empty());
  CHECK(refusal("budget = \"100/day\"").empty());
  CHECK(refusal("budget = \"3000/month\"").empty());
  CHECK(
      refusal("budget = 600000") ==
      "600000 has no unit; write it as \"600000/month\" if it is requests in 30 days (units: /day, /month); accepted: "
      "3000/month to 3000000000/month");
  CHECK(refusal("budget = \"99/day\"") == "\"99/day\" is out of range; accepted: 100/day to 100000000/day");
  CHECK(refusal("budget = \"100000001/day\"") ==
        "\"100000001/day\" is out of range; accepted: 100/day to 100000000/day");
  // In the unit that the file uses, or should use.
  CHECK(refusal("budget = \"2999/month\"") ==
        "\"2999/month\" is out of range; accepted: 3000/month to 3000000000/month");
  CHECK(refusal("budget = \"5/s\"") ==
        "\"5/s\" is no budget; write a number and /day or /month, such as \"600000/month\"; accepted: 3000/month to "
        "3000000000/month");
  CHECK(refusal("budget = [1]") ==
        "found an array; expected requests in a time, such as \"600000/month\", from 3000/month to 3000000000/month");
}

TEST_CASE("pace: servers of HAProxy's list have one too") {
  const config::Config file = read(
      "[haproxy]\nendpoints = [\"unix:/x\"]\n[[backend]]\nname = \"b\"\n"
      "chain = \"ethereum\"\ndiscover = \"http://{addr}/\"\n[[backend.server]]\n"
      "name = \"slow\"\ninterval = \"30s\"\n");
  ServerLists lists;
  lists.backends.push_back({.found = true,
                            .shown = true,
                            .servers = {{"own", "10.0.0.7:8545"}, {"loop", "127.0.0.1:8545"}, {"slow", "10.0.0.8:1"}}});
  const config::Config c = with_servers(file, lists).config;
  REQUIRE(c.backends[0].servers.size() == 3);
  const auto interval = [&](std::size_t i) { return config::interval_of(c.backends[0].servers[i].target, c.probe); };
  CHECK(interval(0) == 1s);
  CHECK(interval(1) == 5s);
  CHECK(interval(2) == 30s);
}

TEST_CASE("pace: `check` shows interval and bill of each server and reference, and their sum") {
  const std::string text = cli::describe(read(R"([probe]
budget = "600000/month"
[[backend]]
name = "b"
chain = "ethereum"
[[backend.server]]
name = "hosted"
url = "https://eth.example.org/"
interval = "8s"
[[backend.server]]
name = "own"
url = "http://10.0.0.7:8545/"
[[backend.reference]]
url = "https://other.example.net/"
interval = "5s"
budget = "10000/day"
[[backend]]
name = "c"
chain = "ethereum"
[[backend.server]]
name = "tiny"
url = "https://eth.example.org/x"
budget = "100/day"
)"));
  for (const char* part :
       {"interval    auto, 1s for own nodes, 5s for others, every 1s in doubt,",
        "budget      20 000 requests a day to each provider", "every 8s, 12 528 requests a day, budget 20 000",
        "every 1s, 88 128 requests a day\n", "every 11.5s, 8 953 requests a day, budget 10 000",
        "cost        109 609 requests a day, 3 288 270 in 30 days", "all backends\n  cost        109 6"}) {
    CAPTURE(text);
    CHECK_MESSAGE(text.find(part) != std::string::npos, part);
  }
}
