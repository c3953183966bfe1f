// Client::refresh: the same as a read, for less, and never at the price of missing something.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "haproxy/client.hpp"
#include "haproxy_blocking.hpp"
#include "haproxy_process.hpp"

using namespace rpcw;
using namespace rpcw::haproxy;
using namespace rpcw::test;

namespace {

constexpr std::string_view kHead =
    "global\n  stats socket @DIR@/admin.sock level admin\n"
    "defaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n  timeout connect 1s\n";

std::string backend(const std::string& name, int servers = 2) {
  std::string out = "backend " + name + "\n  balance roundrobin\n";
  for (int i = 0; i < servers; ++i) out += "  server s" + std::to_string(i) + " 127.0.0.1:1 weight 100\n";
  return out;
}

/// A client, what it has read, and how to bring that up to date.
struct Reader {
  Reader(const HaproxyProcess& process, std::vector<std::string> names)
      : only(std::move(names)), client(unix_endpoint(process.admin_socket())), last(client.read(only)) {}

  /// Bytes that HAProxy had to write for it.
  std::uint64_t refresh() {
    const auto before = client.client.received();
    auto fresh = client.wait(client.client.refresh(last, only));
    REQUIRE_MESSAGE(fresh.has_value(), (fresh ? "" : fresh.error().detail));
    last = std::move(*fresh);
    return client.client.received() - before;
  }
  const ServerRow& server(const char* name, const char* of = "rpc") {
    REQUIRE(last.server(of, name) != nullptr);
    return *last.server(of, name);
  }

  std::vector<std::string> only;
  Blocking client;
  Instance last;
};

}  // namespace

TEST_CASE("refresh: a few servers among many cost what they are worth") {
  HaproxyProcess process(std::string(kHead) + backend("others", 2000) + backend("rpc"));
  Reader r(process, {"rpc"});
  HaproxyProcess::check(process.admin_socket(), "set weight rpc/s0 7");
  CHECK(r.refresh() < 20'000);
  CHECK(r.server("s0").uweight == 7);
  CHECK(r.server("s0").iweight == 100U);
  CHECK(r.server("s0").admin_state == 0U);
  CHECK(r.last.backend("rpc")->algo == "roundrobin");
  CHECK(r.last.pid == process.worker_pid());
  CHECK(r.client.wait(r.client.client.info())->pid == process.worker_pid());
}

TEST_CASE("refresh: an operator's hand shows, also on a server with weight 0") {
  HaproxyProcess process(std::string(kHead) + backend("rpc"));
  Reader r(process, {"rpc"});
  for (const char* weight : {"set weight rpc/s0 100", "set weight rpc/s0 0"}) {
    for (const char* state : {"maint", "drain"}) {
      CAPTURE(weight);
      CAPTURE(state);
      HaproxyProcess::check(process.admin_socket(), weight);
      r.refresh();
      CHECK_FALSE(r.server("s0").forced_off());
      HaproxyProcess::check(process.admin_socket(), std::string("set server rpc/s0 state ") + state);
      r.refresh();
      CHECK(r.server("s0").forced_off());
      HaproxyProcess::check(process.admin_socket(), "set server rpc/s0 state ready");
      r.refresh();
      CHECK_FALSE(r.server("s0").forced_off());
    }
  }
}

TEST_CASE("refresh: a backend keeps its stick table, also while it has no servers") {
  HaproxyProcess process(std::string(kHead) + "backend rpc\n  stick-table type ip size 10\n" +
                         "backend web\n  stick-table type ip size 10\n  server s0 127.0.0.1:1\n");
  Reader r(process, {"rpc", "web"});
  for (const char* name : {"rpc", "web"}) {
    CAPTURE(name);
    REQUIRE(r.last.backend(name) != nullptr);
    CHECK(r.last.backend(name)->stick_table);
  }
  r.refresh();
  for (const char* name : {"rpc", "web"}) {
    CAPTURE(name);
    REQUIRE(r.last.backend(name) != nullptr);
    CHECK(r.last.backend(name)->stick_table);
  }
}

TEST_CASE("refresh: servers that come and go are noticed") {
  HaproxyProcess process(std::string(kHead) + backend("rpc"));
  Reader r(process, {"rpc", "nowhere"});
  CHECK(r.last.backends.size() == 1);
  const auto said = HaproxyProcess::check(process.admin_socket(), "add server rpc/new 127.0.0.1:1 weight 5");
  CAPTURE(said);
  r.refresh();
  CHECK(r.server("new").uweight == 5);
  CHECK((r.server("new").admin_state.value_or(0) & kForcedMaint) != 0);
  HaproxyProcess::check(process.admin_socket(), "del server rpc/new");
  r.refresh();
  CHECK(r.last.server("rpc", "new") == nullptr);
  CHECK(r.last.backends.size() == 1);
}

TEST_CASE("refresh: a reload that gives the proxies other numbers") {
  HaproxyProcess process(std::string(kHead) + backend("rpc") + backend("other"), {.master = true});
  Reader r(process, {"rpc"});
  HaproxyProcess::check(process.admin_socket(), "set weight rpc/s0 7");
  r.refresh();
  const auto number = r.last.backend("rpc")->iid;
  const auto pid = r.last.pid;
  process.configure(std::string(kHead) + backend("other", 3) + backend("first") + backend("rpc", 3));
  process.reload();
  r.refresh();
  CHECK(r.last.pid != pid);
  CHECK(r.last.backend("rpc")->iid != number);
  CHECK(r.last.backend("rpc")->servers.size() == 3);
  CHECK(r.server("s0").uweight == 100);

  process.configure(std::string(kHead) + backend("other", 3));
  process.reload();
  r.refresh();
  CHECK(r.last.backends.empty());
  process.configure(std::string(kHead) + backend("rpc"));
  process.reload();
  r.refresh();
  CHECK(r.server("s1").uweight == 100);
}

TEST_CASE("refresh: more backends than a line of commands holds") {
  std::string cfg(kHead);
  std::vector<std::string> names;
  for (int i = 0; i < 600; ++i) {
    names.push_back("backend-" + std::to_string(i));
    cfg += backend(names.back());
  }
  HaproxyProcess process(cfg);
  Reader r(process, names);
  REQUIRE(r.last.backends.size() == 600);
  HaproxyProcess::check(process.admin_socket(), "set weight backend-0/s1 7; set weight backend-599/s0 8");
  r.refresh();
  REQUIRE(r.last.backends.size() == 600);
  CHECK(r.server("s1", "backend-0").uweight == 7);
  CHECK(r.server("s0", "backend-599").uweight == 8);
}
