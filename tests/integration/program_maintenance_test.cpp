// drain, ready and status, by themselves and beside a running agent.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <boost/asio/ip/tcp.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "integration/http_get.hpp"
#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

const Weights kThirds{{"a", 86}, {"b", 85}, {"c", 85}};

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// `srv_admin_state` of a server: 0, or 8 in a forced DRAIN.
std::string admin_state(const HaproxyProcess& haproxy, std::string_view server) {
  for (const auto& line : csv(HaproxyProcess::check(haproxy.admin_socket(), "show servers state rpc"))) {
    std::istringstream fields(line.front());
    std::string skip;
    std::string name;
    std::string state;
    if (fields >> skip >> skip >> skip >> name >> skip >> skip >> state && name == server) return state;
  }
  return "?";
}

/// A request through HAProxy that is sent and not answered yet.
std::unique_ptr<boost::asio::ip::tcp::iostream> open_request(std::uint16_t port) {
  auto out = std::make_unique<boost::asio::ip::tcp::iostream>("127.0.0.1", std::to_string(port));
  const std::string body = R"({"jsonrpc":"2.0","id":1,"method":"eth_gasPrice","params":[]})";
  *out << "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " << body.size()
       << "\r\n\r\n"
       << body << std::flush;
  return out;
}

}  // namespace

TEST_CASE("drain and ready beside a running agent, whose pushes leave the drain alone") {
  const Stage stage;
  const std::uint16_t port = free_port();
  const std::string config = stage.config({.listen = fmt::format("\"127.0.0.1:{}\"", port)});
  Program program({"run", "--config", config});
  REQUIRE(stage.reaches(kThirds));

  const Result drained = run({"drain", "rpc/b", "--config", config, "--wait", "20s"});
  CHECK(drained.code == 0);
  CHECK(drained.out == fmt::format("unix:{}: rpc/b is in drain, no session is open\nrpc/b: no session is open\n",
                                   stage.haproxy.admin_socket()));
  CHECK(drained.err == "");
  CHECK(admin_state(stage.haproxy, "b") == "8");
  CHECK(eventually([&] {
    const auto w = stage.weights();
    return w.at("a") == 128 && w.at("c") == 128;
  }));
  // Pushes for the others go on meanwhile.
  stage.break_provider(2);
  CHECK(eventually([&] { return stage.weights().at("c") == 0; }));
  CHECK(admin_state(stage.haproxy, "b") == "8");
  const auto report = json(http_get(port, "/api/v1/status").body);
  CHECK(at(report, "/backends/0/servers/1/state").GetString() == std::string("disabled"));
  CHECK(at(report, "/backends/0/servers/1/admin_state").GetString() == std::string("drain"));
  // Only a serves now.
  const Result last = run({"drain", "rpc/a", "--config", config});
  CHECK(last.code == 2);
  CHECK(contains(last.err, "a is the last server of rpc that serves; c has weight 0 and is not healthy; --force"));
  CHECK(contains(last.err, "nothing was sent"));
  CHECK(admin_state(stage.haproxy, "a") == "0");
  stage.mend_provider(2);

  const Result again = run({"drain", "rpc/b", "--config", config});
  CHECK(again.code == 0);
  CHECK(contains(again.out, "rpc/b is already in drain"));
  const Result back = run({"ready", "rpc/b", "--config", config});
  CHECK(back.code == 0);
  // The agent gives it its weight, not HAProxy its old one.
  CHECK(contains(back.out, "rpc/b is ready"));
  CHECK(admin_state(stage.haproxy, "b") == "0");
  CHECK(stage.reaches(kThirds));
  CHECK(program.stop() == 0);
}

