// drive = "agent": weights as answers to a real HAProxy's agent-check.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <string>

#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

std::string agent_options(std::uint16_t port, std::string_view asked, unsigned weight = 100) {
  return fmt::format("weight {} agent-check agent-addr 127.0.0.1 agent-port {} agent-inter 100ms agent-send \"{}\\n\"",
                     weight, port, asked);
}

BackendCfg asking(std::uint16_t port, std::string balance = "roundrobin", unsigned weight = 100) {
  BackendCfg out{.balance = std::move(balance)};
  for (const char* name : {"a", "b", "c"}) out.options[name] = agent_options(port, fmt::format("rpc/{}", name), weight);
  return out;
}

/// The stage's configuration with this port. `endpoint`: TOML; "[]" for none.
std::string config_of(const Stage& stage, std::uint16_t port, const std::string& endpoints,
                      std::string_view backend = "strategy = \"equal\"\ndrive = \"agent\"") {
  Stage::Keys keys;
  keys.endpoints = endpoints.empty() ? "\"unix:/nowhere\"" : endpoints;
  keys.backend = backend;
  std::string out = stage.toml(keys);
  if (endpoints.empty()) {
    const std::string known = "\"unix:/nowhere\"";
    out.erase(out.find(known), known.size());
  }
  return stage.folder.write("config.toml", out + fmt::format("[agent_check]\nlisten = \"127.0.0.1:{}\"\n", port));
}

std::string operator_of(const HaproxyProcess& haproxy) {
  return fmt::format("\"unix:{}\"", haproxy.path("operator.sock"));
}

/// What the program answers to `text`; nothing is sent after that.
std::string answer(std::uint16_t port, std::string_view text) {
  boost::asio::io_context io;
  boost::asio::ip::tcp::socket socket(io);
  boost::system::error_code ec;
  socket.connect({boost::asio::ip::address_v4::loopback(), port}, ec);
  if (ec) return ec.message();
  boost::asio::write(socket, boost::asio::buffer(text.data(), text.size()), ec);
  std::string out;
  boost::asio::read(socket, boost::asio::dynamic_buffer(out), ec);
  return out;
}

const Weights kThirds{{"a", 86}, {"b", 85}, {"c", 85}};
const Weights kWithoutA{{"a", 0}, {"b", 128}, {"c", 128}};

}  // namespace

TEST_CASE("agent: weights reach a HAProxy that gives no socket, and are back after a restart") {
  const Stage stage;
  const std::uint16_t port = free_port();
  HaproxyProcess haproxy(haproxy_cfg(stage.providers, asking(port)));
  const std::string config = config_of(stage, port, "");
  Program program({"run", "--config", config});
  CHECK(eventually([&] { return weights_of(haproxy) == kThirds; }));
  stage.break_provider(0);
  CHECK(eventually([&] { return weights_of(haproxy) == kWithoutA; }));
  haproxy.restart();
  CHECK(eventually([&] { return weights_of(haproxy) == kWithoutA; }));
  stage.mend_provider(0);
  CHECK(eventually([&] { return weights_of(haproxy) == kThirds; }));

  CHECK(answer(port, "rpc/a\n") == "86%\n");
  CHECK(answer(port, "rpc/b\r\n") == "85%\n");
  // What is not ours changes nothing in HAProxy, and is told once.
  for (const char* asked : {"rpc/x\n", "rpc/x\n", "other/a\n", "hello\n", "\n"}) CHECK(answer(port, asked) == "\n");
  CHECK(program.says("agent-check: it was asked for a server that rpc does not have"));
  CHECK(program.says("agent-check: HAProxy asked for a backend that is not in the configuration"));
  CHECK(program.says("agent-check: it was not asked for \"backend/server\""));
  CHECK(program.count("agent-check:") == 3);
  CHECK(answer(port, std::string(5000, 'x')).empty());
  CHECK(program.stop() == 0);
  // Weights stay.
  CHECK(weights_of(haproxy) == kThirds);
}

