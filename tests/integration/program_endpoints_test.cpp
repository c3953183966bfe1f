// Where HAProxy is: TLS, names with several addresses, several HAProxys.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "integration/authority.hpp"
#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

const Weights kThirds{{"a", 86}, {"b", 85}, {"c", 85}};

}  // namespace

TEST_CASE("TLS with a certificate of our own, in once and in run") {
  const Stage stage;
  const TemporaryFolder folder;
  Authority authority(folder);
  const std::uint16_t port = free_port();
  const HaproxyProcess haproxy(haproxy_cfg(
      stage.providers,
      {.more = fmt::format("listen cli\n  mode tcp\n  bind 127.0.0.1:{} ssl crt {} ca-file {} verify required\n"
                           "  server self @DIR@/admin.sock\n",
                           port, authority.issue("localhost"), authority.ca_file())}));
  const std::string own = authority.issue("rpc-weighter");
  const std::string trust = fmt::format("ca_file = \"{}\"\n", authority.ca_file());
  const std::string us = fmt::format("cert_file = \"{0}\"\nkey_file = \"{0}\"\n", own);
  const std::string endpoints = fmt::format("\"tcp:localhost:{}\"", port);

  const Result without = run({"once", "--config", stage.config({.endpoints = endpoints, .haproxy = trust})});
  CHECK(without.code == 3);
  CHECK(without.out.find("client certificate") != std::string::npos);

  const std::string config = stage.config({.endpoints = endpoints, .haproxy = trust + us});
  const Result with = run({"once", "--config", config});
  CAPTURE(with.out);
  CHECK(with.code == 0);
  CHECK(weights_of(haproxy) == kThirds);
  Program program({"run", "--config", config});
  stage.break_provider(1);
  CHECK(eventually([&] { return weights_of(haproxy) == Weights{{"a", 128}, {"b", 0}, {"c", 128}}; }));
  CHECK(program.stop() == 0);
}

TEST_CASE("one HAProxy hangs, one refuses, one is well: that one is served at once") {
  const Stage stage;
  HaproxyProcess hanging(haproxy_cfg(stage.providers, {}));
  hanging.pause();
  const std::string config =
      stage.config({.endpoints = fmt::format("\"unix:{}\", \"tcp:127.0.0.1:{}\", \"unix:{}\"", hanging.admin_socket(),
                                             free_port(), stage.haproxy.admin_socket()),
                    .haproxy_timeout = "30s"});
  SUBCASE("in run") {
    Program program({"run", "--config", config});
    CHECK(stage.reaches(kThirds, 15s));
    stage.break_provider(0);
    CHECK(stage.reaches({{"a", 0}, {"b", 128}, {"c", 128}}, 15s));
    CHECK(program.says("cannot connect: Connection refused"));
    // Nor does the next configuration wait for it, in the middle of an exchange.
    program.signal(SIGHUP);
    CHECK(program.says("config.toml was read again"));
    stage.break_provider(1);
    CHECK(stage.reaches({{"a", 0}, {"b", 0}, {"c", 256}}, 15s));
    hanging.resume();
    CHECK(eventually([&] { return weights_of(hanging) == stage.weights(); }));
    CHECK(program.stop() == 0);
  }
  SUBCASE("in once, whose report tells of all three") {
    Program program({"once", "--config", config, "--format", "json"});
    CHECK(stage.reaches(kThirds, 15s));
    CHECK(program.out() == "");
    hanging.resume();
    CHECK(program.wait() == 3);
    CHECK(weights_of(hanging) == kThirds);
    const auto doc = json(program.out());
    REQUIRE(at(doc, "/haproxy").Size() == 3);
    CHECK(at(doc, "/haproxy/0/reachable").GetBool());
    CHECK(at(doc, "/haproxy/0/error").IsNull());
    CHECK_FALSE(at(doc, "/haproxy/1/reachable").GetBool());
    CHECK(at(doc, "/haproxy/2/error").IsNull());
    // What the first one of those that had answered had before.
    CHECK(at(doc, "/backends/0/servers/0/current_weight").GetUint() == 1);
  }
}

TEST_CASE("each HAProxy is driven as its own algorithm wants it") {
  const Stage stage;
  const HaproxyProcess fixed(haproxy_cfg(stage.providers, {.balance = "static-rr"}));
  Program program({"run", "--config",
                   stage.config({.endpoints = fmt::format("\"unix:{}\", \"unix:{}\"", fixed.admin_socket(),
                                                          stage.haproxy.admin_socket())})});
  CHECK(stage.reaches(kThirds));
  stage.break_provider(2);
  CHECK(stage.reaches({{"a", 128}, {"b", 128}, {"c", 0}}));
  CHECK(eventually([&] { return weights_of(fixed) == Weights{{"a", 1}, {"b", 1}, {"c", 0}}; }));
  CHECK(program.says("static algorithm"));
  CHECK(program.count("static algorithm") == 1);
  CHECK(program.stop() == 0);
}

