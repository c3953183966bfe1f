#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <string>

#include "process.hpp"
#include "rpc_stage.hpp"
#include "sim/sim.hpp"

using namespace rpcw::test;

namespace {

/// `scores`, or `once` with a [haproxy] table; a look-up of slow.test takes eight seconds.
struct Run {
  std::optional<int> code;
  std::string out;
  std::string err;
  std::chrono::steady_clock::duration took{};
};

Run scores(const std::string& probe, const std::string& servers, std::vector<std::string> environment = {},
           const std::string& haproxy = "") {
  const TemporaryFolder folder;
  const std::string file = folder.write("config.toml", fmt::format(R"(
{}
[probe]
timeout = "500ms"
fast_interval = "100ms"
fall = 2
{}
[[chain]]
name = "simulated"
family = "evm"
chain_id = 1
block_time = "1s"
[[backend]]
name = "rpc"
chain = "simulated"
{})",
                                                                   haproxy, probe, servers));
  environment.push_back("LD_PRELOAD=" SLOW_LOOKUP);
  environment.push_back("PATH=/usr/bin:/bin");
  // A preloaded library comes before a sanitizer's.
  environment.push_back("ASAN_OPTIONS=verify_asan_link_order=0");
  const auto since = std::chrono::steady_clock::now();
  Process process(RPC_WEIGHTER,
                  {.arguments = {haproxy.empty() ? "scores" : "once", "--config", file, "--format", "json"},
                   .environment = std::move(environment)});
  Run out;
  out.code = process.wait(kLimit);
  out.took = std::chrono::steady_clock::now() - since;
  out.out = process.out();
  out.err = process.err();
  return out;
}

std::string server(const std::string& name, const std::string& url) {
  return fmt::format("[[backend.server]]\nname = \"{}\"\nurl = \"{}\"\n", name, url);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Two time-outs and the pause between them, and much for a busy machine, but less than a look-up takes.
constexpr auto kMost = 6s;

}  // namespace

TEST_CASE("a name server that does not answer holds up neither the other providers nor the program's end") {
  sim::World world;
  sim::Provider& provider = world.add("good");
  const Run run = scores("", server("slow", "http://slow.test/") + server("good", provider.url()));
  INFO(run.out);
  INFO(run.err);
  CHECK(run.code == 0);
  CHECK(run.took < kMost);
  CHECK(has(run.out, "\"dns_failed\""));
  CHECK(has(run.out, "slow.test was not looked up within 500 ms"));
  CHECK(has(run.out, "\"healthy\""));
}

TEST_CASE("nor does one that is asked for a proxy's name") {
  sim::World world;
  sim::Provider& provider = world.add("good");
  SUBCASE("by us") {
    const Run run = scores("proxy = \"http://slow.test:3128\"", server("good", provider.url()));
    INFO(run.out);
    INFO(run.err);
    CHECK(run.code == 1);
    CHECK(run.took < kMost);
    CHECK(has(run.out, "\"dns_failed\""));
  }
  SUBCASE("by libcurl, with the environment's proxy") {
    const Run run =
        scores("proxy = \"environment\"", server("good", provider.url()) + server("other", "http://provider.test/"),
               {"http_proxy=http://slow.test:3128", "no_proxy=127.0.0.1"});
    INFO(run.out);
    INFO(run.err);
    CHECK(run.code == 0);
    CHECK(run.took < kMost);
    CHECK(has(run.out, "\"dns_failed\""));
    CHECK(has(run.out, "\"healthy\""));
  }
}

TEST_CASE("nor does one that is asked for HAProxy's name") {
  sim::World world;
  sim::Provider& provider = world.add("good");
  const Run run = scores("", server("good", provider.url()), {},
                         "[haproxy]\nendpoints = [\"tcp:slow.test:9999\"]\ntimeout = \"500ms\"\n");
  INFO(run.out);
  INFO(run.err);
  CHECK(run.code == 3);
  CHECK(run.took < kMost);
  CHECK(has(run.out + run.err, "no answer to the look-up of the host within 500 ms"));
}
