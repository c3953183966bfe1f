// Connections that stay, WebSockets and mode tcp: none of them is a request that waits.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <sstream>
#include <vector>

#include "integration/load.hpp"
#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

/// Clients that connect and then say nothing more.
class Idle {
 public:
  explicit Idle(std::uint16_t port) : port_(port) {}

  /// `greeting`: sent first, and an answer's head is waited for; empty: neither.
  void open(std::size_t count, std::string_view greeting) {
    for (std::size_t i = 0; i < count; ++i) {
      auto socket = std::make_unique<tcp::socket>(io_);
      socket->connect({asio::ip::address_v4::loopback(), port_});
      if (!greeting.empty()) {
        asio::write(*socket, asio::buffer(greeting));
        std::string head;
        asio::read_until(*socket, asio::dynamic_buffer(head), "\r\n\r\n");
        REQUIRE_MESSAGE(head.starts_with("HTTP/1.1 101 "), head);
      }
      sockets_.push_back(std::move(socket));
    }
  }

 private:
  asio::io_context io_;
  const std::uint16_t port_;
  std::vector<std::unique_ptr<tcp::socket>> sockets_;
};

constexpr std::string_view kWebSocket =
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

std::uint64_t sessions(const HaproxyProcess& haproxy, std::string_view server) {
  // pxname,svname,qcur,qmax,scur
  std::istringstream text(check(haproxy, "show stat"));
  for (std::string line; std::getline(text, line);) {
    const auto rows = csv(line + "\n");
    if (!rows.empty() && rows[0].size() > 4 && rows[0][0] == "rpc" && rows[0][1] == server)
      return std::stoull(rows[0][4]);
  }
  return 0;
}

const Weights kThirds{{"a", 86}, {"b", 85}, {"c", 85}};

Stage::Keys keys_for() {
  Stage::Keys out;
  out.backend = "strategy = \"adaptive\"\nmax_latency = \"4s\"";
  out.probe = "timeout = \"2s\"";
  return out;
}

}  // namespace

TEST_CASE("100 WebSockets on one of three servers move no weight, and new requests that hang there are found") {
  const Stage stage;
  const std::uint16_t port = free_port();
  BackendCfg cfg;
  cfg.frontend = port;
  cfg.more = "  timeout tunnel 1h\n";
  HaproxyProcess haproxy(haproxy_cfg(stage.providers, cfg));
  Program program({"run", "--config", stage.config_for(haproxy, keys_for())});
  REQUIRE(eventually([&] { return weights_of(haproxy) == kThirds; }));
  Idle idle(port);
  // All of them go to b: the others are away meanwhile.
  check(haproxy, "set server rpc/a state maint; set server rpc/c state maint");
  idle.open(100, kWebSocket);
  REQUIRE(sessions(haproxy, "b") == 100);
  check(haproxy, "set server rpc/a state ready; set server rpc/c state ready");
  REQUIRE(eventually([&] { return weights_of(haproxy) == kThirds; }));
  const Load load(port, 60);
  // A busy machine answers unevenly, which may move a little; connections that pile up would leave b a few of 256.
  unsigned least = 256;
  REQUIRE(eventually(
      [&] {
        least = std::min(least, weights_of(haproxy)["b"]);
        return load.of("b") > 100;
      },
      3 * kPatience));
  CHECK(sessions(haproxy, "b") >= 100);
  CHECK(least >= 43);
  CHECK(eventually([&] { return weights_of(haproxy) == kThirds; }));

  stage.providers[1]->update([](sim::Behaviour& b) {
    b.fault = sim::Fault::hang;
    b.fault_methods = {std::string(Load::kMethod)};
  });
  // Sooner than HAProxy's first time-out: since they pile up.
  CHECK(eventually([&] { return weights_of(haproxy)["b"] < 20; }));
  CHECK(load.with_status(504) == 0);
  CHECK(program.stop() == 0);
}

TEST_CASE("100 idle connections of mode tcp on one of three servers move no weight, and a dead server is found") {
  const Stage stage;
  const std::uint16_t port = free_port();
  BackendCfg cfg;
  cfg.more = fmt::format(
      "  mode tcp\n  timeout server 1h\nfrontend clients\n  mode tcp\n  timeout client 1h\n  bind 127.0.0.1:{}\n"
      "  default_backend rpc\n",
      port);
  HaproxyProcess haproxy(haproxy_cfg(stage.providers, cfg));
  Program program({"run", "--config", stage.config_for(haproxy, keys_for())});
  REQUIRE(eventually([&] { return weights_of(haproxy) == kThirds; }));
  Idle idle(port);
  check(haproxy, "set server rpc/a state maint; set server rpc/c state maint");
  idle.open(100, "");
  REQUIRE(eventually([&] { return sessions(haproxy, "b") == 100; }));
  check(haproxy, "set server rpc/a state ready; set server rpc/c state ready");
  REQUIRE(eventually([&] { return weights_of(haproxy) == kThirds; }));
  const std::size_t changes = program.count("rpc/b: ");
  // Some traffic beside them.
  const Load load(port, 60);
  REQUIRE(eventually([&] { return load.answers() > 300; }, 3 * kPatience));
  CHECK(weights_of(haproxy) == kThirds);
  CHECK(program.count("rpc/b: ") == changes);

  stage.providers[1]->update([](sim::Behaviour& b) { b.fault = sim::Fault::accept_silent; });
  CHECK(eventually([&] { return weights_of(haproxy)["b"] == 0; }));
  CHECK(program.stop() == 0);
}
