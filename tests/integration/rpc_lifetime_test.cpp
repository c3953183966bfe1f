#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "rpc/family/registry.hpp"
#include "rpc_stage.hpp"
#include "sim/sim.hpp"

using namespace rpcw;
using namespace rpcw::test;

namespace {

const rpc::HttpRequest& head_request() {
  return rpc::family::find("evm")->head_requests().front();
}

/// Starts some requests, runs the loop until `reached`, destroys the client, and lets the loop run on.
void end_at(const std::string& url, const std::function<bool()>& reached, Resolver::Lookup lookup,
            unsigned max_in_flight = 2) {
  config::Probe probe = settings();
  probe.max_in_flight = max_in_flight;
  probe.timeout = 30s;
  boost::asio::io_context io{1};
  const rpc::HttpTarget t(target(url));
  auto client = std::make_unique<rpc::HttpClient>(io, probe, 1, std::move(lookup));
  unsigned called = 0;
  // What a handler holds is given back with it.
  const auto token = std::make_shared<int>();
  for (int i = 0; i < 4; ++i)
    client->start(t, head_request(), probe.timeout, [&called, token](const rpc::HttpResult&) { ++called; });
  REQUIRE(run_until(io, reached));
  const unsigned before = called;
  const auto since = std::chrono::steady_clock::now();
  client.reset();
  CHECK(std::chrono::steady_clock::now() - since < 3s);
  io.restart();
  io.poll();
  CHECK(called == before);
  io.restart();
  CHECK(run_until(io, [&] {
    // Handlers that were already posted are let go by the loop.
    return token.use_count() == 1;
  }));
}

Resolver::Addresses here(const std::string&) {
  return std::vector<std::string>{"127.0.0.1"};
}

}  // namespace

TEST_CASE("a client can end in the middle of anything") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  const auto at_once = [] { return true; };
  const auto requested = [&] { return provider.stats().requests >= 2; };

  SUBCASE("before the loop's first turn") {
    end_at(provider.url(), at_once, here);
  }
  SUBCASE("while connecting") {
    const FullPort full;
    unsigned turns = 0;
    end_at(
        fmt::format("http://127.0.0.1:{}/", full.port()), [&] { return ++turns > 5; }, here);
  }
  SUBCASE("in the TLS handshake") {
    ByteServer server([](Wire& wire) { wire.wait_closed(); });
    end_at(
        fmt::format("https://127.0.0.1:{}/", server.port()), [&] { return server.accepted() == 2; }, here);
  }
  SUBCASE("with two under way and two waiting") {
    provider.set({.fault = sim::Fault::hang});
    end_at(provider.url(), requested, here);
  }
  SUBCASE("in the middle of an answer") {
    provider.set({.fault = sim::Fault::drip, .drip_ms = 50});
    end_at(provider.url(), requested, here);
  }
  SUBCASE("in the middle of a flood") {
    std::atomic<unsigned> flooding = 0;
    ByteServer server([&](Wire& wire) {
      wire.request();
      ++flooding;
      wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\naaaa");
      wire.wait_closed();
    });
    end_at(
        server.url(), [&] { return flooding >= 2; }, here);
  }
  SUBCASE("while the name is looked up") {
    auto go_on = std::make_shared<std::atomic<bool>>(false);
    auto running = std::make_shared<std::atomic<int>>(0);
    end_at(
        "http://slow.test/", [&] { return *running == 1; },
        [go_on, running](const std::string& host) {
          ++*running;
          while (!*go_on) std::this_thread::sleep_for(1ms);
          --*running;
          return here(host);
        });
    *go_on = true;
    while (*running > 0) std::this_thread::sleep_for(1ms);
  }
  SUBCASE("with a look-up that has failed and not been told yet") {
    end_at("http://slow.test/", at_once,
           [](const std::string&) -> Resolver::Addresses { return std::unexpected(std::string("no")); });
  }
  SUBCASE("with connections kept") {
    end_at(
        provider.url(), [&] { return provider.stats().good >= 4; }, here);
  }
}

TEST_CASE("the loop may end before the client") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  provider.set({.fault = sim::Fault::hang});
  Stage stage({target(provider.url())});
  CHECK_FALSE(stage.head().head.has_value());
}