TEST_CASE("agent: a socket of level operator tells configured weights, and nothing is sent over it") {
  const Stage stage;
  const std::uint16_t port = free_port();
  // HAProxy's default weight.
  const HaproxyProcess haproxy(haproxy_cfg(stage.providers, asking(port, "roundrobin", 1)));
  const std::string config = config_of(stage, port, operator_of(haproxy));
  Program program({"run", "--config", config, "--state", stage.folder.path("state")});
  CHECK(eventually([&] { return weights_of(haproxy) == kThirds; }));
  stage.break_provider(0);
  CHECK(eventually([&] { return weights_of(haproxy) == kWithoutA; }));
  CHECK(program.stop() == 0);
  CHECK(program.count("refused") == 0);
  CHECK(program.count("agent_check") == 0);

  const Result checked = run({"check", "--config", config, "--online"});
  CHECK(checked.out.find("answers to HAProxy's agent-check on 127.0.0.1:") != std::string::npos);
  CHECK(checked.out.find("agent-check") != std::string::npos);
  CHECK(checked.out.find("level admin") == std::string::npos);
  CHECK(checked.code != 3);
  const auto report = json(run({"scores", "--config", config, "--format", "json"}).out);
  CHECK(std::string(at(report, "/backends/0/driven").GetString()) == "agent");
  const Result once = run({"once", "--config", config});
  CHECK(once.code == 2);
  CHECK(once.err.find("backend.rpc.drive: \"agent\" needs `run`") != std::string::npos);
}

TEST_CASE("agent: under a static algorithm servers are switched off and on") {
  const Stage stage;
  const std::uint16_t port = free_port();
  const HaproxyProcess haproxy(haproxy_cfg(stage.providers, asking(port, "source")));
  Program program({"run", "--config", config_of(stage, port, operator_of(haproxy))});
  // Whether the first decision knows the algorithm hangs on what answers first, the servers or HAProxy.
  CHECK(program.says("rpc/c: unknown -> healthy"));
  CHECK(program.says("is there: version"));
  stage.break_provider(0);
  CHECK(eventually([&] { return weights_of(haproxy) == Weights{{"a", 0}, {"b", 100}, {"c", 100}}; }));
  CHECK(program.says("rpc has a static algorithm"));
  stage.mend_provider(0);
  CHECK(eventually([&] { return weights_of(haproxy) == Weights{{"a", 100}, {"b", 100}, {"c", 100}}; }));
  CHECK(program.stop() == 0);
}

TEST_CASE("agent: a server has one way, and SIGHUP changes it") {
  const Stage stage;
  const std::uint16_t port = free_port();
  const HaproxyProcess haproxy(haproxy_cfg(stage.providers, asking(port)));
  const std::string admin = fmt::format("\"unix:{}\"", haproxy.admin_socket());
  const std::string config = config_of(stage, port, admin, "strategy = \"equal\"");
  Program program({"run", "--config", config});
  CHECK(eventually([&] { return weights_of(haproxy) == kThirds; }));
  CHECK(program.says("agent-check: it was asked for rpc, whose weights go over the socket"));
  CHECK(program.says("agent_check: servers a, b, c have an `agent-check`"));
  CHECK(answer(port, "rpc/a\n") == "\n");
  config_of(stage, port, admin);
  program.signal(SIGHUP);
  CHECK(eventually([&] { return answer(port, "rpc/a\n") == "86%\n"; }));
  stage.break_provider(0);
  CHECK(eventually([&] { return weights_of(haproxy) == kWithoutA; }));
  // Another port, and a port that is taken.
  const std::uint16_t other = free_port();
  config_of(stage, other, admin);
  program.signal(SIGHUP);
  CHECK(eventually([&] { return answer(other, "rpc/a\n") == "0%\n"; }));
  CHECK(answer(port, "rpc/a\n") != "0%\n");
  CHECK(program.stop() == 0);
}

TEST_CASE("agent: a port that is taken ends run with 4, and servers without an agent-check are told") {
  const Stage stage;
  boost::asio::io_context io;
  const boost::asio::ip::tcp::acceptor taken(io, {boost::asio::ip::address_v4::loopback(), 0});
  const std::uint16_t port = taken.local_endpoint().port();
  const std::string admin = fmt::format("\"unix:{}\"", stage.haproxy.admin_socket());
  const Result r = run({"run", "--config", config_of(stage, port, admin)});
  CHECK(r.code == 4);
  CHECK(r.err.find(fmt::format("agent_check.listen 127.0.0.1:{}: Address already in use; `ss -ltnp`", port)) !=
        std::string::npos);
  Program program({"run", "--config", config_of(stage, free_port(), admin)});
  CHECK(program.says("rpc: agent_check: servers a, b, c have no `agent-check`"));
  CHECK(program.stop() == 0);
}
