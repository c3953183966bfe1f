// The addresses behind a name, while the loop goes on: the look-up is the test's.
#include <doctest/doctest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/agent.hpp"
#include "haproxy_blocking.hpp"
#include "haproxy_process.hpp"
#include "sim/sim.hpp"

using namespace rpcw;
using namespace rpcw::test;
using namespace std::chrono_literals;
using std::chrono::steady_clock;
namespace asio = boost::asio;

namespace {

/// What the name leads to; shared with the look-up's threads.
struct Name {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> addresses;
  bool hangs = false;
  unsigned asked = 0;

  void set(std::vector<std::string> now) {
    const std::lock_guard lock(mutex);
    addresses = std::move(now);
  }
  void hang(bool on) {
    const std::lock_guard lock(mutex);
    hangs = on;
    changed.notify_all();
  }
  unsigned count() {
    const std::lock_guard lock(mutex);
    return asked;
  }
};

haproxy::Lookup::Function lookup_of(const std::shared_ptr<Name>& name) {
  return [name](const std::string&) -> std::expected<std::vector<std::string>, std::string> {
    std::unique_lock lock(name->mutex);
    ++name->asked;
    name->changed.wait(lock, [&] { return !name->hangs; });
    if (name->addresses.empty()) return std::unexpected(std::string("no such name"));
    return name->addresses;
  };
}

/// HAProxys on several addresses of the loopback network and one port, and the loop that serves them.
struct Cluster {
  Cluster() {
    config.haproxy.watch_interval = 50ms;
    config.haproxy.timeout = 1s;
    config.haproxy.endpoints = {
        {.kind = config::Endpoint::Kind::kDns, .address = "haproxy.test", .port = port, .text = "dns:haproxy.test"}};
    auto& b = config.backends.emplace_back();
    b.name = "rpc";
    b.chain.name = "test";
    b.chain.block_time = 1s;
    b.chain.max_block_age = 60s;
    b.chain.max_lag = 30s;
    // 128 each, whatever the latencies are on a busy machine.
    b.strategy = "equal";
    for (const char* server : {"a", "b"})
      b.servers.push_back({server, {providers.add(server).url(), {}, server, false}, 1.0});
  }
  ~Cluster() {
    if (!agent) return;
    agent->request_stop();
    run_until([&] { return ended; });
  }

  std::unique_ptr<HaproxyProcess> haproxy(const std::string& address) const {
    return std::make_unique<HaproxyProcess>(
        "global\n  stats socket @DIR@/admin.sock level admin\n  stats socket ipv4@" + address + ":" +
        std::to_string(port) +
        " level admin\ndefaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n  timeout connect 1s\n"
        "backend rpc\n  balance roundrobin\n  server a 127.0.0.1:1\n  server b 127.0.0.1:1\n");
  }

  void start() {
    agent = std::make_unique<Agent>(io, config, control::Options{}, control::Legacy{},
                                    Agent::Effects{.recall = {}, .lookup = lookup_of(name)});
    asio::co_spawn(io, agent->run(), [&](const std::exception_ptr& error) {
      ended = true;
      if (error) std::rethrow_exception(error);
    });
  }

  bool run_until(const std::function<bool()>& condition, steady_clock::duration limit = 20s) {
    const auto deadline = steady_clock::now() + limit;
    while (!condition()) {
      if (steady_clock::now() > deadline) return false;
      io.restart();
      io.run_for(10ms);
    }
    return true;
  }

  static bool served(const HaproxyProcess& process) {
    return HaproxyProcess::check(process.admin_socket(), "get weight rpc/a; get weight rpc/b").starts_with("128 ") &&
           HaproxyProcess::check(process.admin_socket(), "get weight rpc/b").starts_with("128 ");
  }

  sim::World providers;
  std::uint16_t port = free_port();
  config::Config config;
  std::shared_ptr<Name> name = std::make_shared<Name>();
  asio::io_context io{1};
  bool ended = false;
  std::unique_ptr<Agent> agent;
};

void change_weight(const HaproxyProcess& process) {
  HaproxyProcess::check(process.admin_socket(), "set weight rpc/a 7; set weight rpc/b 9");
}

}  // namespace

TEST_CASE("every address is served, those that join too, and those that do not answer delay none") {
  Cluster c;
  const auto one = c.haproxy("127.0.0.2");
  const auto two = c.haproxy("127.0.0.3");
  const auto hanging = c.haproxy("127.0.0.4");
  hanging->pause();
  c.name->set({"127.0.0.4", "127.0.0.5", "127.0.0.2"});
  c.start();
  CHECK(c.run_until([&] { return Cluster::served(*one); }));
  CHECK_FALSE(Cluster::served(*two));
  c.name->set({"127.0.0.4", "127.0.0.5", "127.0.0.2", "127.0.0.3"});
  CHECK(c.run_until([&] { return Cluster::served(*two); }));
  hanging->resume();
  CHECK(c.run_until([&] { return Cluster::served(*hanging); }));
}

TEST_CASE("an address that the name has lost stays while it answers") {
  Cluster c;
  const auto one = c.haproxy("127.0.0.2");
  auto two = c.haproxy("127.0.0.3");
  c.name->set({"127.0.0.2", "127.0.0.3"});
  c.start();
  REQUIRE(c.run_until([&] { return Cluster::served(*one) && Cluster::served(*two); }));
  c.name->set({"127.0.0.2"});
  const auto asked = c.name->count();
  REQUIRE(c.run_until([&] { return c.name->count() >= asked + 2; }));
  change_weight(*two);
  CHECK(c.run_until([&] { return Cluster::served(*two); }));

  // Then it goes. One that comes up there later is a stranger.
  two.reset();
  const auto then = c.name->count();
  REQUIRE(c.run_until([&] { return c.name->count() >= then + 1; }));
  two = c.haproxy("127.0.0.3");
  const auto later = c.name->count();
  REQUIRE(c.run_until([&] { return c.name->count() >= later + 1; }));
  CHECK_FALSE(Cluster::served(*two));
  change_weight(*one);
  CHECK(c.run_until([&] { return Cluster::served(*one); }));
}

TEST_CASE("a name that does not resolve, or a name server that hangs, leaves the addresses known") {
  Cluster c;
  const auto one = c.haproxy("127.0.0.2");
  c.start();
  REQUIRE(c.run_until([&] { return c.name->count() >= 2; }));
  c.name->set({"127.0.0.2"});
  REQUIRE(c.run_until([&] { return Cluster::served(*one); }));

  c.name->set({});
  const auto asked = c.name->count();
  REQUIRE(c.run_until([&] { return c.name->count() >= asked + 1; }));
  change_weight(*one);
  CHECK(c.run_until([&] { return Cluster::served(*one); }));

  c.name->hang(true);
  const auto before = c.name->count();
  REQUIRE(c.run_until([&] { return c.name->count() >= before + 1; }));
  change_weight(*one);
  CHECK(c.run_until([&] { return Cluster::served(*one); }));
  CHECK(c.name->count() == before + 1);

  // The end does not wait for it.
  c.agent->request_stop();
  CHECK(c.run_until([&] { return c.ended; }, 1s));
  c.name->hang(false);
  c.agent.reset();
}
