// HAProxy's own view of its servers (static algorithms, backups, MAINT, DRAIN, DOWN) together with ours.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <boost/asio/ip/tcp.hpp>
#include <string>

#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

const Weights kThirds{{"a", 86}, {"b", 85}, {"c", 85}};

/// The status line of one request through HAProxy.
std::string request(std::uint16_t port) {
  boost::asio::ip::tcp::iostream peer("127.0.0.1", std::to_string(port));
  const std::string body = R"({"jsonrpc":"2.0","id":1,"method":"eth_gasPrice","params":[]})";
  peer << "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: "
       << body.size() << "\r\n\r\n"
       << body << std::flush;
  std::string line;
  std::getline(peer, line);
  return line;
}

std::uint64_t served(const rpcw::test::Stage& stage, std::size_t i) {
  return stage.providers[i]->stats().by_method["eth_gasPrice"];
}

bool status(const HaproxyProcess& haproxy, std::string_view server, std::string_view wanted) {
  // pxname,svname,…; the status is the 18th field.
  const auto text = check(haproxy, "show stat rpc 4 -1");
  for (const auto& line : csv(text))
    if (line.size() > 18 && line[1] == server) return line[17].starts_with(wanted);
  return false;
}

}  // namespace

TEST_CASE("consistent hash: a weight moves clients, so it changes by halves, or when a server goes") {
  const Stage stage;
  const HaproxyProcess haproxy(haproxy_cfg(stage.providers, {.balance = "hdr(x-account)\n  hash-type consistent"}));
  const auto configure = [&](std::string_view preference, std::string_view band) {
    Stage::Keys keys;
    keys.endpoints = fmt::format("\"unix:{}\"", haproxy.admin_socket());
    keys.backend += fmt::format("\n{}", band);
    std::string text = stage.toml(keys);
    text.replace(text.find("name = \"a\""), 10, fmt::format("name = \"a\"\n  preference = {}", preference));
    return stage.folder.write("config.toml", text);
  };
  const auto reaches = [&](const Weights& wanted) { return eventually([&] { return weights_of(haproxy) == wanted; }); };
  Program program({"run", "--config", configure("1.0", "")});
  REQUIRE(reaches(kThirds));
  // A third more for a, a sixth less for the others.
  configure("1.6", "");
  program.signal(SIGHUP);
  CHECK(program.says("config.toml was read again"));
  CHECK(stage.goes_on(5));
  CHECK(weights_of(haproxy) == kThirds);
  configure("1.6", "hash_dead_band = 0.0\n");
  program.signal(SIGHUP);
  CHECK(reaches({{"a", 114}, {"b", 71}, {"c", 71}}));
  configure("1.6", "");
  program.signal(SIGHUP);
  stage.break_provider(2);
  CHECK(eventually([&] { return weights_of(haproxy)["c"] == 0; }));
  CHECK(program.stop() == 0);
}

TEST_CASE("static algorithms: one healthy server has all the traffic, be the hash what it will") {
  for (const char* balance : {"source", "static-rr", "uri"}) {
    CAPTURE(balance);
    const Stage stage;
    const std::uint16_t port = free_port();
    const HaproxyProcess haproxy(
        haproxy_cfg(stage.providers, {.balance = balance,
                                      .options = {{"a", "weight 20"}, {"b", "weight 30"}, {"c", "weight 50"}},
                                      .frontend = port}));
    Program program({"run", "--config", stage.config_for(haproxy)});
    CHECK(program.says("rpc/c: unknown -> healthy"));
    stage.break_provider(0);
    stage.break_provider(1);
    CHECK(eventually([&] { return weights_of(haproxy) == Weights{{"a", 0}, {"b", 0}, {"c", 50}}; }));
    CHECK(program.says("static algorithm"));
    for (int i = 0; i < 10; ++i) CHECK(request(port).find(" 200 ") != std::string::npos);
    CHECK(served(stage, 2) == 10);
    stage.break_provider(2);
    stage.mend_provider(0);
    CHECK(eventually([&] { return weights_of(haproxy) == Weights{{"a", 20}, {"b", 0}, {"c", 0}}; }));
    for (int i = 0; i < 10; ++i) CHECK(request(port).find(" 200 ") != std::string::npos);
    CHECK(served(stage, 0) == 10);
    stage.mend_provider(1);
    stage.mend_provider(2);
    CHECK(eventually([&] { return weights_of(haproxy) == Weights{{"a", 20}, {"b", 30}, {"c", 50}}; }));
    CHECK(program.count("static algorithm") == 1);
    CHECK(program.stop() == 0);
    const Result r = run({"once", "--config", stage.config_for(haproxy), "--format", "json"});
    CHECK(r.code == 0);
    check(haproxy, "set weight rpc/a 0");
    const auto doc = json(run({"once", "--config", stage.config_for(haproxy), "--format", "json"}).out);
    CHECK(at(doc, "/backends/0/driven").GetString() == std::string("percent"));
    CHECK(weights_of(haproxy).at("a") == 20);
  }
}

