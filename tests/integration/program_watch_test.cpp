// A HAProxy that is too large to be read every watch interval.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "integration/program_stage.hpp"

using namespace rpcw::test;

TEST_CASE("a large HAProxy is read less often, and its reload is noticed all the same") {
  const Stage stage;
  std::string backend = "backend rpc\n  balance roundrobin\n";
  for (const auto* p : stage.providers) backend += fmt::format("  server {} 127.0.0.1:{}\n", p->name(), p->port());
  for (int i = 0; i < 4000; ++i) backend += fmt::format("  server other{} 127.0.0.1:1 disabled\n", i);
  HaproxyProcess haproxy(haproxy_cfg(backend), {.master = true});
  const auto reached = [&] {
    return eventually([&] {
      auto weights = weights_of(haproxy);
      return weights["a"] == 86 && weights["b"] == 85 && weights["c"] == 85;
    });
  };
  Program program({"run", "--config", stage.config({.endpoints = fmt::format("\"unix:{}\"", haproxy.admin_socket())})});
  CHECK(reached());
  CHECK(program.says("MB, so that is done every "));
  ask(haproxy, "set weight rpc/b 7");
  CHECK(reached());
  haproxy.reload();
  CHECK(reached());
  CHECK(program.says("was reloaded: pid "));
  CHECK(program.count("MB, so that is done every ") == 1);
  CHECK(program.stop() == 0);
}
