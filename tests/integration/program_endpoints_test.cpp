// Where HAProxy is: TLS, names with several addresses, several HAProxys.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "integration/authority.hpp"
#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

/// A HAProxy for the stage's providers, with `more` in its configuration.
std::string cfg_for(const Stage& stage, std::string_view more) {
  std::string servers;
  for (const auto* p : stage.providers) servers += fmt::format("  server {} 127.0.0.1:{}\n", p->name(), p->port());
  return haproxy_cfg(fmt::format("backend rpc\n  balance roundrobin\n{}{}", servers, more));
}

const Weights kThirds{{"a", 86}, {"b", 85}, {"c", 85}};

}  // namespace

TEST_CASE("TLS with a certificate of our own, in once and in run") {
  const Stage stage;
  const TemporaryFolder folder;
  Authority authority(folder);
  const std::uint16_t port = free_port();
  const HaproxyProcess haproxy(
      cfg_for(stage, fmt::format("listen cli\n  mode tcp\n  bind 127.0.0.1:{} ssl crt {} ca-file {} verify required\n"
                                 "  server self @DIR@/admin.sock\n",
                                 port, authority.issue("localhost"), authority.ca_file())));
  const std::string own = authority.issue("rpc-weighter");
  const std::string trust = fmt::format("ca_file = \"{}\"\n", authority.ca_file());
  const std::string us = fmt::format("cert_file = \"{0}\"\nkey_file = \"{0}\"\n", own);
  const std::string endpoints = fmt::format("\"tcp:localhost:{}\"", port);

  const Result without = run({"once", "--config", stage.config({.endpoints = endpoints, .haproxy = trust})});
  CHECK(without.code == 3);
  CHECK(without.out.find("client certificate") != std::string::npos);

  const std::string config = stage.config({.endpoints = endpoints, .haproxy = trust + us});
  CHECK(run({"once", "--config", config}).code == 0);
  CHECK(weights_of(haproxy) == kThirds);
  Program program({"run", "--config", config});
  stage.break_provider(1);
  CHECK(eventually([&] { return weights_of(haproxy) == Weights{{"a", 128}, {"b", 0}, {"c", 128}}; }));
  CHECK(program.stop() == 0);
}
