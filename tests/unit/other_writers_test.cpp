#include "weighter/plan/other_writers.hpp"

#include <doctest/doctest.h>

using namespace rpcw;
using namespace std::chrono_literals;
using Repair = OtherWriters::Repair;

namespace {

const OtherWriters::Key kServer{"rpc", "a"};

MonoTime at(std::chrono::seconds t) {
  return 1h + t;
}

std::vector<config::Backend> ours() {
  config::Backend backend;
  backend.name = "rpc";
  backend.servers.push_back({"a", {}, 1.0});
  backend.servers.push_back({"b", {}, 1.0});
  return {backend};
}

/// HAProxy as read: the weights of rpc/a, rpc/b and rpc/other, which is not ours.
haproxy::Instance read(unsigned a, unsigned b, unsigned other = 1) {
  haproxy::Instance out;
  haproxy::BackendRow& backend = out.backends.emplace_back();
  backend.name = "rpc";
  for (const auto& [name, weight] : {std::pair{"a", a}, {"b", b}, {"other", other}}) {
    haproxy::ServerRow& server = backend.servers.emplace_back();
    server.name = name;
    server.uweight = weight;
  }
  backend.index();
  return out;
}

/// Another writer changes rpc/a, and its weight is to be put back.
Repair changed_and_repaired(OtherWriters& writers, MonoTime now) {
  const haproxy::Instance before = read(100, 100);
  writers.compare_reads(ours(), &before, read(1, 100), {});
  return writers.repair(kServer, now);
}

}  // namespace

TEST_CASE("another writer is known by a weight that differs between two reads of one worker") {
  OtherWriters writers;
  const haproxy::Instance before = read(100, 100, 100);
  writers.compare_reads(ours(), &before, read(1, 1, 1), {{"rpc", "b"}});
  CHECK(writers.repair(kServer, at(0s)) == Repair::kPutBack);
  // It may have been us.
  CHECK(writers.repair({"rpc", "b"}, at(0s)) == Repair::kNone);
  // It is no server of ours.
  CHECK(writers.repair({"rpc", "other"}, at(0s)) == Repair::kNone);
}

TEST_CASE("a server that was deleted and added again under its name has a new weight by no writer") {
  OtherWriters writers;
  for (int i = 0; i < 10; ++i) {
    const haproxy::Instance before = read(0, 100);
    haproxy::Instance after = read(100, 100);
    haproxy::ServerRow& again = after.backends[0].servers[0];
    SUBCASE("with another address") {
      again.addr = "127.0.0.1:1";
    }
    SUBCASE("with another id") {
      again.sid = 7;
    }
    writers.compare_reads(ours(), &before, after, {});
    CHECK(writers.repair(kServer, at(i * 2s)) == Repair::kNone);
  }
  CHECK(writers.left_alone(at(20s)).empty());
}

TEST_CASE("a server that HAProxy has no more is forgotten, with what was done to it") {
  OtherWriters writers;
  for (const auto t : {0s, 1s, 2s, 3s, 4s}) changed_and_repaired(writers, at(t));
  REQUIRE(writers.left_alone(at(5s)) == std::vector{kServer});
  haproxy::Instance without = read(100, 100);
  SUBCASE("the server alone") {
    without.backends[0].servers.erase(without.backends[0].servers.begin());
    without.backends[0].index();
  }
  SUBCASE("its backend") {
    without.backends.clear();
  }
  writers.compare_reads(ours(), nullptr, without, {});
  CHECK(writers.left_alone(at(5s)).empty());
  CHECK(changed_and_repaired(writers, at(6s)) == Repair::kPutBack);
}

TEST_CASE("a weight that changes together with MAINT or DRAIN is the operator's, and no fight") {
  OtherWriters writers;
  haproxy::Instance before = read(86, 85);
  before.backends[0].servers[0].admin_state = 8;
  writers.compare_reads(ours(), &before, read(0, 85), {});
  CHECK(writers.repair(kServer, at(0s)) == Repair::kNone);
}

TEST_CASE("a change by another writer is one repair, however often the push is tried") {
  OtherWriters writers;
  CHECK(changed_and_repaired(writers, at(0s)) == Repair::kPutBack);
  for (int i = 0; i < 10; ++i) CHECK(writers.repair(kServer, at(1s)) == Repair::kNone);
}

TEST_CASE("what another writer did is over with the next read, and with the worker") {
  OtherWriters writers;
  const haproxy::Instance before = read(100, 100);
  const haproxy::Instance after = read(1, 100);
  writers.compare_reads(ours(), &before, after, {});
  SUBCASE("read again") {
    writers.compare_reads(ours(), &after, after, {});
  }
  SUBCASE("another worker") {
    writers.compare_reads(ours(), nullptr, after, {});
  }
  CHECK(writers.repair(kServer, at(0s)) == Repair::kNone);
}

TEST_CASE("five repairs within a minute are a fight, four are not") {
  OtherWriters writers;
  for (const auto t : {0s, 10s, 20s, 30s}) CHECK(changed_and_repaired(writers, at(t)) == Repair::kPutBack);
  CHECK(writers.left_alone(at(30s)).empty());
  CHECK(changed_and_repaired(writers, at(59s)) == Repair::kFight);
  CHECK(writers.left_alone(at(59s)) == std::vector{kServer});
  CHECK(writers.left_alone(at(118s)) == std::vector{kServer});
  CHECK(writers.left_alone(at(119s)).empty());
}

TEST_CASE("a repair every quarter of a minute goes on for ever") {
  OtherWriters writers;
  for (int i = 0; i < 100; ++i) CHECK(changed_and_repaired(writers, at(15s * i)) == Repair::kPutBack);
}

TEST_CASE("each fight that follows is left alone for twice as long, up to ten minutes; peace forgives") {
  OtherWriters writers;
  auto now = 0s;
  const auto fight = [&] {
    while (changed_and_repaired(writers, at(now += 1s)) != Repair::kFight) {
    }
    const auto begin = now;
    while (!writers.left_alone(at(now)).empty()) now += 1s;
    return now - begin;
  };
  for (const auto pause : {60s, 120s, 240s, 480s, 600s, 600s}) CHECK(fight() == pause);
  now += 700s;
  CHECK(fight() == 60s);
}
