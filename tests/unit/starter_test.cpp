#include "cli/starter.hpp"

#include <doctest/doctest.h>

#include "config/load.hpp"
#include "weighter/strategy/strategy.hpp"

using namespace rpcw;
using cli::ChainAnswers;
using cli::Starter;

namespace {

haproxy::BackendRow backend(const char* name, const char* algo, std::initializer_list<const char*> addrs,
                            const char* mode = "http") {
  haproxy::BackendRow out;
  out.name = name;
  out.algo = algo;
  out.mode = mode;
  for (const char* addr : addrs) {
    haproxy::ServerRow& s = out.servers.emplace_back();
    s.backend = name;
    s.name = "s" + std::to_string(out.servers.size());
    s.addr = addr;
    s.status = "no check";
  }
  out.index();
  return out;
}

std::vector<haproxy::Instance> one(std::initializer_list<haproxy::BackendRow> backends) {
  haproxy::Instance out;
  out.version = "2.6.12";
  out.backends = backends;
  return {out};
}

config::Config accepted(const Starter& starter) {
  CAPTURE(starter.text);
  config::Surroundings surroundings;
  surroundings.variable = [](const std::string&) { return std::nullopt; };
  surroundings.read_file = [](const std::string&) { return std::unexpected(std::string("no files")); };
  surroundings.strategies = strategy_names();
  const auto parsed = config::parse(starter.text, "made", surroundings);
  REQUIRE(parsed.has_value());
  CHECK(parsed->warnings.empty());
  return parsed->config;
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("starter: what it prints is accepted, whatever the endpoint's path") {
  const std::string path = "unix:/run/${a}/q\"uo\\te #.sock";
  const auto starter =
      cli::make_starter({path, {}, {}}, one({backend("rpc", "roundrobin", {"10.0.0.1:1", "10.0.0.2:1"})}));
  const auto config = accepted(starter);
  CHECK(config.haproxy.endpoints[0].address == path.substr(5));
  REQUIRE(config.backends.size() == 1);
  CHECK(config.backends[0].name == "rpc");
  CHECK(config.backends[0].discover == "http://{addr}/");
  CHECK(config.backends[0].chain.name == "ethereum");
  CHECK(has(starter.text, "a guess!"));
  CHECK(starter.left_out.empty());
}

TEST_CASE("starter: what weights are of no use to is left out, unless it is asked for") {
  auto agent = backend("agent", "roundrobin", {"10.0.0.1:1", "10.0.0.2:1"});
  agent.servers[0].agent_status = "L7OK";
  const auto all = one({backend("rpc", "leastconn", {"10.0.0.1:1", "10.0.0.2:1"}), agent,
                        backend("static", "static-rr", {"10.0.0.1:1", "10.0.0.2:1"}),
                        backend("hash", "source", {"10.0.0.1:1", "10.0.0.2:1"}),
                        backend("fill", "first", {"10.0.0.1:1", "10.0.0.2:1"}),
                        backend("tcp", "roundrobin", {"10.0.0.8:1", "10.0.0.9:1"}, "tcp"),
                        backend("single", "roundrobin", {"10.0.0.1:1"}), backend("none", "roundrobin", {}),
                        backend("socket", "roundrobin", {"unix", "unix"}), backend("slots", "roundrobin", {"", ""})});
  const auto starter = cli::make_starter({"unix:/s", {}, {}}, all);
  CHECK(starter.backends == std::vector<std::string>{"rpc"});
  CHECK(starter.left_out.size() == 9);
  for (const char* why : {"an agent-check may set the weights too (s1)", "only 0 % and 100 %", "hash-type consistent",
                          "`balance first` ignores weights", "TCP mode", "one server only", "it has no servers",
                          "none of its servers has an address", "slots is in use"}) {
    CAPTURE(why);
    CHECK(has(starter.text, why));
  }
  CHECK(accepted(starter).backends.size() == 1);

  const auto asked = cli::make_starter({"unix:/s", {}, {"static", "slots", "none", "nowhere"}}, all);
  CHECK(asked.backends == std::vector<std::string>{"static", "slots"});
  CHECK(asked.unknown == std::vector<std::string>{"nowhere"});
  CHECK(has(asked.text, "Asked for, but note: `balance static-rr`"));
  CHECK(accepted(asked).backends.size() == 2);
  const auto leads = accepted(cli::make_starter({"unix:/s", {}, {"fill"}}, all));
  CHECK(leads.backends[0].strategy == "leader");

  const auto nothing = cli::make_starter({"unix:/s", {}, {}}, one({backend("none", "roundrobin", {})}));
  CHECK(nothing.backends.empty());
  CHECK_FALSE(has(nothing.text, "[haproxy]"));
}

TEST_CASE("starter: a server that HAProxy speaks TLS to has a URL of its own") {
  auto rpc = backend("rpc", "roundrobin", {"10.0.0.1:443", "10.0.0.2:8443", "10.0.0.3:1"});
  rpc.servers[0].tls = rpc.servers[1].tls = true;
  rpc.servers[0].fqdn = "node.example.org";
  const auto config = accepted(cli::make_starter({"unix:/s", {}, {}}, one({rpc})));
  REQUIRE(config.backends[0].servers.size() == 2);
  CHECK(config.backends[0].servers[0].target.url == "https://node.example.org:443/");
  CHECK(config.backends[0].servers[1].target.url == "https://10.0.0.2:8443/");
}

TEST_CASE("starter: the chain is what most servers say") {
  const auto list = one({backend("rpc", "roundrobin", {"10.0.0.1:1", "10.0.0.2:1"}),
                         backend("own", "roundrobin", {"10.0.0.1:1", "10.0.0.2:1"}),
                         backend("silent", "roundrobin", {"10.0.0.7:1", "10.0.0.8:1"})});
  const auto starter = cli::make_starter({"unix:/s", {}, {}}, list,
                                         {{"rpc", ChainAnswers{{{{"evm", "1"}, 1}, {{"evm", "137"}, 3}}, 1}},
                                          {"own", ChainAnswers{{{{"evm", "987654321"}, 2}}, 0}},
                                          {"silent", ChainAnswers{{}, 2}}});
  const auto config = accepted(starter);
  CHECK(config.backends[0].chain.identity == "137");
  CHECK(config.backends[1].chain.identity == "987654321");
  CHECK(config.backends[2].chain.name == "ethereum");
  CHECK(has(starter.text, "evm 137, as 3 servers said; 2 did not"));
  CHECK(has(starter.text, "No server said what it is"));
}

TEST_CASE("starter: the same nodes behind other backends follow the first one") {
  auto other_host = backend("other", "roundrobin", {"10.0.0.1:1", "10.0.0.3:1"});
  auto more = backend("more", "roundrobin", {"10.0.0.1:9", "10.0.0.2:9", "10.0.0.3:9"});
  const auto all = one({backend("rpc", "roundrobin", {"10.0.0.1:26657", "10.0.0.2:26657"}),
                        backend("ws", "leastconn", {"10.0.0.1:26658", "10.0.0.2:26658"}, "tcp"), other_host, more});
  const auto starter = cli::make_starter({"unix:/s", {}, {}}, all);
  const auto config = accepted(starter);
  REQUIRE(config.backends.size() == 4);
  CHECK(config.backends[1].name == "ws");
  CHECK(config.backends[1].follows == "rpc");
  CHECK(config.backends[1].chain.name == "ethereum");
  CHECK(config.backends[2].follows.empty());
  CHECK(config.backends[3].follows.empty());
  CHECK(has(starter.text, "a guess: its servers have the same names and hosts there"));

  // Another chain on the same machines is another backend.
  const std::map<std::string, ChainAnswers> answers{{"rpc", {{{{"evm", "1"}, 2}}, 0}},
                                                    {"ws", {{{{"evm", "56"}, 2}}, 0}}};
  const auto asked = accepted(cli::make_starter({"unix:/s", {}, {}}, all, answers));
  REQUIRE(asked.backends.size() == 4);
  CHECK(asked.backends[1].follows.empty());
  CHECK(asked.backends[1].chain.name == "bnb-smart-chain");
  // Ports of this machine lead anywhere, so only a node that tells the same network is taken for the same.
  const auto ports = one({backend("rpc", "roundrobin", {"127.0.0.1:8001", "127.0.0.1:8002"}),
                          backend("sei", "roundrobin", {"127.0.0.1:9001", "127.0.0.1:9002"})});
  for (const auto& b :
       accepted(cli::make_starter({"unix:/s", {}, {}}, ports, {{"rpc", {{{{"evm", "1"}, 2}}, 0}}})).backends)
    CHECK(b.follows.empty());
  const std::map<std::string, ChainAnswers> same{{"rpc", {{{{"evm", "1"}, 2}}, 0}}, {"sei", {{{{"evm", "1"}, 2}}, 0}}};
  CHECK(accepted(cli::make_starter({"unix:/s", {}, {}}, ports, same)).backends[1].follows == "rpc");
  // To be asked, each stands for itself.
  for (const auto& b : accepted(cli::make_starter({"unix:/s", {}, {}, true}, all)).backends) CHECK(b.follows.empty());
}

TEST_CASE("starter: TCP backends come in when their servers say what they speak, by name where that is the host") {
  auto sni = backend("sni", "roundrobin", {"127.0.0.1:9443", "127.0.0.1:9444"}, "tcp");
  sni.servers[0].name = "a.example.net";
  sni.servers[1].name = "b.example.net";
  sni.index();
  const auto all = one({sni, backend("plain", "roundrobin", {"10.0.0.1:1", "10.0.0.2:1"}, "tcp")});
  const auto unasked = cli::make_starter({"unix:/s", {}, {}}, all);
  CHECK(unasked.backends.empty());
  CHECK(has(unasked.text, "`--probe` asks them"));
  const auto to_ask = accepted(cli::make_starter({"unix:/s", {}, {}, true}, all));
  REQUIRE(to_ask.backends.size() == 2);
  CHECK(to_ask.backends[0].discover == "https://{server}/");
  CHECK(to_ask.backends[1].discover == "http://{addr}/");
  const auto asked =
      cli::make_starter({"unix:/s", {}, {}}, all, {{"sni", {{{{"evm", "1"}, 2}}, 0}}, {"plain", {{}, 2}}});
  CHECK(asked.backends == std::vector<std::string>{"sni"});
  CHECK(accepted(asked).backends[0].discover == "https://{server}/");
  CHECK(has(asked.text, "`--probe` had no answer from any"));
  CHECK_FALSE(has(asked.text, "asks them"));
}

TEST_CASE("starter: servers that share a name are named as the reason") {
  auto doubles = backend("doubles", "roundrobin", {"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"});
  doubles.servers[1].name = doubles.servers[0].name = "twin";
  doubles.index();
  const auto starter = cli::make_starter({"unix:/s", {}, {}}, one({doubles}));
  CHECK(starter.backends.empty());
  CHECK(has(starter.text, "besides one server it has several of the name twin"));
}
