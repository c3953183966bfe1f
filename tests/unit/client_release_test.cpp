#include "weighter/plan/client_release.hpp"

#include <doctest/doctest.h>

using namespace rpcw;
using Kind = haproxy::ReleaseCommand::Kind;

namespace {

/// rpc/a and rpc/b as read: their weights, and their sessions since HAProxy started.
haproxy::Instance read(unsigned weight, std::uint64_t sessions) {
  haproxy::Instance out;
  haproxy::BackendRow& backend = out.backends.emplace_back();
  backend.name = "rpc";
  for (const char* name : {"a", "b"}) {
    haproxy::ServerRow& server = backend.servers.emplace_back();
    server.name = name;
    server.sid = name[0] == 'a' ? 7 : 8;
    server.uweight = weight;
    server.counters.stot = sessions;
  }
  backend.index();
  return out;
}

struct Rpc {
  explicit Rpc(config::OnEject how) {
    backend.name = "rpc";
    backend.on_eject = how;
    for (const char* name : {"a", "b"}) backend.servers.emplace_back().name = name;
    decided.resize(2);
    decided[1].state = State::kHealthy;
  }

  /// a has this state by the last decision, and this weight in HAProxy.
  void follow(State state, unsigned weight) {
    decided[0].state = state;
    release.follow(backend, decided, read(weight, 10).backends[0]);
  }
  void compare(unsigned weight_before, unsigned weight, std::uint64_t sessions) {
    release.compare_reads(read(weight_before, 10), read(weight, sessions));
  }
  /// Sends what is due, which is done; returns how much that is.
  std::size_t send() {
    const std::size_t out = release.take().size();
    results = release.answered(std::vector<std::string>(out));
    return out;
  }

  config::Backend backend;
  std::vector<ServerDecision> decided;
  ClientRelease release;
  std::vector<ClientRelease::Result> results;
};

}  // namespace

TEST_CASE("on_eject: a server that HAProxy has no more is forgotten") {
  Rpc rpc(config::OnEject::kClearStick);
  rpc.follow(State::kEjected, 0);
  CHECK(rpc.send() == 1);
  haproxy::Instance without = read(0, 10);
  without.backends[0].servers.erase(without.backends[0].servers.begin());
  without.backends[0].index();
  rpc.release.compare_reads(read(0, 10), without);
  // Another server of that name has other clients.
  rpc.follow(State::kEjected, 0);
  CHECK(rpc.send() == 1);
}

TEST_CASE("on_eject: an ejected server's clients are released when it has weight 0, once for each ejection") {
  Rpc rpc(config::OnEject::kClearStick);
  rpc.follow(State::kEjected, 128);
  CHECK_FALSE(rpc.release.is_due());
  rpc.follow(State::kEjected, 0);
  REQUIRE(rpc.release.is_due());
  const std::vector<haproxy::ReleaseCommand> sent = rpc.release.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].kind == Kind::kClearStick);
  CHECK(sent[0].server == "a");
  CHECK(sent[0].sid == 7);
  const auto results = rpc.release.answered({""});
  REQUIRE(results.size() == 1);
  CHECK(results[0].trouble.empty());
  CHECK_FALSE(results[0].again);
  rpc.follow(State::kEjected, 0);
  CHECK(rpc.send() == 0);
  // One that stood by at weight 0 may have clients too.
  rpc.follow(State::kHealthy, 0);
  CHECK(rpc.send() == 0);
  rpc.follow(State::kEjected, 0);
  CHECK(rpc.send() == 1);
  // Another writer gave it weight, and so clients.
  rpc.follow(State::kEjected, 5);
  rpc.follow(State::kEjected, 0);
  CHECK(rpc.send() == 1);
}

