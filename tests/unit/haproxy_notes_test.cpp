#include "weighter/plan/haproxy_notes.hpp"

#include <doctest/doctest.h>

using namespace rpcw;

TEST_CASE("notes name the servers of the file only, and the first five of them") {
  config::Backend backend;
  haproxy::BackendRow row;
  row.algo = "roundrobin";
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g"}) {
    backend.servers.push_back({name, {}, 1.0});
    row.servers.emplace_back().name = name;
  }
  row.servers.emplace_back().name = "foreign";
  for (auto& server : row.servers) server.agent_status = "L7OK";
  CHECK(haproxy_notes(backend, haproxy::BackendRow{}).empty());
  auto notes = haproxy_notes(backend, row);
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].code == "agent_check");
  CHECK(notes[0].detail.starts_with("servers a, b, c, d, e and 2 more have an `agent-check`"));
  CHECK(is_logged(notes[0]));

  for (auto& server : row.servers) server.agent_status.clear();
  row.servers[1].throttle = 25;
  notes = haproxy_notes(backend, row);
  // Weight 0 has nothing to warm up.
  CHECK(notes.empty());
  row.servers[1].uweight = 85;
  notes = haproxy_notes(backend, row);
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].detail.starts_with("server b (25 %) has only a part"));
  CHECK_FALSE(is_logged(notes[0]));

  row.servers[1].throttle.reset();
  row.servers[1].iweight = 100;
  row.servers[2].iweight = 0;
  notes = haproxy_notes(backend, row);
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].code == "configured_zero");
  CHECK(notes[0].detail.starts_with("server c has weight 0 in haproxy.cfg, and so nothing after a reload"));
  CHECK_FALSE(is_logged(notes[0]));
  row.percent = true;
  notes = haproxy_notes(backend, row);
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].code == "stuck_at_zero");
  CHECK(is_logged(notes[0]));
}

TEST_CASE("notes tell that a hash moves clients, and the dead band that holds") {
  const config::Backend backend;
  haproxy::BackendRow row;
  row.algo = "source";
  auto notes = haproxy_notes(backend, row);
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].code == "hash_dead_band");
  CHECK(notes[0].detail.find("by at least 50 % of itself") != std::string::npos);
  // With a hash map HAProxy takes only 0 % and 100 %.
  row.percent = true;
  CHECK(haproxy_notes(backend, row).empty());
  row.percent = false;
  row.algo = "leastconn";
  CHECK(haproxy_notes(backend, row).empty());
}

TEST_CASE("notes tell that mode tcp balances connections") {
  haproxy::BackendRow row;
  row.algo = "roundrobin";
  row.mode = "http";
  CHECK(haproxy_notes({}, row).empty());
  row.mode = "tcp";
  const auto notes = haproxy_notes({}, row);
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].code == "per_connection");
  // That is how most of them are meant.
  CHECK_FALSE(is_logged(notes[0]));
}
