// What `drain` may do, from what HAProxy shows.
#include "weighter/plan/maintenance.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

#include "haproxy/protocol.hpp"

using namespace rpcw;
using Kind = DrainPlan::Kind;

namespace {

haproxy::ServerRow server(std::string name, unsigned weight, std::string status = "UP", unsigned admin_state = 0) {
  haproxy::ServerRow out;
  out.backend = "rpc";
  out.name = std::move(name);
  out.status = std::move(status);
  out.uweight = weight;
  out.admin_state = admin_state;
  out.active = true;
  return out;
}

haproxy::Instance with(std::vector<haproxy::ServerRow> servers) {
  haproxy::Instance out;
  haproxy::BackendRow& backend = out.backends.emplace_back();
  backend.name = "rpc";
  backend.servers = std::move(servers);
  backend.index();
  return out;
}

Kind kind(std::vector<haproxy::ServerRow> servers) {
  return plan_drain(with(std::move(servers)), "rpc", "a").kind;
}

}  // namespace

TEST_CASE("drain: only while another server of the backend serves") {
  CHECK(kind({server("a", 128), server("b", 128)}) == Kind::kDrain);
  CHECK(kind({server("a", 128), server("b", 1, "no check")}) == Kind::kDrain);
  CHECK(kind({server("a", 256)}) == Kind::kLast);
  CHECK(kind({server("a", 256), server("b", 0)}) == Kind::kLast);
  CHECK(kind({server("a", 256), server("b", 0, "DRAIN")}) == Kind::kLast);
  CHECK(kind({server("a", 128), server("b", 128, "DOWN")}) == Kind::kLast);
  CHECK(kind({server("a", 128), server("b", 128, "NOLB")}) == Kind::kLast);
  CHECK(kind({server("a", 128), server("b", 128, "DRAIN", haproxy::kForcedDrain)}) == Kind::kLast);
  CHECK(kind({server("a", 128), server("b", 128, "UP", haproxy::kInheritedMaint)}) == Kind::kLast);
  haproxy::ServerRow hidden = server("b", 128, "DRAIN");
  hidden.admin_state.reset();
  CHECK(kind({server("a", 128), hidden}) == Kind::kLast);
  haproxy::ServerRow backup = server("b", 256);
  backup.active = false;
  backup.backup = true;
  CHECK(kind({server("a", 256), backup}) == Kind::kDrain);
}

TEST_CASE("drain: a server that does not serve takes nothing away") {
  CHECK(kind({server("a", 0), server("b", 0)}) == Kind::kDrain);
  CHECK(kind({server("a", 128, "DOWN")}) == Kind::kDrain);
  CHECK(kind({server("a", 128, "DRAIN", haproxy::kForcedDrain)}) == Kind::kOut);
  CHECK(kind({server("a", 128, "MAINT", haproxy::kForcedMaint)}) == Kind::kOut);
}

TEST_CASE("drain: a server that stands by takes over if the agent judges it healthy") {
  const auto leader = with({server("a", 256), server("b", 0, "DRAIN"), server("c", 0), server("d", 0, "DOWN")});
  CHECK(plan_drain(leader, "rpc", "a", {"a", "c", "d"}).successor == "c");
  CHECK(plan_drain(leader, "rpc", "a", {"a", "b", "c"}).successor == "b");
  CHECK(plan_drain(leader, "rpc", "a", {"a", "d"}).kind == Kind::kLast);
  const DrainPlan alone = plan_drain(leader, "rpc", "a");
  CHECK(alone.kind == Kind::kLast);
  CHECK(alone.why ==
        "a is the last server of rpc that serves; b, c have weight 0, and no running agent judges them "
        "healthy");
  // With another one that serves there is nothing to hand over.
  CHECK(plan_drain(with({server("a", 128), server("b", 128), server("c", 0)}), "rpc", "a", {"c"}).successor == "");
}

TEST_CASE("drain: names that HAProxy lacks, or has twice") {
  const auto pair = with({server("a", 128), server("b", 128)});
  CHECK(plan_drain(pair, "other", "a").why == "HAProxy has no backend other");
  CHECK(plan_drain(pair, "rpc", "c").why == "backend rpc has no server c; it has a, b");
  const auto twice = with({server("a", 128), server("a", 128), server("b", 128)});
  CHECK(plan_drain(twice, "rpc", "a").kind == Kind::kUnknown);
  CHECK(haproxy::set_state_command("rpc", "a", true) == "set server rpc/a state drain");
  CHECK(haproxy::set_state_command("rpc", "a", false) == "set server rpc/a state ready");
  CHECK_THROWS_AS(haproxy::set_state_command("rpc", "a;b", true), std::invalid_argument);
}
