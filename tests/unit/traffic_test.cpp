#include "weighter/system/traffic.hpp"

#include <doctest/doctest.h>

#include <initializer_list>
#include <utility>

using namespace rpcw;
using namespace std::chrono_literals;

namespace {

/// ws with b and a, which follows rpc with a, b and c, and comes first in the file; quiet, whose traffic is not looked
/// at.
config::Config two_doors() {
  config::Config out;
  const auto add = [&](const char* name, std::initializer_list<const char*> servers) -> config::Backend& {
    config::Backend& b = out.backends.emplace_back();
    b.name = name;
    b.chain.name = "test";
    for (const char* server : servers) b.servers.push_back({server, {}, 1.0});
    return b;
  };
  add("ws", {"b", "a"}).follows = "rpc";
  add("rpc", {"a", "b", "c"});
  add("quiet", {"d"}).live = false;
  return out;
}

using Rows = std::initializer_list<std::pair<const char*, std::uint64_t>>;

/// HAProxy as read: by backend, how many requests each server has had and answered, by name.
haproxy::Instance read(std::initializer_list<std::pair<const char*, Rows>> backends) {
  haproxy::Instance out;
  for (const auto& [name, rows] : backends) {
    haproxy::BackendRow& backend = out.backends.emplace_back();
    backend.name = name;
    for (const auto& [server, requests] : rows) {
      haproxy::ServerRow& row = backend.servers.emplace_back();
      row.name = server;
      row.uweight = 1;
      haproxy::Counters& c = row.counters;
      c.stot = c.lbtot = c.hrsp_2xx = requests;
      c.hrsp_1xx = c.hrsp_3xx = c.hrsp_4xx = c.hrsp_5xx = c.hrsp_other = 0;
      c.econ = c.eresp = c.wretr = c.wredis = c.cli_abrt = c.qcur = c.scur = 0;
    }
    backend.index();
  }
  return out;
}

std::vector<std::uint64_t> requests(const std::vector<LiveDelta>& deltas) {
  std::vector<std::uint64_t> out;
  for (const LiveDelta& d : deltas) out.push_back(d.requests);
  return out;
}

}  // namespace

TEST_CASE("traffic of a backend that follows another one counts for the servers of that one") {
  const config::Config config = two_doors();
  const SystemState state(config);
  const haproxy::Instance before = read({{"rpc", {{"a", 10}, {"b", 10}, {"c", 10}}}, {"ws", {{"a", 5}, {"b", 5}}}});
  haproxy::Instance after = read({{"rpc", {{"a", 11}, {"b", 12}, {"c", 14}}}, {"ws", {{"a", 13}, {"b", 21}}}});
  const Traffic traffic = count_traffic(config, state, &before, after, 1s);
  REQUIRE(traffic.by_judge.size() == 3);
  CHECK(traffic.by_judge[0].empty());
  CHECK(requests(traffic.by_judge[1]) == std::vector<std::uint64_t>{1 + 8, 2 + 16, 4});
  CHECK(traffic.by_judge[2].empty());
  CHECK(traffic.requests == 31);
}

TEST_CASE("traffic is counted from the second read of a worker, for backends that HAProxy has and that are looked at") {
  const config::Config config = two_doors();
  const SystemState state(config);
  haproxy::Instance first = read({{"rpc", {{"a", 10}}}, {"quiet", {{"d", 10}}}});
  const Traffic none = count_traffic(config, state, nullptr, first, 1s);
  CHECK(none.requests == 0);
  for (const auto& deltas : none.by_judge) CHECK(deltas.empty());
  haproxy::Instance second = read({{"rpc", {{"a", 13}}}, {"quiet", {{"d", 20}}}});
  const Traffic some = count_traffic(config, state, &first, second, 1s);
  CHECK(some.requests == 3);
  CHECK(requests(some.by_judge[1]) == std::vector<std::uint64_t>{3, 0, 0});
  CHECK(some.by_judge[0].empty());
  CHECK(some.by_judge[2].empty());
}

TEST_CASE("open requests are those of all HAProxys that were read of late") {
  const auto shown = [](std::uint64_t a, std::uint64_t b) {
    Traffic out;
    out.by_judge.resize(1);
    out.by_judge[0].resize(2);
    out.by_judge[0][0].open = a;
    out.by_judge[0][1].open = b;
    return out;
  };
  const auto open = [](const Traffic& t) {
    return std::pair(t.by_judge.at(0).at(0).open, t.by_judge.at(0).at(1).open);
  };
  OpenRequests requests;
  Traffic busy = shown(10, 3);
  requests.sum_up(0, busy, 1s);
  CHECK(open(busy) == std::pair{10UL, 3UL});
  Traffic idle = shown(0, 0);
  requests.sum_up(1, idle, 1500ms);
  CHECK(open(idle) == std::pair{10UL, 3UL});
  // What it showed before is replaced.
  Traffic again = shown(2, 4);
  requests.sum_up(0, again, 2s);
  CHECK(open(again) == std::pair{2UL, 4UL});
  Traffic late = shown(1, 1);
  requests.sum_up(1, late, 9s);
  CHECK(open(late) == std::pair{1UL, 1UL});
}
