#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "cli/describe.hpp"
#include "unit/config_world.hpp"
#include "weighter/schedule/pace.hpp"

namespace rpcw::config {
namespace {

using namespace std::chrono_literals;

TEST_CASE("config: defaults") {
  const Config c = good(kBackend).config;
  CHECK_FALSE(c.watch_config);
  CHECK(c.haproxy.endpoints.empty());
  CHECK(c.haproxy.timeout.count() == 2000);
  CHECK(c.haproxy.watch_interval.count() == 1000);
  CHECK(c.probe.interval.count() == 5000);
  CHECK(c.probe.auto_interval);
  CHECK(c.probe.budget == 0);
  CHECK(c.probe.fast_interval.count() == 1000);
  CHECK(c.probe.timeout.count() == 3000);
  CHECK(c.probe.fall == 2);
  CHECK(c.probe.rise == 2);
  CHECK(c.probe.max_in_flight == 512);
  CHECK(c.probe.max_lookups == 16);
  CHECK(c.probe.max_response_bytes == 1048576);
  CHECK(c.probe.proxy.empty());
  CHECK(c.http.listen == std::vector<config::Listen>{{"127.0.0.1", 9404, "127.0.0.1:9404"}});
  CHECK(c.http.hosts.empty());
  CHECK(c.log.level == LogLevel::kInfo);
  CHECK_FALSE(c.log.json);
  REQUIRE(c.backends.size() == 1);
  const Backend& b = c.backends[0];
  CHECK(b.name == "b");
  CHECK(b.chain.name == "ethereum");
  CHECK(b.chain.identity == "1");
  CHECK(b.chain.max_lag.count() == 30'000);
  CHECK(b.strategy == "adaptive");
  CHECK(b.scale == Scale::kShare);
  CHECK(b.fallback == Fallback::kEqual);
  CHECK(b.on_eject == OnEject::kNone);
  CHECK(b.hash_dead_band == 0.5);
  CHECK(b.min_healthy == 1);
  CHECK(b.max_latency.count() == 2000);
  CHECK_FALSE(b.max_block_lag.has_value());
  CHECK(b.min_peers == 0);
  CHECK(b.ramp.count() == 30'000);
  CHECK(b.eject_time.count() == 10'000);
  CHECK(b.max_eject_time.count() == 300'000);
  CHECK(b.max_share == 1.0);
  CHECK(b.live);
  CHECK_FALSE(b.switch_back);
  REQUIRE(b.servers.size() == 1);
  CHECK(b.servers[0].target.operator_name == "s");
  CHECK_FALSE(b.servers[0].target.operator_given);
  CHECK(b.servers[0].preference == 1.0);
  CHECK(b.servers[0].tier == 0);
  CHECK(b.servers[0].max_rate == 0);
}

TEST_CASE("config: every key") {
  const Config c = good(kWhole).config;
  CHECK(c.watch_config);
  REQUIRE(c.haproxy.endpoints.size() == 5);
  struct Expected {
    Endpoint::Kind kind;
    const char* address;
    std::uint16_t port;
    const char* text;
  };
  const Expected endpoints[] = {{Endpoint::Kind::kUnix, "/run/haproxy/admin.sock", 0, "unix:/run/haproxy/admin.sock"},
                                {Endpoint::Kind::kTcp, "::1", 9999, "tcp:[::1]:9999"},
                                {Endpoint::Kind::kDns, "example.org", 9998, "dns:${HOST}:9998"},
                                {Endpoint::Kind::kMaster, "/run/master", 0, "master:unix:/run/master"},
                                {Endpoint::Kind::kTcp, "10.0.0.1", 1, "tcp:10.0.0.1:1"}};
  for (std::size_t i = 0; i < 5; ++i) {
    CAPTURE(i);
    CHECK(c.haproxy.endpoints[i].kind == endpoints[i].kind);
    CHECK(c.haproxy.endpoints[i].address == endpoints[i].address);
    CHECK(c.haproxy.endpoints[i].port == endpoints[i].port);
    CHECK(c.haproxy.endpoints[i].text == endpoints[i].text);
  }
  CHECK(c.haproxy.timeout.count() == 1500);
  CHECK(c.haproxy.watch_interval.count() == 250);
  CHECK(c.haproxy.tls.ca_file == "/etc/rpcw/ca.pem");
  CHECK(c.probe.interval.count() == 2000);
  CHECK(c.probe.fast_interval.count() == 50);
  CHECK(c.probe.timeout.count() == 60'000);
  CHECK(c.probe.fall == 10);
  CHECK(c.probe.rise == 1);
  CHECK(c.probe.max_in_flight == 65536);
  CHECK(c.probe.max_lookups == 1024);
  CHECK(c.probe.max_response_bytes == 65536);
  CHECK(c.probe.tls.ca_file == "/etc/rpcw/ca.pem");
  CHECK(c.probe.tls.cert_file == "/etc/rpcw/cert.pem");
  CHECK(c.probe.tls.key_file == "/etc/rpcw/key.pem");
  CHECK(c.probe.proxy == "http://user:k3y@example.org:3128");
  CHECK(c.http.listen ==
        std::vector<config::Listen>{{"::", 9404, "[::]:9404"}, {"/run/weighter.sock", 0, "unix:/run/weighter.sock"}});
  CHECK(c.http.hosts == std::vector<std::string>{"weighter.internal"});
  CHECK(c.log.level == LogLevel::kDebug);
  CHECK(c.log.json);

  REQUIRE(c.backends.size() == 2);
  const Backend& b = c.backends[0];
  CHECK(b.chain.name == "mychain");
  CHECK(b.chain.identity == "12345");
  CHECK(b.chain.block_time.count() == 2000);
  CHECK_FALSE(b.chain.max_block_age.has_value());
  CHECK(b.chain.max_lag.count() == 120'000);
  CHECK(b.chain.fork_depth == 7);
  CHECK(b.strategy == "inverse-latency");
  CHECK(b.scale == Scale::kPeak);
  CHECK(b.fallback == Fallback::kKeep);
  CHECK(b.on_eject == OnEject::kClearStick);
  CHECK(b.hash_dead_band == 0.75);
  CHECK(b.min_healthy == 2);
  CHECK(b.max_latency.count() == 150);
  CHECK(b.max_block_lag == 5);
  CHECK(b.min_peers == 3);
  CHECK(b.ramp.count() == 0);
  CHECK(b.eject_time.count() == 0);
  CHECK(b.max_eject_time.count() == 86'400'000);
  CHECK(b.max_share == 1.0);
  CHECK_FALSE(b.live);
  CHECK(b.switch_back);
  REQUIRE(b.servers.size() == 2);
  CHECK(b.servers[0].target.url == "https://example.org/k3y/${KEY}/$x");
  CHECK(b.servers[0].target.headers == Headers{{"X-Second", "b"}, {"Authorization", "Bearer k3y"}, {"A", "é"}});
  CHECK(b.servers[0].target.operator_name == "qn");
  CHECK(b.servers[0].target.operator_given);
  CHECK(b.servers[0].preference == 2.0);
  CHECK(b.servers[0].tier == 9);
  CHECK(b.servers[0].max_rate == 1.5);
  CHECK(b.servers[1].name == "file.1:2_3-4");
  CHECK(b.servers[1].target.url == "https://example.net/from-file");
  CHECK(b.servers[1].target.operator_name == "file.1:2_3-4");
  REQUIRE(b.references.size() == 2);
  CHECK(b.references[0].url == "https://example.com/absolute");
  CHECK(b.references[0].operator_name == "example.com");
  CHECK(b.references[1].operator_name == "ref");
  CHECK(b.references[1].headers == Headers{{"B", "c"}});
  REQUIRE(b.canaries.size() == 2);
  CHECK(b.canaries[0].method == "eth_call");
  CHECK(
      b.canaries[0].params_json ==
      R"([{"to":"0x1","data":"a\"\\\n\u0001é","quoted key":[]},"latest",-1,9223372036854775807,1.0,0.1,1e+300,true,false,[[],{}]])");
  CHECK(b.canaries[0].interval.count() == 1000);
  CHECK(b.canaries[1].params_json == R"({"a":{"b":1}})");
  CHECK(b.canaries[1].interval.count() == 60'000);

  CHECK(c.backends[1].servers.empty());
  CHECK(c.backends[1].discover == "https://{server}.{backend}:{port}/{host}/{addr}/k3y");
  CHECK(c.backends[1].chain.max_block_age->count() == 20'000);
  CHECK(c.backends[1].chain.max_lag.count() == 10'000);
}

TEST_CASE("config: beside discover a server needs no URL, and without it does") {
  const std::string own = "[[backend.server]]\nname = \"a\"\npreference = 2.0\n";
  const std::string head = "[[backend]]\nname = \"b\"\nchain = \"ethereum\"\n";
  const auto b =
      good(head + "discover = \"http://{addr}/\"\nmax_share = 0.2\nmin_healthy = 3\n" + own).config.backends[0];
  REQUIRE(b.servers.size() == 1);
  CHECK(b.servers[0].target.url.empty());
  CHECK(b.servers[0].target.operator_name == "a");
  CHECK(b.servers[0].preference == 2.0);
  CHECK(b.servers[0].named);
  CHECK(cli::describe(good(head + "discover = \"http://{addr}/\"\n" + own).config)
            .find("server      a  if HAProxy has it") != std::string::npos);
}

TEST_CASE("config: a backend that follows another one has its servers and limits") {
  const std::string followed =
      "[[backend]]\nname = \"rpc\"\nchain = \"polygon-pos\"\nmax_latency = \"700ms\"\nmin_peers = 3\nramp = \"9s\"\n"
      "[[backend.server]]\nname = \"a\"\nurl = \"http://a/k\"\npreference = 2\n"
      "[[backend.server]]\nname = \"b\"\nurl = \"http://b/k\"\n";
  const std::string follower =
      "[[backend]]\nname = \"ws\"\nfollows = \"rpc\"\nstrategy = \"leader\"\nmin_healthy = 5\n"
      "[[backend.server]]\nname = \"b\"\npreference = 7\n";
  // Whichever comes first in the file.
  for (const bool first : {false, true}) {
    const config::Config c = good(first ? follower + followed : followed + follower).config;
    const Backend& b = c.backends[first ? 0 : 1];
    CHECK(b.follows == "rpc");
    CHECK(b.chain.name == "polygon-pos");
    CHECK(b.strategy == "leader");
    CHECK(b.max_latency.count() == 700);
    CHECK(b.min_peers == 3);
    CHECK(b.ramp.count() == 9000);
    REQUIRE(b.servers.size() == 2);
    CHECK(b.servers[0].target.url == "http://a/k");
    CHECK(b.servers[0].preference == 2);
    CHECK_FALSE(b.servers[0].named);
    CHECK(b.servers[1].preference == 7);
    CHECK(b.servers[1].named);
  }
  const auto error = [&](const std::string& more) { return joined(errors(followed + more)); };
  CHECK(error("[[backend]]\nname = \"ws\"\nfollows = \"rcp\"") ==
        "16:11: backend.ws.follows: \"rcp\" is no backend of this file; accepted: \"rpc\"");
  // What depends on the backend that is not there is not told as well.
  CHECK(
      joined(errors("[[backend]]\nname = \"ws\"\nchain = \"ethereum\"\nfollows = \"nope\"\nramp = \"9s\"\n"
                    "[[backend.server]]\nname = \"a\"\nurl = \"http://a/\"\ntier = 1")) ==
      "4:11: backend.ws.follows: \"nope\" is no backend of this file; there is no other backend that can be followed");
  CHECK(error("[[backend]]\nname = \"ws\"\nfollows = 7\nramp = \"9s\"") ==
        "16:11: backend.ws.follows: found an integer; expected a string");
  CHECK(error("[[backend]]\nname = \"ws\"\nfollows = \"ws\"") ==
        "16:11: backend.ws.follows: a backend cannot follow itself; accepted: \"rpc\"");
  CHECK(error("[[backend]]\nname = \"x\"\nfollows = \"y\"\n[[backend]]\nname = \"y\"\nfollows = \"x\"") ==
        "16:11: backend.x.follows: y follows \"x\" itself; accepted: \"rpc\"\n"
        "19:11: backend.y.follows: x follows \"y\" itself; accepted: \"rpc\"");
  CHECK(error("[[backend]]\nname = \"ws\"\nfollows = \"rpc\"\n[[backend.server]]\nname = \"a\"\ntier = 1\n"
              "max_rate = \"5/s\"") ==
        "19:8: backend.ws.server.a.tier: is a matter of the backend that is followed; set it there\n"
        "20:12: backend.ws.server.a.max_rate: is a matter of the backend that is followed; set it there");
  CHECK(
      error("[[backend]]\nname = \"ws\"\nfollows = \"rpc\"\nchain = \"polygon-pos\"\n[[backend.server]]\nname = \"a\"\n"
            "url = \"http://a/\"\n[[backend.server]]\nname = \"z\"") ==
      "17:9: backend.ws.chain: is a matter of the backend that is followed; set it in rpc\n"
      "20:7: backend.ws.server.a.url: is a matter of the backend that is followed; set it there\n"
      "21:1: backend.ws.server: z is no server of rpc, which ws follows");
}

TEST_CASE("config: the lease of several agents") {
  const std::string backend =
      "[[backend]]\nname = \"b\"\nchain = \"polygon-pos\"\n[[backend.server]]\nname = \"s\"\nurl = \"http://s/\"\n";
  CHECK_FALSE(good(backend).config.standby.on());
  CHECK_FALSE(good("[standby]\nlease = \"\"\n" + backend).config.standby.on());
  const auto s = good(
                     "[standby]\nlease = \"kubernetes:rpc/weighter-1\"\napi = \"https://[::1]:6443/\"\naccount = "
                     "\"/a\"\n" +
                     backend)
                     .config.standby;
  CHECK(s.on());
  CHECK(s.name_space == "rpc");
  CHECK(s.name == "weighter-1");
  CHECK(s.text() == "kubernetes:rpc/weighter-1");
  CHECK(s.api == "https://[::1]:6443");
  CHECK(s.account == "/a");
  CHECK(good("[standby]\nlease = \"kubernetes:${HOST}/x\"\n" + backend).config.standby.name_space == "example.org");
  for (const char* wrong : {"rpc/weighter", "kubernetes:weighter", "kubernetes:/w", "kubernetes:rpc/",
                            "kubernetes:a/b/c", "kubernetes:Rpc/w", "kubernetes:rpc/-w", "kubernetes:rpc/w?x"}) {
    CAPTURE(wrong);
    CHECK(joined(errors(fmt::format("[standby]\nlease = \"{}\"\n", wrong) + backend)) ==
          fmt::format("2:9: standby.lease: \"{}\": expected kubernetes:NAMESPACE/NAME, or \"\" for an agent that is "
                      "alone",
                      wrong));
  }
  CHECK(joined(errors("[standby]\napi = \"https://u:p@host/\"\naccount = \"\"\n" + backend)) ==
        "2:7: standby.api: expected the API server's address, such as https://10.0.0.1:443\n"
        "3:11: standby.account: it is empty; expected the folder with token and ca.crt");
}

TEST_CASE("config: the agent-check") {
  const std::string backend =
      "[[backend]]\nname = \"b\"\nchain = \"polygon-pos\"\n[[backend.server]]\nname = \"s\"\nurl = \"http://s/\"\n";
  CHECK_FALSE(good(backend).config.agent_check.listen.has_value());
  CHECK(good(backend).config.backends[0].drive == config::Drive::kSocket);
  CHECK_FALSE(good("[agent_check]\nlisten = \"\"\n" + backend).config.agent_check.listen.has_value());
  const std::string by_agent =
      "[[backend]]\nname = \"b\"\nchain = \"polygon-pos\"\ndrive = \"agent\"\n[[backend.server]]\nname = \"s\"\nurl = "
      "\"http://s/\"\n";
  const auto c = good("[agent_check]\nlisten = \"[::1]:9777\"\n" + by_agent).config;
  CHECK(c.backends[0].drive == config::Drive::kAgent);
  CHECK(c.agent_check.listen->address == "::1");
  CHECK(c.agent_check.listen->port == 9777);
  CHECK(good("[agent_check]\nlisten = \"[::1]:9777\"\n" + by_agent).warnings.empty());
  const auto unused = good("[agent_check]\nlisten = \"[::1]:9777\"\n" + backend).warnings;
  REQUIRE(unused.size() == 1);
  CHECK(unused[0].to_text().ends_with(
      ":2:10: agent_check.listen: no backend has drive = \"agent\", so that HAProxy's agent-check is told no weight"));
  CHECK(
      joined(errors(by_agent)) ==
      "4:9: backend.b.drive: \"agent\" needs an address where HAProxy's agent-check is answered, such as [agent_check] "
      "listen = \"127.0.0.1:9777\"");
  CHECK(joined(errors("[agent_check]\nlisten = \"unix:/a\"\n" + backend)) ==
        "2:10: agent_check.listen: \"unix:/a\": HAProxy's agent-check needs an IP address and a port");
  CHECK(joined(errors(
            "[agent_check]\nlisten = \"127.0.0.1:1\"\n[[backend]]\nname = \"b\"\nchain = \"polygon-pos\"\ndrive = "
            "\"agent\"\non_eject = \"clear-stick\"\n[[backend.server]]\nname = \"s\"\nurl = \"http://s/\"")) ==
        "7:12: backend.b.on_eject: needs HAProxy's socket, and drive = \"agent\" sends nothing over it");
}

TEST_CASE("config: a chain of one's own takes its limits from its block time") {
  const auto b = good(std::string(kBackend) +
                      "[[chain]]\nname = \"x\"\nfamily = \"evm\"\nblock_time = \"500ms\"\n"
                      "[[backend]]\nname = \"x\"\nchain = \"x\"\ndiscover = \"http://{addr}\"\n")
                     .config.backends[1];
  CHECK(b.chain.identity.empty());
  CHECK(b.chain.max_block_age->count() == 15'000);
  CHECK(b.chain.max_lag.count() == 10'000);
  CHECK(b.chain.fork_depth == 4);
}

TEST_CASE("config: a default gives way to a value that conflicts with it") {
  const auto probe = [](const char* text) { return good(fmt::format("[probe]\n{}{}", text, kBackend)).config.probe; };
  CHECK(probe("interval = \"500ms\"").fast_interval.count() == 125);
  CHECK(probe("interval = \"3s\"").fast_interval.count() == 750);
  CHECK(probe("interval = \"5s\"").fast_interval.count() == 1000);
  CHECK(probe("interval = \"100ms\"").fast_interval.count() == 50);
  CHECK(probe("interval = \"500ms\"").interval.count() == 500);
  CHECK(probe("fast_interval = \"8s\"").interval.count() == 8000);
  const auto backend = [](const char* text) {
    return good(fmt::format("{}{}{}", kInBackend, text, kServer)).config.backends[0];
  };
  CHECK(backend("max_eject_time = \"4s\"").eject_time.count() == 4000);
  CHECK(backend("eject_time = \"1h\"").max_eject_time.count() == 3'600'000);
}

TEST_CASE("config: nothing to do") {
  CHECK(errors("") == std::vector<std::string>{" there is no [[backend]]; at least one is needed"});
  CHECK(errors("# nothing\n") == std::vector<std::string>{" there is no [[backend]]; at least one is needed"});
  CHECK(errors("backend = []") == std::vector<std::string>{" there is no [[backend]]; at least one is needed"});
}

TEST_CASE("config: TOML syntax errors and redefinitions come alone") {
  const std::vector<Case> cases{
      {"interval = 5s",
       {"1:13: TOML syntax: Error while parsing decimal integer: expected digit, saw 's' (text, and a number with a "
        "unit, needs quotation marks: \"5s\")"}},
      {"level = info",
       {"1:12: TOML syntax: Error while parsing floating-point: expected value-terminator, saw 'o' (text, and a number "
        "with a unit, needs quotation marks: \"5s\")"}},
      {"a = 1\nfoo = 2\na = 3",
       {"3:5: TOML syntax: cannot redefine existing integer 'a'; it is already set on line 1: keep one of "
        "them"}},
      {"[haproxy]\n[probe]\nintervall = \"5\"\n[haproxy]",
       {"4:1: TOML syntax: cannot redefine existing table 'haproxy'; it is already on line 1: join the two"}},
      {"[backend]\nname = \"b\"\n[[backend]]",
       {"3:1: TOML syntax: cannot redefine existing table 'backend' as array-of-tables (there may be several, so it is "
        "written with two brackets, as [[backend.server]] is; the one on line 1 is not)"}},
      {"[[backend]]\n[backend.server]\n[backend.server]",
       {"3:1: TOML syntax: cannot redefine existing table 'backend.server' (there may be several, so it is written with "
        "two brackets, as [[backend.server]] is; the one on line 2 is not)"}},
      {"live = False",
       {"1:8: TOML syntax: Error while parsing boolean: expected …, saw 'F' (write true or false; text needs quotation "
        "marks)"}},
      {"name = \"rpc\nchain = \"ethereum\"",
       {"1:12: TOML syntax: Error while parsing string: unescaped control characters other than TAB (U+0009) are "
        "explicitly prohibited (is the closing quotation mark missing?)"}},
      {"[probe\n", {"1:7: TOML syntax: Error while parsing table header: expected ']', saw '\\n'"}},
      {"a = \"x\n",
       {"1:7: TOML syntax: Error while parsing string: unescaped control characters other than TAB (U+0009) are "
        "explicitly prohibited (is the closing quotation mark missing?)"}},
      {"a = \"\\q\"", {"1:7: TOML syntax: Error while parsing string: unknown escape sequence '\\q'"}},
      {"a = 99999999999999999999", {"1:25: TOML syntax: a number does not fit into 64 bits"}},
      {"\xff", {"1:1: TOML syntax: Encountered invalid utf-8 sequence"}},
      {"a = [1", {"1:7: TOML syntax: Error while parsing array: encountered end-of-file"}},
      {"interval = “5s”",
       {"1:12: TOML syntax: a character beyond ASCII is only possible in quotation marks and comments (are the "
        "quotation marks typographic ones?)"}},
      {"\xef\xbb\xbf# “5s”\na = \"é\" é",
       {"2:9: TOML syntax: a character beyond ASCII is only possible in quotation marks and comments (are the "
        "quotation marks typographic ones?)"}},
      {"a = +\"é\"",
       {"1:7: TOML syntax: a character beyond ASCII is only possible in quotation marks and comments (are the "
        "quotation marks typographic ones?)"}},
      {"[{ é",
       {"1:4: TOML syntax: a character beyond ASCII is only possible in quotation marks and comments (are the "
        "quotation marks typographic ones?)"}},
      {"a = '''é\n'é''' # é\nb = \"\"\"é\\\"é\\\\\"\"\"\"\"\nc é",
       {"4:3: TOML syntax: a character beyond ASCII is only possible in quotation marks and comments (are the "
        "quotation marks typographic ones?)"}},
      {"a = \"\"\"\\\n é\"\"\"",
       {"2:2: TOML syntax: a character beyond ASCII is only possible in quotation marks and comments (are the "
        "quotation marks typographic ones?)"}},
      {"a = \"\"\"\\é\"\"\"",
       {"1:9: TOML syntax: a character beyond ASCII is only possible in quotation marks and comments (are the "
        "quotation marks typographic ones?)"}},
      {"a = '\\' é",
       {"1:9: TOML syntax: a character beyond ASCII is only possible in quotation marks and comments (are the "
        "quotation marks typographic ones?)"}},
      {"a = \"\\\"\" é",
       {"1:10: TOML syntax: a character beyond ASCII is only possible in quotation marks and comments (are the "
        "quotation marks typographic ones?)"}},
      // Behind a wrong value the library looks on through what looks like a string.
      {"a = 1[\"é\"]",
       {"1:6: TOML syntax: Error while parsing decimal integer: expected digit, saw '[' (text, and a number with a unit, "
        "needs quotation marks: \"5s\")"}},
      {"url = https://user:SECRET@h/",
       {"1:7: TOML syntax: Error while parsing value: could not determine value type (text, and a number with a unit, "
        "needs quotation marks: \"5s\")"}},
      {"\"SECRET/1\" = 1\n\"SECRET/1\" = 2", {"2:14: TOML syntax: cannot redefine existing integer key"}},
  };
  check("", "", cases);
}

TEST_CASE("config: all errors of a file at once, in its order") {
  check(
      "", "",
      {{R"([log]
level = "loud"
[[backend]]
name = "b"
chain = "etherum"
min_healthy = 0
[[backend.server]]
name = "s"
url = "http://${NONE}/"
preferance = 2
[[backend.server]]
name = "s"
url = "http://h:0/"
[probe]
rise = 0
fall = 99
interval = 5
[[chain]]
name = "x"
)",
        {"2:9: log.level: \"loud\" is not known; accepted: trace, debug, info, warn, error",
         "5:9: backend.b.chain: \"etherum\" is not known; did you mean \"ethereum\"? `rpc-weighter chains` lists the "
         "names, and a [[chain]] defines one of your own",
         "6:15: backend.b.min_healthy: 0 is out of range; accepted: 1 to 4096",
         "9:7: backend.b.server.s.url: the variable NONE is not set",
         "10:1: backend.b.server.s.preferance: unknown key; did you mean \"preference\"?",
         "12:8: backend.b.server.s.name: the server \"s\" is already defined on line 8",
         "13:7: backend.b.server.s.url: the port is not a number from 1 to 65535",
         "15:8: probe.rise: 0 is out of range; accepted: 1 to 10",
         "16:8: probe.fall: 99 is out of range; accepted: 1 to 10",
         "17:12: probe.interval: 5 has no unit; write it as \"5s\" if it is seconds (units: ms, s, m, h, d); "
         "accepted: 100ms to 1h, or \"auto\"",
         "18:1: chain.x.family: missing; accepted: evm, solana, algorand, aptos, sui, hedera, near, cometbft, substrate, stellar-rpc, horizon, xrpl, starknet, bitcoin, tron, beacon",
         "18:1: chain.x.block_time: missing; the nominal time between blocks, such as \"2s\""}}});
}

TEST_CASE("config: a Unix socket's path has at most 107 bytes") {
  const auto with = [](std::size_t length) {
    return fmt::format("[haproxy]\nendpoints = [\"unix:/{}\"]{}", std::string(length - 1, 'a'), kBackend);
  };
  CHECK(good(with(107)).config.haproxy.endpoints[0].address.size() == 107);
  CHECK(joined(errors(with(108))) ==
        "2:14: haproxy.endpoints: \"unix:/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…\": the path has 108 bytes; a Unix "
        "socket's path has at most 107");
}

TEST_CASE("config: places count characters, and CRLF files are fine") {
  CHECK(joined(errors(fmt::format("[http] # é\r\n listen = \"é\"{}", kBackend))) ==
        "2:11: http.listen: \"é\": the port is missing; expected HOST:PORT; \"\" turns it off");
  CHECK(joined(errors(fmt::format("log = {{ level = \"é\", levle = 1 }}{}", kBackend))) ==
        "1:17: log.level: \"é\" is not known; accepted: trace, debug, info, warn, error\n"
        "1:22: log.levle: unknown key; did you mean \"level\"?");
}

TEST_CASE("config: what is shown of the file is cut, and what looks like a URL or a login is not shown") {
  const auto error = [](const char* value) {
    return joined(errors(fmt::format("[log]\nlevel = \"{}\"{}", value, kBackend)));
  };
  const std::string rest = " is not known; accepted: trace, debug, info, warn, error";
  CHECK(error("https://u:SECRET@h:1/SECRET") == "2:9: log.level: \"https://h:1/…\"" + rest);
  CHECK(error("u:SECRET@h") == "2:9: log.level: \"…\"" + rest);
  CHECK(error("x\\u001b[31m\\u007f") == "2:9: log.level: \"x\\x1b[31m\\x7f\"" + rest);
  CHECK(error("ééééééééééééééééééééé") == "2:9: log.level: \"éééééééééééééééééééé…\"" + rest);
}

TEST_CASE("config: warnings") {
  const auto with = [](const char* a, const char* b) {
    return fmt::format(
        "[[backend]]\nname = \"b\"\nchain = \"ethereum\"\n[[backend.server]]\nname = "
        "\"s\"\n{}\n[[backend.server]]\nname = "
        "\"t\"\n{}\n",
        a, b);
  };
  const std::string same =
      "7:1: backend.b: the servers \"s\" and \"t\" share the domain alchemy.com and have separate votes on the "
      "agreed head; if one operator runs them, give them the same operator";
  CHECK(joined(warnings(with("url = \"https://a.g.alchemy.com/\"", "url = \"https://b.g.alchemy.com/\""))) == same);
  CHECK(warnings(with("url = \"https://a.alchemy.com/\"", "url = \"https://a.alchemy.org/\"")).empty());
  CHECK(
      warnings(with("url = \"https://a.alchemy.com/\"", "url = \"https://b.alchemy.com/\"\noperator = \"s\"")).empty());
  CHECK(warnings(with("url = \"http://127.0.0.1:1/\"", "url = \"http://127.0.0.1:2/\"")).empty());
  CHECK(warnings(with("url = \"http://[::1]:1/\"", "url = \"http://[::1]:2/\"")).empty());
  CHECK(warnings(with("url = \"http://geth:1/\"", "url = \"http://geth:2/\"")).empty());
  CHECK(joined(warnings(
            with("url = \"https://x.org/${EMPTY}\"", "url = \"http://t/\"\nheaders = { A = \"b ${EMPTY}\" }"))) ==
        "6:7: backend.b.server.s.url: the variable EMPTY is empty\n"
        "10:17: backend.b.server.t.headers.A: the variable EMPTY is empty");
  // Every key is in it, also those that do not go together.
  CHECK(warnings(kWhole).size() == 2);
}

}  // namespace
}  // namespace rpcw::config