TEST_CASE("drain --wait: until the last session is over, else 1 and how many are open") {
  const Stage stage;
  const std::uint16_t port = free_port();
  const HaproxyProcess haproxy(
      haproxy_cfg(stage.providers, {.options = {{"b", "weight 0"}, {"c", "backup"}}, .frontend = port}));
  const std::string config = stage.config_for(haproxy);
  stage.providers[0]->set({.fault = sim::Fault::hang});
  auto client = open_request(port);
  REQUIRE(eventually([&] { return stage.providers[0]->stats().requests == 1; }));
  const Result early = run({"drain", "rpc/a", "--config", config, "--wait", "300ms"});
  CHECK(early.code == 1);
  CHECK(contains(early.out, "rpc/a is in drain, 1 session is open"));
  CHECK(early.err == "rpc/a: 1 session is still open after 300ms\n");
  CHECK(admin_state(haproxy, "a") == "8");
  // It may be asked again, and ends as soon as the client has gone.
  Program waiting({"drain", "rpc/a", "--config", config, "--wait", "1m"});
  CHECK_FALSE(waiting.wait(300ms).has_value());
  client.reset();
  CHECK(waiting.wait() == 0);
  CHECK(contains(waiting.out(), "rpc/a: no session is open"));

  // A drain that ends while sessions are waited for is no success.
  check(haproxy, "set server rpc/a state ready");
  client = open_request(port);
  REQUIRE(eventually([&] { return stage.providers[0]->stats().requests == 2; }));
  Program undone({"drain", "rpc/a", "--config", config, "--wait", "1m"});
  REQUIRE(eventually([&] { return admin_state(haproxy, "a") == "8"; }));
  REQUIRE(eventually([&] { return contains(undone.out(), "1 session is open"); }));
  check(haproxy, "set server rpc/a state ready");
  CHECK(undone.wait() == 3);
  CHECK(contains(undone.err(), "rpc/a is no longer drained"));
}

TEST_CASE("drain --wait: a HAProxy that has refused the drain is not waited for") {
  const Stage stage;
  const std::uint16_t port = free_port();
  const HaproxyProcess other(
      haproxy_cfg(stage.providers, {.options = {{"b", "weight 0"}, {"c", "backup"}}, .frontend = port}));
  const std::string deaf =
      fmt::format("{}/operator.sock", std::filesystem::path(other.admin_socket()).parent_path().string());
  const std::string config =
      stage.config({.endpoints = fmt::format("\"unix:{}\", \"unix:{}\"", stage.haproxy.admin_socket(), deaf)});
  // Its session goes on.
  stage.providers[0]->set({.fault = sim::Fault::hang});
  const auto client = open_request(port);
  REQUIRE(eventually([&] { return stage.providers[0]->stats().requests == 1; }));
  const Result r = run({"drain", "rpc/a", "--config", config, "--wait", "1m"});
  CAPTURE(r.err);
  CHECK(r.code == 3);
  CHECK(contains(r.err, "Permission denied"));
  CHECK_FALSE(contains(r.err, "no longer drained"));
  CHECK_FALSE(contains(r.err, "still open"));
  CHECK(admin_state(stage.haproxy, "a") == "8");
  CHECK(admin_state(other, "a") == "0");
}

TEST_CASE("drain never takes the last server, unless it is forced; a dry run sends nothing") {
  const Stage stage(2);
  const std::string config = stage.config();
  const Result dry = run({"drain", "rpc/a", "--config", config, "--dry-run"});
  CHECK(dry.code == 0);
  CHECK(dry.out == fmt::format("unix:{}: would send: set server rpc/a state drain\n", stage.haproxy.admin_socket()));
  CHECK(admin_state(stage.haproxy, "a") == "0");
  CHECK(run({"drain", "rpc/a", "--config", config}).code == 0);
  for (const bool dry_run : {true, false}) {
    std::vector<std::string> arguments{"drain", "rpc/b", "--config", config};
    if (dry_run) arguments.emplace_back("--dry-run");
    const Result last = run(arguments);
    CHECK(last.code == 2);
    CHECK(last.out == "");
    CHECK(contains(last.err, "b is the last server of rpc that serves; --force drains it all the same"));
    CHECK(admin_state(stage.haproxy, "b") == "0");
  }
  CHECK(run({"drain", "rpc/b", "--config", config, "--force"}).code == 0);
  CHECK(admin_state(stage.haproxy, "b") == "8");
  CHECK(run({"status", "rpc", "--config", config}).code == 1);
  const Result ready = run({"ready", "rpc/a", "--config", config, "--dry-run"});
  CHECK(ready.out == fmt::format("unix:{}: would send: set server rpc/a state ready\n", stage.haproxy.admin_socket()));
  CHECK(admin_state(stage.haproxy, "a") == "8");
  CHECK(run({"ready", "rpc/a", "--config", config}).code == 0);
  CHECK(admin_state(stage.haproxy, "a") == "0");
}