TEST_CASE("dns: every address behind the name is told apart in the report") {
  const Stage stage;
  const std::uint16_t port = free_port();
  const HaproxyProcess haproxy(haproxy_cfg(
      stage.providers, {.more = fmt::format("listen cli4\n  mode tcp\n  bind 127.0.0.1:{0}\n  bind [::1]:{0}\n"
                                            "  server self @DIR@/admin.sock\n",
                                            port)}));
  const std::string config = stage.config({.endpoints = fmt::format("\"dns:localhost:{}\"", port)});
  const Result r = run({"once", "--config", config, "--format", "json"});
  CHECK(r.code == 0);
  CHECK(weights_of(haproxy) == kThirds);
  const auto doc = json(r.out);
  REQUIRE(at(doc, "/haproxy").Size() >= 1);
  for (const auto& one : at(doc, "/haproxy").GetArray()) {
    const std::string endpoint = one["endpoint"].GetString();
    const std::string name = fmt::format("dns:localhost:{}", port);
    CHECK((endpoint == name + " (127.0.0.1)" || endpoint == name + " (::1)"));
    CHECK(one["pid"].GetInt64() == haproxy.worker_pid());
  }
  CHECK(run({"check", "--online", "--config", config}).code == 0);
  Program program({"run", "--config", config});
  stage.break_provider(0);
  CHECK(eventually([&] { return weights_of(haproxy) == Weights{{"a", 0}, {"b", 128}, {"c", 128}}; }));
  CHECK(program.stop() == 0);
}

TEST_CASE("dns: a name without an address is HAProxy's trouble, and no other's") {
  const Stage stage;
  const std::string config = stage.config(
      {.endpoints = fmt::format("\"dns:no-such-host.invalid:9999\", \"unix:{}\"", stage.haproxy.admin_socket())});
  const Result r = run({"once", "--config", config, "--format", "json"});
  CHECK(r.code == 3);
  CHECK(stage.reaches(kThirds));
  const auto doc = json(r.out);
  REQUIRE(at(doc, "/haproxy").Size() == 2);
  CHECK(at(doc, "/haproxy/0/endpoint").GetString() == std::string("dns:no-such-host.invalid:9999"));
  CHECK_FALSE(at(doc, "/haproxy/0/reachable").GetBool());
  CHECK(std::string(at(doc, "/haproxy/0/error").GetString()).find("look") != std::string::npos);
  CHECK(at(doc, "/haproxy/1/error").IsNull());
  Program program({"run", "--config", config});
  CHECK(program.says("HAProxy cannot be used: dns:no-such-host.invalid:9999: "));
  CHECK(program.stop() == 0);
}

TEST_CASE("maintenance in one HAProxy of two is that one's own affair") {
  const Stage stage;
  HaproxyProcess other(haproxy_cfg(stage.providers, {}));
  const HaproxyProcess* first = &stage.haproxy;
  const HaproxyProcess* second = &other;
  SUBCASE("in the first") {
    std::swap(first, second);
  }
  SUBCASE("in the second") {}
  const auto both = [&](const Weights& wanted_first, const Weights& wanted_second) {
    return eventually([&] { return weights_of(*first) == wanted_first && weights_of(*second) == wanted_second; });
  };
  Program program({"run", "--config",
                   stage.config({.endpoints = fmt::format("\"unix:{}\", \"unix:{}\"", stage.haproxy.admin_socket(),
                                                          other.admin_socket())})});
  REQUIRE(both(kThirds, kThirds));
  check(*second, "set server rpc/b state maint");
  REQUIRE(stage.goes_on(5));
  CHECK(program.count("disabled") == 0);
  CHECK(both(kThirds, kThirds));

  // What only b can carry, it carries where it is in use. Where it is not, no server would be left.
  stage.break_provider(0);
  stage.break_provider(2);
  CHECK(both({{"a", 0}, {"b", 256}, {"c", 0}}, {{"a", 128}, {"b", 256}, {"c", 128}}));
  stage.mend_provider(2);
  CHECK(both({{"a", 0}, {"b", 128}, {"c", 128}}, {{"a", 0}, {"b", 128}, {"c", 128}}));
  stage.mend_provider(0);
  CHECK(both(kThirds, kThirds));

  check(*first, "set server rpc/b state maint");
  CHECK(program.says("rpc/b: healthy -> disabled"));
  CHECK(both({{"a", 128}, {"b", 85}, {"c", 128}}, {{"a", 128}, {"b", 85}, {"c", 128}}));
  CHECK(program.stop() == 0);
}

TEST_CASE("a leader that one HAProxy of two has in maintenance leaves neither without a server") {
  const Stage stage;
  const HaproxyProcess other(haproxy_cfg(stage.providers, {}));
  const std::string config = stage.config(
      {.endpoints = fmt::format("\"unix:{}\", \"unix:{}\"", stage.haproxy.admin_socket(), other.admin_socket()),
       .backend = "strategy = \"leader\""});
  check(other, "set server rpc/a state maint");
  const Result once = run({"once", "--config", config});
  CHECK(once.code == 0);
  CHECK(stage.weights() == Weights{{"a", 256}, {"b", 0}, {"c", 0}});
  CHECK(weights_of(other) == Weights{{"a", 256}, {"b", 128}, {"c", 128}});
}
