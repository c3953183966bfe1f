// What in HAProxy gets in the way of weights: told once, noted in the report, and not fought.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <sstream>
#include <string>
#include <thread>

#include "integration/http_get.hpp"
#include "integration/load.hpp"
#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

const Weights kThirds{{"a", 86}, {"b", 85}, {"c", 85}};

/// b has these options.
BackendCfg b_with(std::string options) {
  return {.options = {{"b", std::move(options)}}};
}

/// The detail of a note in the report of `once`; empty: it is not there.
std::string note(const std::string& config, std::string_view code) {
  const Result r = run({"once", "--config", config, "--dry-run", "--format", "json"});
  const auto doc = json(r.out);
  for (const auto& n : at(doc, "/backends/0/notes").GetArray())
    if (n["code"].GetString() == code) return n["detail"].GetString();
  return {};
}

/// An agent for `agent-check`: each connection is answered with this.
class Agent {
 public:
  explicit Agent(std::string words)
      : acceptor_(io_, {boost::asio::ip::address_v4::loopback(), 0}), thread_([this, words = std::move(words)] {
          while (!ending_) {
            boost::system::error_code ec;
            boost::asio::ip::tcp::socket peer(io_);
            acceptor_.accept(peer, ec);
            if (!ec) boost::asio::write(peer, boost::asio::buffer(words), ec);
          }
        }) {}
  ~Agent() {
    ending_ = true;
    boost::system::error_code ignored;
    boost::asio::ip::tcp::socket last(io_);
    last.connect(acceptor_.local_endpoint(), ignored);
    thread_.join();
  }
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;
  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

 private:
  boost::asio::io_context io_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

}  // namespace

TEST_CASE("an agent-check that sets weights is named, and not fought for long") {
  const Stage stage;
  const Agent agent("7%\n");
  const HaproxyProcess haproxy(haproxy_cfg(
      stage.providers, b_with(fmt::format("weight 100 agent-check agent-port {} agent-inter 100ms", agent.port()))));
  REQUIRE(eventually([&] { return weights_of(haproxy)["b"] == 7; }));
  const std::string config = stage.config_for(haproxy);
  Program program({"run", "--config", config});
  CHECK(program.says("rpc: agent_check: server b has an `agent-check`"));
  CHECK(
      program.says("rpc: contended: server b has a weight that another writer keeps changing, so it is not set for a "
                   "while: look for the server's `agent-check`"));
  CHECK(eventually([&] { return weights_of(haproxy) == Weights{{"a", 86}, {"b", 7}, {"c", 85}}; }));
  // The others are served as ever.
  stage.break_provider(0);
  CHECK(eventually([&] { return weights_of(haproxy) == Weights{{"a", 0}, {"b", 7}, {"c", 128}}; }));
  CHECK(program.count("agent_check") == 1);
  CHECK(program.count("contended") == 1);
  CHECK(program.stop() == 0);
  CHECK(note(config, "agent_check").starts_with("server b has an `agent-check`"));
}

TEST_CASE("another writer is left alone after five repairs in a minute") {
  const Stage stage;
  const std::string config = stage.config();
  Program program({"run", "--config", config});
  // A change in a worker's first second may be its start.
  REQUIRE(eventually([&] { return check(stage.haproxy, "show info").find("Uptime_sec: 0\n") == std::string::npos; }));
  for (int i = 0; i < 5; ++i) {
    REQUIRE(stage.reaches(kThirds));
    CHECK(program.count("contended") == 0);
    check(stage.haproxy, "set weight rpc/a 7");
  }
  CHECK(program.says("rpc: contended: server a has a weight that another writer keeps changing"));
  CHECK(program.says("look for another rpc-weighter, a script or a person"));
  CHECK(stage.reaches({{"a", 7}, {"b", 85}, {"c", 85}}));
  stage.break_provider(2);
  CHECK(stage.reaches({{"a", 7}, {"b", 128}, {"c", 0}}));
  CHECK(program.count("contended") == 1);
  CHECK(program.stop() == 0);
  CHECK(note(config, "contended").empty());
}

TEST_CASE("balance first takes no notice of weights, and that is said") {
  const Stage stage;
  const HaproxyProcess haproxy(haproxy_cfg(stage.providers, {.balance = "first"}));
  const std::string config = stage.config_for(haproxy);
  Program program({"run", "--config", config});
  CHECK(eventually([&] { return weights_of(haproxy) == kThirds; }));
  CHECK(program.says("rpc: ignores_weights: `balance first`"));
  CHECK(program.stop() == 0);
  CHECK(program.count("ignores_weights") == 1);
  CHECK(note(config, "ignores_weights").find("only a weight of 0 has an effect") != std::string::npos);
  const Result once = run({"once", "--config", config});
  CHECK(once.code == 3);
  CHECK((once.out + once.err).find("`balance first`") != std::string::npos);
  const Result online = run({"check", "--online", "--config", config});
  CHECK((online.out + online.err).find("`balance first`") != std::string::npos);
}

