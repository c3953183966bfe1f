#include "weighter/plan/client_release.hpp"

#include <doctest/doctest.h>

using namespace rpcw;
using Kind = haproxy::ReleaseCommand::Kind;

namespace {

const ClientRelease::Key kServer{"rpc", "a"};

/// rpc/a as read: its weight, and its sessions since HAProxy started.
haproxy::Instance read(unsigned weight, std::uint64_t sessions) {
  haproxy::Instance out;
  haproxy::BackendRow& backend = out.backends.emplace_back();
  backend.name = "rpc";
  haproxy::ServerRow& server = backend.servers.emplace_back();
  server.name = "a";
  server.uweight = weight;
  server.counters.stot = sessions;
  backend.index();
  return out;
}

bool yes(const ClientRelease::Key& /*key*/) {
  return true;
}

bool no(const ClientRelease::Key& /*key*/) {
  return false;
}

/// Its server is ejected, and its entries are cleared.
ClientRelease cleared() {
  ClientRelease out;
  out.ejected(kServer, config::OnEject::kClearStick, 7);
  out.take();
  out.answered({""});
  return out;
}

}  // namespace

TEST_CASE("on_eject: an ejected server's clients are released once") {
  ClientRelease release;
  release.ejected(kServer, config::OnEject::kNone, 7);
  CHECK_FALSE(release.is_due());
  release.ejected(kServer, config::OnEject::kClearStick, 7);
  release.ejected({"rpc", "b"}, config::OnEject::kShutdownSessions, 8);
  REQUIRE(release.is_due());
  const std::vector<haproxy::ReleaseCommand> sent = release.take();
  CHECK_FALSE(release.is_due());
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].kind == Kind::kClearStick);
  CHECK(sent[0].sid == 7);
  CHECK(sent[1].kind == Kind::kShutdownSessions);
  CHECK(sent[1].server == "b");
  const auto results = release.answered({"", "No such server."});
  REQUIRE(results.size() == 2);
  CHECK(results[0].trouble.empty());
  CHECK_FALSE(results[0].again);
  CHECK(results[1].trouble == "No such server.");
  CHECK(release.take().empty());
}

TEST_CASE("on_eject: clients of a server that had weight 0 before it was ejected are released once for each ejection") {
  ClientRelease release;
  release.found_out(kServer, config::OnEject::kClearStick, 7);
  CHECK(release.take().size() == 1);
  release.answered({""});
  release.found_out(kServer, config::OnEject::kClearStick, 7);
  CHECK_FALSE(release.is_due());
  release.returned(kServer);
  release.found_out(kServer, config::OnEject::kClearStick, 7);
  CHECK(release.take().size() == 1);
  // One whose weight was taken is released by that.
  release.ejected({"rpc", "b"}, config::OnEject::kClearStick, 8);
  release.take();
  release.found_out({"rpc", "b"}, config::OnEject::kClearStick, 8);
  CHECK_FALSE(release.is_due());
}

TEST_CASE("on_eject: entries are cleared again while requests come to the ejected server") {
  ClientRelease release = cleared();
  release.compare_reads(read(0, 10), read(0, 10), yes);
  CHECK_FALSE(release.is_due());
  for (int i = 0; i < 2; ++i) {
    release.compare_reads(read(0, 10), read(0, 11), yes);
    REQUIRE(release.take().size() == 1);
    const auto results = release.answered({""});
    REQUIRE(results.size() == 1);
    CHECK(results[0].again);
  }
  // Sessions that are shut down stay so.
  ClientRelease sessions;
  sessions.ejected(kServer, config::OnEject::kShutdownSessions, 7);
  sessions.take();
  sessions.answered({""});
  sessions.compare_reads(read(0, 10), read(0, 11), yes);
  CHECK_FALSE(sessions.is_due());
}

TEST_CASE("on_eject: clients of a server that stands by, has weight, has gone or is another worker's stay") {
  ClientRelease release = cleared();
  SUBCASE("another writer gave it weight") {
    release.compare_reads(read(0, 10), read(5, 11), yes);
    CHECK_FALSE(release.is_due());
    release.compare_reads(read(5, 11), read(0, 12), yes);
    CHECK_FALSE(release.is_due());
    // And is not forgotten for that.
    release.compare_reads(read(0, 12), read(0, 13), yes);
    CHECK(release.is_due());
    return;
  }
  SUBCASE("it stands by at weight 0 after its return") {
    release.compare_reads(read(0, 10), read(0, 11), no);
    CHECK_FALSE(release.is_due());
  }
  SUBCASE("its server has gone") {
    release.compare_reads(read(0, 10), haproxy::Instance{}, yes);
  }
  SUBCASE("another worker") {
    release.forget_worker();
  }
  release.compare_reads(read(0, 11), read(0, 12), yes);
  CHECK_FALSE(release.is_due());
}

TEST_CASE("on_eject: what HAProxy did not do is told, and its entries are not held for cleared") {
  ClientRelease release;
  for (const bool answered : {false, true}) {
    release.ejected(kServer, config::OnEject::kClearStick, 7);
    release.take();
    const auto results = answered ? release.answered({}) : release.failed("no connection");
    REQUIRE(results.size() == 1);
    CHECK(results[0].command.server == "a");
    CHECK(results[0].trouble == (answered ? "HAProxy gave no answer" : "no connection"));
    release.compare_reads(read(0, 10), read(0, 11), yes);
    CHECK_FALSE(release.is_due());
  }
}

TEST_CASE("on_eject: nothing is due once another agent acts") {
  ClientRelease release;
  release.ejected(kServer, config::OnEject::kClearStick, 7);
  release.drop();
  CHECK_FALSE(release.is_due());
}