TEST_CASE("on_eject: by sessions, by nothing, and in a single pass") {
  Rpc sessions(config::OnEject::kShutdownSessions);
  sessions.follow(State::kEjected, 0);
  REQUIRE(sessions.release.is_due());
  CHECK(sessions.release.take().front().kind == Kind::kShutdownSessions);
  Rpc none(config::OnEject::kNone);
  none.follow(State::kEjected, 0);
  CHECK_FALSE(none.release.is_due());
  // Each pass would shut them down again.
  Rpc pass(config::OnEject::kShutdownSessions);
  pass.release.leave_alone(read(0, 10));
  pass.follow(State::kEjected, 0);
  CHECK_FALSE(pass.release.is_due());
  Rpc falls(config::OnEject::kShutdownSessions);
  falls.release.leave_alone(read(100, 10));
  falls.follow(State::kEjected, 0);
  CHECK(falls.release.is_due());
}

TEST_CASE("on_eject: entries are cleared again while requests come to the ejected server") {
  Rpc rpc(config::OnEject::kClearStick);
  rpc.follow(State::kEjected, 0);
  REQUIRE(rpc.send() == 1);
  rpc.compare(0, 0, 10);
  CHECK_FALSE(rpc.release.is_due());
  for (int i = 0; i < 2; ++i) {
    rpc.compare(0, 0, 11);
    REQUIRE(rpc.send() == 1);
    CHECK(rpc.results[0].again);
  }
  // Sessions that are shut down stay so.
  Rpc sessions(config::OnEject::kShutdownSessions);
  sessions.follow(State::kEjected, 0);
  sessions.send();
  sessions.compare(0, 0, 11);
  CHECK_FALSE(sessions.release.is_due());
}

TEST_CASE("on_eject: clients of a server that stands by, has weight, has gone or is another worker's stay") {
  Rpc rpc(config::OnEject::kClearStick);
  rpc.follow(State::kEjected, 0);
  REQUIRE(rpc.send() == 1);
  SUBCASE("another writer gave it weight") {
    rpc.compare(0, 5, 11);
    CHECK_FALSE(rpc.release.is_due());
    rpc.compare(5, 0, 11);
    CHECK_FALSE(rpc.release.is_due());
    // And is not forgotten for that.
    rpc.compare(0, 0, 11);
    CHECK(rpc.release.is_due());
    return;
  }
  SUBCASE("it stands by at weight 0 after its return") {
    rpc.follow(State::kHealthy, 0);
  }
  SUBCASE("its server has gone") {
    rpc.release.compare_reads(read(0, 10), haproxy::Instance{});
    CHECK_FALSE(rpc.release.is_due());
    return;
  }
  SUBCASE("another worker") {
    rpc.release.forget_worker();
  }
  rpc.compare(0, 0, 11);
  CHECK_FALSE(rpc.release.is_due());
}

TEST_CASE("on_eject: another worker may have taken over the bindings") {
  Rpc rpc(config::OnEject::kClearStick);
  rpc.follow(State::kEjected, 0);
  REQUIRE(rpc.send() == 1);
  rpc.release.forget_worker();
  rpc.follow(State::kEjected, 0);
  CHECK(rpc.send() == 1);
}

TEST_CASE("on_eject: what HAProxy did not do is told, and its entries are not held for cleared") {
  for (const bool answered : {false, true}) {
    Rpc rpc(config::OnEject::kClearStick);
    rpc.follow(State::kEjected, 0);
    rpc.release.take();
    const auto results = answered ? rpc.release.answered({}) : rpc.release.failed("no connection");
    REQUIRE(results.size() == 1);
    CHECK(results[0].command.server == "a");
    CHECK(results[0].trouble == (answered ? "HAProxy gave no answer" : "no connection"));
    rpc.compare(0, 0, 11);
    CHECK_FALSE(rpc.release.is_due());
  }
}

TEST_CASE("on_eject: nothing is due once another agent acts") {
  Rpc rpc(config::OnEject::kClearStick);
  rpc.follow(State::kEjected, 0);
  rpc.release.drop();
  CHECK_FALSE(rpc.release.is_due());
}