TEST_CASE("clients that a stick table binds leave an ejected server where on_eject says so") {
  const Stage stage;
  BackendCfg cfg;
  cfg.frontend = free_port();
  cfg.more = "  timeout server 60s\n  stick-table type ip size 1k expire 10m\n  stick on src\n";
  const HaproxyProcess haproxy(haproxy_cfg(stage.providers, cfg));
  Stage::Keys keys;
  keys.probe = "timeout = \"500ms\"";
  keys.eject_time = "10m";
  const auto bound_to = [&](const Load& load) {
    std::size_t which = 3;
    CHECK(eventually([&] {
      for (std::size_t i = 0; i < 3; ++i)
        if (load.of(stage.providers[i]->name()) > 5) which = i;
      return which < 3;
    }));
    return which;
  };
  SUBCASE("none: they stay, and the report says so") {
    const std::string config = stage.config_for(haproxy, keys);
    Program program({"run", "--config", config});
    REQUIRE(eventually([&] { return weights_of(haproxy) == kThirds; }));
    const Load load(cfg.frontend, 40);
    const std::size_t which = bound_to(load);
    REQUIRE(which < 3);
    stage.break_provider(which, sim::Fault::http_status);
    CHECK(eventually([&] { return weights_of(haproxy)[stage.providers[which]->name()] == 0; }));
    const std::uint64_t failed = load.with_status(503);
    CHECK(eventually([&] { return load.with_status(503) > failed + 20; }));
    CHECK(note(config, "persistence").find("the stick table may bind clients") != std::string::npos);
    CHECK(note(config, "persistence").find("`on_eject`") != std::string::npos);
    CHECK(program.stop() == 0);
  }
  SUBCASE("clear-stick: their next request is balanced anew") {
    keys.backend = "strategy = \"equal\"\non_eject = \"clear-stick\"";
    Program program({"run", "--config", stage.config_for(haproxy, keys)});
    REQUIRE(eventually([&] { return weights_of(haproxy) == kThirds; }));
    const Load load(cfg.frontend, 40);
    const std::size_t which = bound_to(load);
    REQUIRE(which < 3);
    stage.break_provider(which, sim::Fault::http_status);
    CHECK(program.says("its stick-table entries are cleared"));
    CHECK(eventually([&] {
      std::uint64_t others = 0;
      for (std::size_t i = 0; i < 3; ++i)
        if (i != which) others += load.of(stage.providers[i]->name());
      return others > 20;
    }));
    CHECK(program.count("entries are cleared") == 1);
    CHECK(program.stop() == 0);
  }
  SUBCASE("clear-stick: a request under way binds its client again, and is no way to stay") {
    keys.backend = "strategy = \"equal\"\non_eject = \"clear-stick\"";
    Program program({"run", "--config", stage.config_for(haproxy, keys)});
    REQUIRE(eventually([&] { return weights_of(haproxy) == kThirds; }));
    const std::string body = R"({"jsonrpc":"2.0","id":1,"method":"eth_gasPrice","params":[]})";
    const std::string request = fmt::format(
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
    const auto ask = [&] {
      const RawConnection client(cfg.frontend);
      return client.send(request) ? parse_reply(client.read_to_end()).status : 0;
    };
    REQUIRE(ask() == 200);
    std::size_t which = 0;
    while (which < 3 && !stage.providers[which]->stats().by_method.contains("eth_gasPrice")) ++which;
    REQUIRE(which < 3);
    stage.providers[which]->set({.latency_ms = 4000});
    const RawConnection late(cfg.frontend);
    REQUIRE(late.send(request));
    CHECK(program.says("its stick-table entries are cleared"));
    CHECK(parse_reply(late.read_to_end()).status == 200);
    stage.break_provider(which, sim::Fault::http_status);
    CHECK(eventually([&] { return ask() == 200; }));
    CHECK(ask() == 200);
    CHECK(weights_of(haproxy)[stage.providers[which]->name()] == 0);
    CHECK(program.count("entries are cleared") == 1);
    CHECK(program.stop() == 0);
  }
  SUBCASE("shutdown-sessions: what hangs there ends at once") {
    keys.backend = "strategy = \"equal\"\non_eject = \"shutdown-sessions\"";
    Program program({"run", "--config", stage.config_for(haproxy, keys)});
    REQUIRE(eventually([&] { return weights_of(haproxy) == kThirds; }));
    const Load load(cfg.frontend, 40);
    const std::size_t which = bound_to(load);
    REQUIRE(which < 3);
    stage.break_provider(which, sim::Fault::hang);
    CHECK(program.says("its sessions are shut down"));
    CHECK(program.count("its sessions are shut down") == 1);
    CHECK(load.with_status(504) == 0);
    CHECK(program.stop() == 0);
  }
}

TEST_CASE("two servers of one name are left alone, and both ids are named once") {
  const Stage stage;
  if (version_of(stage.haproxy) >= std::pair(3, 5)) {
    MESSAGE("this HAProxy refuses such a configuration");
    return;
  }
  BackendCfg cfg{.options = {{"a", "id 11 weight 7"}}};
  cfg.more = fmt::format("  server a 127.0.0.1:{} id 12 weight 9\n", stage.providers[0]->port());
  const HaproxyProcess haproxy(haproxy_cfg(stage.providers, cfg));
  const std::string config = stage.config_for(haproxy);
  const auto weights_by_id = [&] {
    return std::pair(check(haproxy, "get weight rpc/#11"), check(haproxy, "get weight rpc/#12"));
  };
  const auto untouched = weights_by_id();
  CHECK(untouched.first.find("7 (initial 7)") != std::string::npos);
  Program program({"run", "--config", config});
  CHECK(program.says("HAProxy's backend rpc has several servers named a (id 11, 12)"));
  CHECK(eventually([&] { return weights_of(haproxy)["b"] == 128 && weights_of(haproxy)["c"] == 128; }));
  stage.providers[2]->update([](sim::Behaviour& b) { b.fault = sim::Fault::http_status; });
  CHECK(eventually([&] { return weights_of(haproxy)["c"] == 0; }));
  CHECK(weights_by_id() == untouched);
  CHECK(program.count("several servers named") == 1);
  CHECK(program.stop() == 0);

  const Result once = run({"once", "--config", config});
  CHECK(once.code == 3);
  CHECK((once.out + once.err).find("several servers named a (id 11, 12)") != std::string::npos);
  CHECK(weights_by_id() == untouched);
  const Result online = run({"check", "--online", "--config", config});
  CHECK((online.out + online.err).find("several servers named a (id 11, 12)") != std::string::npos);
  CHECK(note(config, "duplicate_names").find("(id 11, 12)") != std::string::npos);
}

TEST_CASE("a server that slowstart warms up has its weight, and is not set again and again") {
  const Stage stage;
  const HaproxyProcess haproxy(haproxy_cfg(stage.providers, b_with("check inter 100ms slowstart 60s")));
  const std::string config = stage.config_for(haproxy, {.log = "level = \"debug\""});
  Program program({"run", "--config", config});
  CHECK(eventually([&] { return weights_of(haproxy) == kThirds; }));
  check(haproxy, "set server rpc/b state maint");
  CHECK(program.says("rpc/b: healthy -> disabled"));
  // Before the others have its share there is nothing to return to.
  CHECK(eventually([&] { return weights_of(haproxy)["a"] == 128; }));
  check(haproxy, "set server rpc/b state ready");
  CHECK(eventually([&] { return weights_of(haproxy) == kThirds; }));
  CHECK(eventually([&] { return !note(config, "slowstart").empty(); }));
  const std::size_t sent = program.count(" set to ");
  std::vector<std::uint64_t> before;
  for (const auto* p : stage.providers) before.push_back(p->stats().requests);
  CHECK(eventually([&] { return stage.providers[1]->stats().requests > before[1] + 8; }));
  CHECK(program.count(" set to ") == sent);
  CHECK(note(config, "slowstart").starts_with("server b ("));
  CHECK(program.stop() == 0);
}

TEST_CASE("a server that tracks another one is out of the shares with it") {
  const Stage stage;
  const HaproxyProcess haproxy(haproxy_cfg(
      stage.providers,
      {.options = {{"b", "track main/m"}},
       .more = fmt::format("backend main\n  server m 127.0.0.1:{} check inter 100ms\n", stage.providers[1]->port())}));
  const std::string config = stage.config_for(haproxy);
  Program program({"run", "--config", config});
  CHECK(eventually([&] { return weights_of(haproxy) == kThirds; }));
  CHECK(program.says("rpc: tracks: server b (main/m) tracks another one"));
  check(haproxy, "set server main/m state maint");
  CHECK(program.says("rpc/b: healthy -> disabled"));
  CHECK(eventually([&] { return weights_of(haproxy) == Weights{{"a", 128}, {"b", 85}, {"c", 128}}; }));
  check(haproxy, "set server main/m state ready");
  CHECK(eventually([&] { return weights_of(haproxy) == kThirds; }));
  CHECK(program.count("tracks:") == 1);
  CHECK(program.stop() == 0);
  CHECK_FALSE(note(config, "tracks").empty());
}