TEST_CASE("ready beside a running agent: no traffic before the agent judges the server healthy") {
  const Stage stage;
  const std::string config = stage.config({.listen = fmt::format("\"127.0.0.1:{}\"", free_port())});
  Program program({"run", "--config", config});
  REQUIRE(stage.reaches(kThirds));
  REQUIRE(run({"drain", "rpc/b", "--config", config}).code == 0);
  stage.break_provider(1);
  // Its failing probe may be seen first.
  REQUIRE(program.says("-> disabled"));
  const Result dry = run({"ready", "rpc/b", "--config", config, "--dry-run"});
  CHECK(contains(dry.out, "would send: set weight rpc/b 0\n"));
  CHECK(run({"ready", "rpc/b", "--config", config}).code == 0);
  CHECK(admin_state(stage.haproxy, "b") == "0");
  CHECK(stage.reaches({{"a", 128}, {"b", 0}, {"c", 128}}));
  stage.mend_provider(1);
  CHECK(stage.reaches(kThirds));
  CHECK(program.stop() == 0);
}

TEST_CASE("ready beside an agent that sets no weights leaves the server its weight") {
  const Stage stage;
  Stage::Keys keys{.listen = fmt::format("\"127.0.0.1:{}\"", free_port())};
  std::vector<std::string> arguments{"run"};
  SUBCASE("a dry run") {
    arguments.emplace_back("--dry-run");
  }
  SUBCASE("one whose weights are refused") {
    keys.endpoints = fmt::format("\"unix:{}\"", stage.haproxy.path("operator.sock"));
  }
  const std::string config = stage.config(keys);
  arguments.insert(arguments.end(), {"--config", config});
  const std::string admin = stage.folder.write("admin.toml", stage.toml({.listen = keys.listen}));
  Program program(arguments);
  REQUIRE(program.says("rpc/b: unknown -> healthy"));
  if (arguments[1] != "--dry-run") REQUIRE(program.says("was refused"));
  const unsigned weight = stage.weights().at("b");
  REQUIRE(weight > 0);
  REQUIRE(run({"drain", "rpc/b", "--config", admin}).code == 0);
  const Result ready = run({"ready", "rpc/b", "--config", admin});
  CHECK(ready.code == 0);
  CHECK(contains(ready.out, fmt::format("is ready, weight {}", weight)));
  CHECK(stage.weights().at("b") == weight);
  CHECK(program.stop() == 0);
}

TEST_CASE("ready without an agent promises no weight, and dry runs ask for the socket's level") {
  const Stage stage;
  const std::string config = stage.config();
  check(stage.haproxy, "set weight rpc/b 0;set server rpc/b state drain");
  const Result ready = run({"ready", "rpc/b", "--config", config});
  CHECK(contains(ready.out, "is ready, but its weight is 0, and no agent was found that would give it one"));
  const std::string low = stage.folder.write(
      "low.toml", stage.toml({.endpoints = fmt::format("\"unix:{}\"", stage.haproxy.path("operator.sock"))}));
  for (const char* command : {"drain", "ready"}) {
    const Result dry = run({command, "rpc/a", "--config", low, "--dry-run"});
    CHECK(dry.code == 3);
    CHECK(contains(dry.err, "the socket's level is `operator`: these commands need `level admin`"));
  }
}

TEST_CASE("drain of a leader hands over to a server that the running agent judges healthy") {
  const Stage stage;
  const std::uint16_t clients = free_port();
  const HaproxyProcess haproxy(haproxy_cfg(stage.providers, {.frontend = clients}));
  Stage::Keys keys{.listen = fmt::format("\"127.0.0.1:{}\"", free_port()), .backend = "strategy = \"leader\""};
  const std::string config = stage.config_for(haproxy, keys);
  // Before the agent runs, its weights are set: no one can say which of b and c is well.
  check(haproxy, "set weight rpc/b 0;set weight rpc/c 0");
  const Result alone = run({"drain", "rpc/a", "--config", config});
  CHECK(alone.code == 2);
  CHECK(contains(alone.err, "b, c have weight 0, and no running agent judges them healthy"));
  stage.break_provider(1);
  Program program({"run", "--config", config});
  REQUIRE(program.says("rpc/b: "));
  REQUIRE(program.says("rpc/c: "));
  REQUIRE(eventually([&] { return weights_of(haproxy) == Weights{{"a", 256}, {"b", 0}, {"c", 0}}; }));
  const Result drained = run({"drain", "rpc/a", "--config", config});
  CHECK(drained.code == 0);
  CHECK(admin_state(haproxy, "a") == "8");
  CHECK(eventually([&] { return weights_of(haproxy).at("c") == 256; }));
  CHECK(weights_of(haproxy).at("b") == 0);
  CHECK(run({"ready", "rpc/a", "--config", config}).code == 0);
  CHECK(program.stop() == 0);
}