TEST_CASE("severity-output: a static backend is driven all the same, and the socket's level is known") {
  const Stage stage;
  for (const char* form : {"number", "string"}) {
    CAPTURE(form);
    std::string cfg = haproxy_cfg(stage.providers, {.balance = "static-rr"});
    const std::string from = "level admin\n";
    cfg.insert(cfg.find(from) + from.size() - 1, fmt::format(" severity-output {}", form));
    const HaproxyProcess haproxy(cfg);
    stage.break_provider(1);
    const Result once = run({"once", "--config", stage.config_for(haproxy), "--format", "json"});
    CHECK(once.code == 0);
    CHECK(at(json(once.out), "/backends/0/driven").GetString() == std::string("percent"));
    CHECK(weights_of(haproxy)["b"] == 0);
    stage.mend_provider(1);
    const Result online = run({"check", "--online", "--config", stage.config_for(haproxy)});
    CHECK(online.code == 0);
    CHECK((online.out + online.err).find("level") == std::string::npos);
  }
}

TEST_CASE("balance first: a weight of 0 takes a server out all the same") {
  const Stage stage;
  const std::uint16_t port = free_port();
  const HaproxyProcess haproxy(haproxy_cfg(stage.providers, {.balance = "first", .frontend = port}));
  Program program({"run", "--config", stage.config_for(haproxy)});
  stage.break_provider(0);
  CHECK(eventually([&] { return weights_of(haproxy) == Weights{{"a", 0}, {"b", 128}, {"c", 128}}; }));
  for (int i = 0; i < 5; ++i) CHECK(request(port).find(" 200 ") != std::string::npos);
  CHECK(served(stage, 1) == 5);
  CHECK(program.stop() == 0);
}

TEST_CASE("a server that HAProxy's own check has DOWN keeps its share for its return") {
  const Stage stage;
  const std::uint16_t port = free_port();
  const HaproxyProcess haproxy(haproxy_cfg(
      stage.providers, {.options = {{"b", fmt::format("check inter 100ms port {}", free_port())}}, .frontend = port}));
  REQUIRE(eventually([&] { return status(haproxy, "b", "DOWN"); }));
  const std::string config = stage.config_for(haproxy);
  const Result r = run({"once", "--config", config, "--format", "json"});
  CHECK(r.code == 0);
  CHECK(weights_of(haproxy) == kThirds);
  const auto doc = json(r.out);
  CHECK(at(doc, "/backends/0/servers/1/state").GetString() == std::string("healthy"));
  CHECK(at(doc, "/backends/0/notes/0/code").GetString() == std::string("down"));
}