TEST_CASE("several HAProxys: each is drained, and one that fails is told") {
  const Stage stage;
  HaproxyProcess other(haproxy_cfg(stage.providers, {}));
  const HaproxyProcess lacking(
      haproxy_cfg("backend rpc\n  balance roundrobin\n  server z1 127.0.0.1:1\n  server z2 127.0.0.1:2\n"));
  const std::string gone = stage.folder.path("gone.sock");
  const std::string config = stage.config(
      {.endpoints = fmt::format("\"unix:{}\", \"unix:{}\", \"unix:{}\", \"unix:{}\"", gone,
                                stage.haproxy.admin_socket(), other.admin_socket(), lacking.admin_socket())});
  const Result r = run({"drain", "rpc/c", "--config", config});
  CHECK(r.code == 3);
  CHECK(contains(r.err, gone));
  CHECK(contains(r.err, fmt::format("unix:{}: backend rpc has no server c; it has z1, z2", lacking.admin_socket())));
  CHECK(admin_state(stage.haproxy, "c") == "8");
  CHECK(admin_state(other, "c") == "8");

  // Nothing is sent to any of them while one could be left without a server.
  check(other, "set server rpc/a state maint");
  check(other, "set server rpc/c state maint");
  const Result refused = run({"drain", "rpc/b", "--config", config});
  CHECK(refused.code == 2);
  CHECK(admin_state(stage.haproxy, "b") == "0");
  CHECK(admin_state(other, "b") == "0");
}

TEST_CASE("status shows state, weight and sessions, and needs no key of a provider") {
  const Stage stage;
  std::string text = stage.toml();
  text.replace(text.find("/v2/"), 4, "/${NOT_SET_HERE}/");
  const std::string config = stage.folder.write("config.toml", text);
  CHECK(run({"scores", "--config", config}).code == 2);
  REQUIRE(run({"drain", "rpc/b", "--config", config}).code == 0);
  check(stage.haproxy, "set weight rpc/a 7");
  check(stage.haproxy, "set server rpc/c state maint");

  const Result table = run({"status", "--config", config});
  CHECK(table.code == 0);
  CHECK(table.out.starts_with("HAPROXY"));
  CHECK(contains(table.out, "rpc/a"));
  const Result r = run({"status", "--config", config, "--format", "json"});
  CHECK(r.code == 0);
  const auto doc = json(r.out);
  CHECK(at(doc, "/schema").GetUint() == 1);
  CHECK(at(doc, "/errors").Empty());
  REQUIRE(at(doc, "/servers").Size() == 3);
  CHECK(names(at(doc, "/servers/0")) == "endpoint backend server admin_state status weight sessions serves");
  CHECK(at(doc, "/servers/0/weight").GetUint() == 7);
  CHECK(at(doc, "/servers/0/sessions").GetUint() == 0);
  CHECK(at(doc, "/servers/0/serves").GetBool());
  const char* states[]{"ready", "drain", "maint"};
  for (unsigned i = 0; i < 3; ++i)
    CHECK(at(doc, fmt::format("/servers/{}/admin_state", i)).GetString() == std::string(states[i]));
  const auto rows = csv(run({"status", "rpc/b", "--config", config, "--format", "csv"}).out);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].size() == 8);
  CHECK(rows[1][3] == "drain");
  CHECK(rows[1][7] == "false");

  CHECK(run({"status", "rpc/x", "--config", config}).code == 3);
  CHECK(run({"status", "nowhere", "--config", config}).code == 3);
  for (const char* wrong : {"rpc", "rpc/", "/a", "rpc/a/b", "rpc/a;x"}) {
    CAPTURE(wrong);
    CHECK(run({"drain", wrong, "--config", config}).code == 2);
  }
  CHECK(run({"drain", "rpc/a", "--config", config, "--wait", "30"}).code == 2);
  CHECK(run({"drain", "rpc/missing", "--config", config}).code == 3);
}