TEST_CASE("what is healthy for us and DOWN for HAProxy carries nothing: the others are not left at 0") {
  const Stage stage;
  const std::uint16_t port = free_port();
  const std::string down = fmt::format("check inter 100ms port {}", free_port());
  const HaproxyProcess haproxy(haproxy_cfg(stage.providers, {.options = {{"b", down}, {"c", down}}, .frontend = port}));
  REQUIRE(eventually([&] { return status(haproxy, "b", "DOWN") && status(haproxy, "c", "DOWN"); }));
  // It answers clients, but not our probes.
  stage.providers[0]->update([](sim::Behaviour& b) { b.lag_blocks = 100'000; });
  const Result r = run({"once", "--config", stage.config_for(haproxy), "--format", "json"});
  CHECK(weights_of(haproxy).at("a") > 0);
  CHECK(r.code == 1);
  CHECK(at(json(r.out), "/backends/0/fallback").GetString() == std::string("equal"));
  CHECK(request(port).find(" 503 ") == std::string::npos);
}

TEST_CASE("a backup takes over when HAProxy has all active servers DOWN, with a weight to do so") {
  const Stage stage;
  const std::uint16_t port = free_port();
  const std::string down = fmt::format("check inter 100ms port {}", free_port());
  const HaproxyProcess haproxy(
      haproxy_cfg(stage.providers, {.options = {{"a", down}, {"b", down}, {"c", "backup"}}, .frontend = port}));
  REQUIRE(eventually([&] { return status(haproxy, "a", "DOWN") && status(haproxy, "b", "DOWN"); }));
  CHECK(run({"once", "--config", stage.config_for(haproxy)}).code == 0);
  CHECK(weights_of(haproxy) == Weights{{"a", 128}, {"b", 128}, {"c", 256}});
  CHECK(request(port).find(" 200 ") != std::string::npos);
  CHECK(served(stage, 2) == 1);
}

TEST_CASE("a server that an operator drains while we have it at 0 comes back with both") {
  const Stage stage;
  for (const char* state : {"maint", "drain"}) {
    CAPTURE(state);
    Program program({"run", "--config", stage.config()});
    REQUIRE(stage.reaches(kThirds));
    stage.break_provider(1);
    CHECK(stage.reaches({{"a", 128}, {"b", 0}, {"c", 128}}));
    check(stage.haproxy, fmt::format("set server rpc/b state {}", state));
    CHECK(program.says("rpc/b: ejected -> disabled"));
    stage.mend_provider(1);
    check(stage.haproxy, "set server rpc/b state ready");
    CHECK(stage.reaches(kThirds));
    CHECK(program.stop() == 0);
  }
}

TEST_CASE("a server that this HAProxy has not has no part, and does not lead") {
  for (const char* strategy : {"equal", "leader"}) {
    CAPTURE(strategy);
    const Stage stage;
    const std::uint16_t port = free_port();
    const HaproxyProcess haproxy(haproxy_cfg({stage.providers[1], stage.providers[2]}, {.frontend = port}));
    const std::string config = stage.config_for(haproxy, {.backend = fmt::format("strategy = \"{}\"", strategy)});
    const Result r = run({"once", "--config", config});
    CHECK(r.code == 3);
    CHECK(r.out.find("has no server a") != std::string::npos);
    const bool leader = strategy == std::string_view("leader");
    CHECK(weights_of(haproxy) == (leader ? Weights{{"b", 256}, {"c", 0}} : Weights{{"b", 128}, {"c", 128}}));
    CHECK(request(port).find(" 200 ") != std::string::npos);

    // Nor does it count for min_healthy.
    stage.break_provider(1);
    stage.break_provider(2);
    CHECK(run({"once", "--config", config}).code == 3);
    CHECK(weights_of(haproxy) == Weights{{"b", 128}, {"c", 128}});
  }
}

TEST_CASE("a server that HAProxy's own check has DOWN does not lead") {
  const Stage stage;
  const std::uint16_t port = free_port();
  const HaproxyProcess haproxy(haproxy_cfg(stage.providers, {.options = {{"a", "check inter 60s"}}, .frontend = port}));
  const std::string config = stage.config_for(haproxy, {.backend = "strategy = \"leader\""});
  Program program({"run", "--config", config});
  REQUIRE(eventually([&] { return weights_of(haproxy) == Weights{{"a", 256}, {"b", 0}, {"c", 0}}; }));
  check(haproxy, "set server rpc/a health down");
  CHECK(eventually([&] { return weights_of(haproxy) == Weights{{"a", 0}, {"b", 256}, {"c", 0}}; }));
  CHECK(request(port).find(" 200 ") != std::string::npos);
  CHECK(program.stop() == 0);
}

TEST_CASE("static algorithms: one whose weight in haproxy.cfg is 0 cannot take over") {
  const Stage stage(2);
  const std::uint16_t port = free_port();
  const HaproxyProcess haproxy(haproxy_cfg(
      stage.providers, {.balance = "source", .options = {{"a", "weight 100"}, {"b", "weight 0"}}, .frontend = port}));
  const std::string config = stage.config_for(haproxy);
  const Weights as_they_were{{"a", 100}, {"b", 0}};
  CHECK(run({"once", "--config", config}).code == 0);
  CHECK(weights_of(haproxy) == as_they_were);
  stage.providers[0]->set({.chain_id = 5});
  CHECK(run({"once", "--config", config}).code == 1);
  CHECK(weights_of(haproxy) == as_they_were);
  CHECK(request(port).find(" 200 ") != std::string::npos);
  Program program({"run", "--config", config});
  CHECK(program.says("those that HAProxy can use get the same weight"));
  CHECK(weights_of(haproxy) == as_they_were);
  CHECK(program.stop() == 0);
}
