#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/describe.hpp"
#include "config/load.hpp"
#include "config/nearest.hpp"
#include "config/own_family.hpp"
#include "config/quantity.hpp"
#include "weighter/schedule/pace.hpp"
#include "weighter/strategy/strategy.hpp"

namespace rpcw::config {
namespace {

using namespace std::chrono_literals;

/// Variables and files that exist nowhere else.
struct World {
  std::map<std::string, std::string> variables;
  std::map<std::string, std::string> files;

  [[nodiscard]] Surroundings surroundings() const {
    return {.variable = [this](const std::string& name) -> std::optional<std::string> {
              const auto at = variables.find(name);
              if (at == variables.end()) return std::nullopt;
              return at->second;
            },
            .read_file = [this](const std::string& path) -> std::expected<std::string, std::string> {
              const auto at = files.find(path);
              if (at == files.end()) return std::unexpected("No such file or directory");
              return at->second;
            },
            .strategies = strategy_names()};
  }
};

const World kWorld{.variables = {{"HOST", "example.org"},
                                 {"KEY", "k3y"},
                                 {"EMPTY", ""},
                                 {"LINE", "abc\n"},
                                 {"SPACED", "a b"},
                                 {"BACK", "a\\b"}},
                   .files = {{"/etc/rpcw/url", "https://example.net/from-file\r\n"},
                             {"/run/secrets/url", "https://example.com/absolute\n"},
                             {"/etc/rpcw/two-lines", "https://example.net/\nhttps://example.com/\n"},
                             {"/etc/rpcw/nothing", "\n"},
                             {"/etc/rpcw/ca.pem", "-"},
                             {"/etc/rpcw/cert.pem", "-"},
                             {"/etc/rpcw/key.pem", "-"}}};

constexpr const char* kFile = "/etc/rpcw/c.toml";

std::vector<std::string> texts(const std::vector<Diagnostic>& list) {
  std::vector<std::string> out;
  for (const Diagnostic& d : list) {
    std::string text = d.to_text();
    // The same in all of them.
    REQUIRE(text.starts_with(kFile));
    out.push_back(text.substr(std::string_view(kFile).size() + 1));
  }
  return out;
}

std::vector<std::string> errors(std::string_view text, const World& world = kWorld) {
  const auto out = parse(text, kFile, world.surroundings());
  return out ? std::vector<std::string>{} : texts(out.error());
}

Loaded good(std::string_view text, const World& world = kWorld) {
  auto out = parse(text, kFile, world.surroundings());
  if (!out)
    for (const std::string& line : texts(out.error())) MESSAGE(line);
  REQUIRE(out.has_value());
  return std::move(*out);
}

std::string joined(const std::vector<std::string>& lines) {
  return fmt::format("{}", fmt::join(lines, "\n"));
}

struct Case {
  std::string text;
  std::vector<std::string> expected;
};

void check(std::string_view before, std::string_view after, const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    const std::string text = fmt::format("{}{}{}", before, c.text, after);
    CAPTURE(c.text);
    CHECK(joined(errors(text)) == joined(c.expected));
  }
}

// What makes the rest of a file complete; the snippets under test begin on line 1, 4 or 7.
constexpr std::string_view kBackend = R"(
[[backend]]
name = "b"
chain = "ethereum"
[[backend.server]]
name = "s"
url = "http://h/"
)";
constexpr std::string_view kInBackend = "[[backend]]\nname = \"b\"\nchain = \"ethereum\"\n";
constexpr std::string_view kServer = "\n[[backend.server]]\nname = \"s\"\nurl = \"http://h/\"\n";
constexpr std::string_view kInServer =
    "[[backend]]\nname = \"b\"\nchain = \"ethereum\"\n[[backend.server]]\nname = \"s\"\n\n";

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

constexpr std::string_view kWhole = R"(
watch_config = true
[haproxy]
endpoints = ["unix:/run/haproxy/admin.sock", "tcp:[::1]:9999", "dns:${HOST}:9998", "master:unix:/run/master", "tcp:10.0.0.1:1"]
timeout = "1.5s"
watch_interval = "250ms"
ca_file = "ca.pem"
[probe]
interval = "2s"
fast_interval = "50ms"
timeout = "60s"
fall = 10
rise = 1
max_in_flight = 65536
max_lookups = 1024
max_response_bytes = "64KiB"
ca_file = "/etc/rpcw/ca.pem"
cert_file = "cert.pem"
key_file = "key.pem"
proxy = "http://user:${KEY}@${HOST}:3128"
[http]
listen = ["[::]:9404", "unix:/run/weighter.sock"]
hosts = ["Weighter.internal"]
[log]
level = "debug"
format = "json"
[[backend]]
name = "rpc-backend"
chain = "mychain"
strategy = "inverse-latency"
scale = "peak"
fallback = "keep"
on_eject = "clear-stick"
hash_dead_band = 0.75
min_healthy = 2
max_latency = "150ms"
max_block_age = "off"
max_lag = "2m"
max_block_lag = 5
min_peers = 3
ramp = "0s"
eject_time = "0s"
max_eject_time = "1d"
max_share = 1
live = false
switch_back = true
  [[backend.server]]
  name = "quicknode"
  url = "https://${HOST}/${KEY}/$${KEY}/$x"
  headers = { X-Second = "b", Authorization = "Bearer ${KEY}", A = "é" }
  operator = "qn"
  preference = 2
  tier = 9
  max_rate = "90/m"
  interval = "10s"
  budget = "60000/day"
  [[backend.server]]
  name = "file.1:2_3-4"
  url_file = "url"
  [[backend.reference]]
  url_file = "/run/secrets/url"
  [[backend.reference]]
  url = "http://reference.example.org:80"
  operator = "ref"
  headers = { B = "c" }
  interval = "auto"
  [[backend.canary]]
  method = "eth_call"
  params = [ { to = "0x1", data = "a\"\\\n\u0001é", "quoted key" = [] }, "latest", -1, 9223372036854775807, 1.0, 0.1, 1e300, true, false, [[], {}] ]
  interval = "1s"
  [[backend.canary]]
  method = "m"
  params.a = { b = 1 }
[[backend]]
name = "own"
chain = "base"
discover = "https://{server}.{backend}:{port}/{host}/{addr}/${KEY}"
max_block_age = "20s"
[[chain]]
name = "mychain"
family = "evm"
chain_id = 12345
block_time = "2s"
max_block_age = "60s"
max_lag = "40s"
fork_depth = 7
[[chain]]
name = "bare"
family = "evm"
block_time = "500ms"
)";

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
  CHECK(
      describe(good(head + "discover = \"http://{addr}/\"\n" + own).config).find("server      a  if HAProxy has it") !=
      std::string::npos);
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
      {"a = 1\nfoo = 2\na = 3", {"3:5: TOML syntax: cannot redefine existing integer 'a'"}},
      {"[haproxy]\n[probe]\nintervall = \"5\"\n[haproxy]",
       {"4:1: TOML syntax: cannot redefine existing table 'haproxy'"}},
      {"[backend]\nname = \"b\"\n[[backend]]",
       {"3:1: TOML syntax: cannot redefine existing table 'backend' as array-of-tables"}},
      {"[probe\n", {"1:7: TOML syntax: Error while parsing table header: expected ']', saw '\\n'"}},
      {"a = \"x\n",
       {"1:7: TOML syntax: Error while parsing string: unescaped control characters other than TAB (U+0009) are "
        "explicitly prohibited"}},
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
      {"url = https://user:SECRET@h/",
       {"1:7: TOML syntax: Error while parsing value: could not determine value type (text, and a number with a unit, "
        "needs quotation marks: \"5s\")"}},
      {"\"SECRET/1\" = 1\n\"SECRET/1\" = 2", {"2:14: TOML syntax: cannot redefine existing integer key"}},
  };
  check("", "", cases);
}

TEST_CASE("config: general tables") {
  check(
      "", kBackend,
      {
          {"watch_confg = true", {"1:1: watch_confg: unknown key; did you mean \"watch_config\"?"}},
          {"watch_config = \"yes\"", {"1:16: watch_config: found a string; expected true or false"}},
          {"wholly_unknown = 1",
           {"1:1: wholly_unknown: unknown key; accepted: watch_config, haproxy, probe, http, agent_check, standby, log, family, chain, backend"}},
          {"\"http://h/k\" = 1",
           {"1:1: unknown key (not shown); accepted: watch_config, haproxy, probe, http, agent_check, standby, log, family, chain, backend"}},
          {"[[haproxy]]", {"1:1: haproxy: found an array; expected a table: [haproxy]"}},
          {"haproxy = 5", {"1:1: haproxy: found an integer; expected a table: [haproxy]"}},
          {"servers = 1\n[chains]\n[log]\nlvl = 1",
           {"1:1: servers: unknown key; accepted: watch_config, haproxy, probe, http, agent_check, standby, log, family, chain, backend",
            "2:2: chains: unknown key; did you mean \"chain\"?", "4:1: log.lvl: unknown key; accepted: level, format"}},
          {"[haproxy]\nendpoints = \"unix:/x\"",
           {"2:13: haproxy.endpoints: found a string; expected an array of strings: [\"…\"]"}},
          {"[haproxy]\nendpoints = [\"unix:/x\", 5, \"unix:\", \"/run/x\", \"tcp:h\", \"tcp:h:0\", \"tcp:h:65536\", "
           "\"tcp:::1:80\", "
           "\"dns:127.0.0.1:80\", \"master:/x\", \"unix:/x\", \"tcp:a b:80\", \"tcp::80\", \"tcp:h:80/x\", "
           "\"tcp:${EMPTY}:80\", "
           "\"tcp:${NONE}:80\", \"nonsense\", \"unix:a\\u0001\"]",
           {"2:25: haproxy.endpoints: found an integer; expected a string",
            "2:28: haproxy.endpoints: \"unix:\": the path is empty",
            "2:37: haproxy.endpoints: \"/run/x\": a path needs unix: before it; expected unix:PATH, tcp:HOST:PORT, "
            "dns:NAME:PORT or master:unix:PATH",
            "2:47: haproxy.endpoints: \"tcp:h\": the port is missing; expected HOST:PORT",
            "2:56: haproxy.endpoints: \"tcp:h:0\": the port is not a number from 1 to 65535",
            "2:67: haproxy.endpoints: \"tcp:h:65536\": the port is not a number from 1 to 65535",
            "2:82: haproxy.endpoints: \"tcp:::1:80\": an IPv6 address needs brackets: [ADDRESS]:PORT",
            "2:96: haproxy.endpoints: \"dns:127.0.0.1:80\": dns: takes a name; for an address write tcp:",
            "2:116: haproxy.endpoints: \"master:/x\": a master's socket is a Unix socket; expected unix:PATH, "
            "tcp:HOST:PORT, dns:NAME:PORT or master:unix:PATH",
            "2:129: haproxy.endpoints: the same endpoint is already given on line 2",
            "2:140: haproxy.endpoints: \"tcp:a b:80\": it has a space",
            "2:154: haproxy.endpoints: \"tcp::80\": the host is missing; for all addresses write 0.0.0.0 or [::]",
            "2:165: haproxy.endpoints: \"tcp:h:80/x\": expected HOST:PORT and nothing else",
            "2:179: haproxy.endpoints: \"tcp:${EMPTY}:80\": the host is missing; for all addresses write 0.0.0.0 or "
            "[::] (the variable EMPTY is empty)",
            "2:198: haproxy.endpoints: the variable NONE is not set",
            "2:216: haproxy.endpoints: \"nonsense\": expected unix:PATH, tcp:HOST:PORT, dns:NAME:PORT or "
            "master:unix:PATH",
            "2:228: haproxy.endpoints: \"unix:a\\x01\": the path has a control character"}},
          {"[haproxy]\ntimeout = \"9ms\"\nwatch_interval = \"1h1ms\"",
           {"2:11: haproxy.timeout: \"9ms\" is out of range; accepted: 10ms to 60s",
            "3:18: haproxy.watch_interval: \"1h1ms\" is no duration; write a number and one of ms, s, m, h, d, such as "
            "\"5s\"; accepted: 100ms to 1h"}},
          {"[haproxy]\ncert_file = \"cert.pem\"\n[probe]\nkey_file = \"key.pem\"\nca_file = \"missing.pem\"",
           {"2:13: haproxy.cert_file: cert_file needs key_file beside it",
            "4:12: probe.key_file: key_file needs cert_file beside it",
            "5:11: probe.ca_file: the file cannot be read: No such file or directory"}},
          {"[probe]\nca_file = \"\"\ncert_file = \"${EMPTY}\"\nkey_file = \"${NONE}\"",
           {"2:11: probe.ca_file: the path is empty",
            "3:13: probe.cert_file: the path is empty (the variable EMPTY is empty)",
            "4:12: probe.key_file: the variable NONE is not set"}},
          {"[probe]\ninterval = 5",
           {"2:12: probe.interval: 5 has no unit; write it as \"5s\" if it is seconds (units: ms, s, m, h, d); "
            "accepted: 100ms to 1h, or \"auto\""}},
          {"[probe]\ninterval = 2.5",
           {"2:12: probe.interval: 2.5 has no unit; write it as \"2.5s\" if it is seconds (units: ms, s, m, h, d); "
            "accepted: 100ms to 1h, or \"auto\""}},
          {"[probe]\ninterval = -5", {"2:12: probe.interval: -5 is no duration; accepted: 100ms to 1h, or \"auto\""}},
          {"[probe]\ninterval = nan", {"2:12: probe.interval: nan is no duration; accepted: 100ms to 1h, or \"auto\""}},
          {"[probe]\ninterval = \"5\"",
           {"2:12: probe.interval: \"5\" has no unit; write it as \"5s\" if it is seconds (units: ms, s, m, h, d); "
            "accepted: 100ms to 1h, or \"auto\""}},
          {"[probe]\ninterval = \"-5s\"",
           {"2:12: probe.interval: \"-5s\" is negative; accepted: 100ms to 1h, or \"auto\""}},
          {"[probe]\ninterval = \"5 s\"",
           {"2:12: probe.interval: \"5 s\" is no duration; write a number and one of ms, s, m, h, d, such as \"5s\"; "
            "accepted: 100ms to 1h, or \"auto\""}},
          {"[probe]\ninterval = \"s\"",
           {"2:12: probe.interval: \"s\" is no duration; write a number and one of ms, s, m, h, d, such as \"5s\"; "
            "accepted: 100ms to 1h, or \"auto\""}},
          {"[probe]\ninterval = \"\"",
           {"2:12: probe.interval: \"\" is no duration; write a number and one of ms, s, m, h, d, such as \"5s\"; "
            "accepted: 100ms to 1h, or \"auto\""}},
          {"[probe]\ninterval = \"off\"",
           {"2:12: probe.interval: \"off\" is not accepted here; accepted: 100ms to 1h, or \"auto\""}},
          {"[probe]\ninterval = \"1.0005s\"",
           {"2:12: probe.interval: \"1.0005s\" is finer than a millisecond; accepted: 100ms to 1h, or \"auto\""}},
          {"[probe]\ninterval = \"99ms\"",
           {"2:12: probe.interval: \"99ms\" is out of range; accepted: 100ms to 1h, or \"auto\""}},
          {"[probe]\ninterval = \"99999999999999999999999999999999999999999h\"",
           {"2:12: probe.interval: \"9999999999999999999999999999999999999999…\" is out of range; accepted: 100ms to "
            "1h, or \"auto\""}},
          {"[probe]\ninterval = [\"5s\"]",
           {"2:12: probe.interval: found an array; expected a duration from 100ms to 1h, or \"auto\", such as \"5s\""}},
          {"[probe]\ninterval = 07:32:00",
           {"2:12: probe.interval: found a date or a time; expected a duration from 100ms to 1h, or \"auto\", such as \"5s\""}},
          {"[probe]\ninterval = \"1s\"\nfast_interval = \"2s\"",
           {"3:17: probe.fast_interval: 2s is longer than interval; accepted: 50ms to 1s"}},
          {"[probe]\nfall = 0\nrise = 11",
           {"2:8: probe.fall: 0 is out of range; accepted: 1 to 10",
            "3:8: probe.rise: 11 is out of range; accepted: 1 to 10"}},
          {"[probe]\nfall = -1\nrise = 9223372036854775807",
           {"2:8: probe.fall: -1 is out of range; accepted: 1 to 10",
            "3:8: probe.rise: 9223372036854775807 is out of range; accepted: 1 to 10"}},
          {"[probe]\nfall = 2.0\nrise = \"2\"",
           {"2:8: probe.fall: found 2.0; expected an integer from 1 to 10",
            "3:8: probe.rise: found a string; expected an integer from 1 to 10"}},
          {"[probe]\nmax_in_flight = 65537\nmax_lookups = 0",
           {"2:17: probe.max_in_flight: 65537 is out of range; accepted: 1 to 65536",
            "3:15: probe.max_lookups: 0 is out of range; accepted: 1 to 1024"}},
          {"[probe]\nmax_response_bytes = 1048576",
           {"2:22: probe.max_response_bytes: 1048576 has no unit; write it as \"1048576B\" if it is bytes (units: B, "
            "KB, KiB, MB, MiB, GB, GiB); accepted: 1KiB to 64MiB"}},
          {"[probe]\nmax_response_bytes = \"1048576\"",
           {"2:22: probe.max_response_bytes: \"1048576\" has no unit; write it as \"1048576B\" if it is bytes (units: "
            "B, KB, KiB, MB, MiB, GB, GiB); accepted: 1KiB to 64MiB"}},
          {"[probe]\nmax_response_bytes = \"1mb\"",
           {"2:22: probe.max_response_bytes: \"1mb\" is no size; write a number and one of B, KB, KiB, MB, MiB, GB, "
            "GiB, such as \"1MiB\"; accepted: 1KiB to 64MiB"}},
          {"[probe]\nmax_response_bytes = \"-1MB\"",
           {"2:22: probe.max_response_bytes: \"-1MB\" is negative; accepted: 1KiB to 64MiB"}},
          {"[probe]\nmax_response_bytes = \"1023B\"",
           {"2:22: probe.max_response_bytes: \"1023B\" is out of range; accepted: 1KiB to 64MiB"}},
          {"[probe]\nmax_response_bytes = \"1.0001KB\"",
           {"2:22: probe.max_response_bytes: \"1.0001KB\" is no whole number of bytes; accepted: 1KiB to 64MiB"}},
          {"[probe]\nmax_response_bytes = \"65MiB\"",
           {"2:22: probe.max_response_bytes: \"65MiB\" is out of range; accepted: 1KiB to 64MiB"}},
          {"[probe]\nmax_response_bytes = true",
           {"2:22: probe.max_response_bytes: found a boolean; expected a size from 1KiB to 64MiB, such as \"1MiB\""}},
          {"[probe]\nproxy = \"proxy:3128\"",
           {"2:9: probe.proxy: this is no URL; expected http://HOST[:PORT]/… or https://HOST[:PORT]/…; expected a "
            "proxy's URL, \"environment\" or \"\""}},
          {"[probe]\nproxy = \"http://${EMPTY}/\"",
           {"2:9: probe.proxy: the URL has no host; expected a proxy's URL, \"environment\" or \"\" (the variable "
            "EMPTY is empty)"}},
          {"[http]\nlisten = 9404", {"2:10: http.listen: found an integer; expected a string"}},
          {"[http]\nlisten = \":9404\"",
           {"2:10: http.listen: \":9404\": the host is missing; for all addresses write 0.0.0.0 or [::]; \"\" turns it "
            "off"}},
          {"[http]\nlisten = \"localhost\"",
           {"2:10: http.listen: \"localhost\": the port is missing; expected HOST:PORT; \"\" turns it off"}},
          {"[http]\nlisten = \"localhost:http\"",
           {"2:10: http.listen: \"localhost:http\": the port is not a number from 1 to 65535; \"\" turns it off"}},
          {"[http]\nlisten = \"example.org:9404\"",
           {"2:10: http.listen: \"example.org:9404\": expected an address and a port, such as 127.0.0.1:9404, or "
            "unix:PATH; \"\" turns it off"}},
          {"[http]\nlisten = [\"unix:\", \"127.0.0.1:1\", \"127.0.0.1:1\"]\nhosts = [\"a:1\"]",
           {"2:11: http.listen: \"unix:\": the path is empty; \"\" turns it off",
            "2:35: http.listen: \"127.0.0.1:1\" is already given",
            "3:10: http.hosts: \"a:1\": expected a host name without a port, such as \"weighter.internal\""}},
          {"[log]\nlevel = \"warning\"\nformat = \"jsn\"",
           {"2:9: log.level: \"warning\" is not known; did you mean \"warn\"? Accepted: trace, debug, info, warn, "
            "error",
            "3:10: log.format: \"jsn\" is not known; did you mean \"json\"? Accepted: text, json"}},
          {"[log]\nlevel = \"loud\"\nformat = 1",
           {"2:9: log.level: \"loud\" is not known; accepted: trace, debug, info, warn, error",
            "3:10: log.format: found an integer; expected one of: text, json"}},
      });
}

TEST_CASE("config: chains") {
  check(
      "", kBackend,
      {
          {"[[chain]]",
           {"1:1: chain[1].name: missing; every [[chain]] needs a name",
            "1:1: chain[1].family: missing; accepted: evm, solana, algorand, aptos, sui, hedera, near, cometbft, substrate, stellar-rpc, horizon, xrpl, starknet, bitcoin, tron, beacon",
            "1:1: chain[1].block_time: missing; the nominal time between blocks, such as \"2s\""}},
          {"[chain]\nname = \"x\"", {"1:1: chain: found a table; expected an array of tables: [[chain]]"}},
          {"chain = [1]", {"1:10: chain: found an integer; expected a table: [[chain]]"}},
          {"[[chain]]\nname = \"Big Chain\"\nfamily = \"evn\"\nblock_time = \"0s\"",
           {"2:8: chain[1].name: \"Big Chain\" is no chain's name; accepted: a-z 0-9 -",
            "3:10: chain[1].family: \"evn\" is not known; did you mean \"evm\"? Accepted: evm, solana, algorand, "
            "aptos, sui, hedera, near, cometbft, substrate, stellar-rpc, horizon, xrpl, starknet, bitcoin, tron, "
            "beacon",
            "4:14: chain[1].block_time: \"0s\" is out of range; accepted: 1ms to 1h"}},
          {"[[chain]]\nname = \"ethereum\"\nfamily = \"solana\"\nblock_time = \"1s\"",
           {"2:8: chain.ethereum.name: \"ethereum\" is a chain that is already known; its limits can be set in a "
            "backend, or choose another name"}},
          {"[[chain]]\nname = \"x\"\nfamily = \"cosmos\"\nblock_time = \"2h\"\nchain_id = 0\nmax_block_age = "
           "\"0s\"\nmax_lag = \"off\"\nfork_depth = 0\nnetwork = 1",
           {"3:10: chain.x.family: \"cosmos\" is not known; accepted: evm, solana, algorand, aptos, sui, hedera, near, "
            "cometbft, substrate, stellar-rpc, horizon, xrpl, starknet, bitcoin, tron, beacon",
            "4:14: chain.x.block_time: \"2h\" is out of range; accepted: 1ms to 1h",
            "5:12: chain.x.chain_id: 0 is out of range; accepted: 1 to 9223372036854775807",
            "6:17: chain.x.max_block_age: \"0s\" is out of range; accepted: 1s to 24h, or \"off\"",
            "7:11: chain.x.max_lag: \"off\" is not accepted here; accepted: 1s to 24h",
            "8:14: chain.x.fork_depth: 0 is out of range; accepted: 1 to 1000",
            "9:1: chain.x.network: unknown key; accepted: name, family, chain_id, block_time, max_block_age, max_lag, "
            "fork_depth, genesis_time"}},
          {"[[chain]]\nname = \"x\"\nfamily = \"evm\"\nblock_time = \"1s\"\n[[chain]]\nname = \"x\"\nfamily = "
           "\"evm\"\nblock_time = \"1s\"",
           {"6:8: chain.x.name: the chain \"x\" is already defined on line 1"}},
          {"[[chain]]\nname = 5\nfamily = 5\nblock_time = 5",
           {"2:8: chain[1].name: found an integer; expected a string",
            "3:10: chain[1].family: found an integer; expected one of: evm, solana, algorand, aptos, sui, hedera, "
            "near, cometbft, substrate, stellar-rpc, horizon, xrpl, starknet, bitcoin, tron, beacon",
            "4:14: chain[1].block_time: 5 has no unit; write it as \"5s\" if it is seconds (units: ms, s, m, h, d); "
            "accepted: 1ms to 1h"}},
          {"[[backend]]\nname = \"x\"\nchain = \"broken\"\ndiscover = \"http://{addr}\"\n[[chain]]\nname = "
           "\"broken\"\nfamily = \"evm\"",
           {"5:1: chain.broken.block_time: missing; the nominal time between blocks, such as \"2s\""}},
          {"[[backend]]\nname = \"x\"\nchain = \"mychains\"\ndiscover = \"http://{addr}\"\n[[chain]]\nname = "
           "\"mychain\"\nfamily = \"evm\"\nblock_time = \"1s\"",
           {"3:9: backend.x.chain: \"mychains\" is not known; did you mean \"mychain\"? `rpc-weighter chains` lists "
            "the names, and a [[chain]] defines one of your own"}},
      });
}

TEST_CASE("config: families and chains of one's own") {
  const Loaded loaded = good(R"(
[[family]]
name = "myapi"
  [family.head]
  method = "POST"
  path = "/status"
  headers = { Accept = "application/json" }
  body = "{}"
  height = "/node/height"
  height_encoding = "hex"
  time = "/node/time"
  time_encoding = "rfc3339"
  error = "/error/message"
  rate_limited = ["Slow Down"]
  [family.identity]
  path = "/id"
  id = "/network"
  [family.block]
  path = "/block/{height}"
  hash = "/hash"

[[chain]]
name = "mychain"
family = "myapi"
chain_id = "my-net-1"
block_time = "2s"
genesis_time = 1606824023

[[backend]]
name = "b"
chain = "mychain"
discover = "http://{addr}/"
)");
  const Chain& chain = loaded.config.backends.at(0).chain;
  CHECK(chain.family == "myapi");
  CHECK(chain.identity == "my-net-1");
  CHECK(chain.genesis == WallTime{std::chrono::seconds{1'606'824'023}});
  CHECK(chain.offers == Offers{.hash = false, .syncing = false, .peers = false});
  REQUIRE(chain.own_family != nullptr);
  const OwnFamily& own = *chain.own_family;
  CHECK(own.head.post);
  CHECK(own.head.path == "/status");
  CHECK(own.head.body == "{}");
  CHECK(own.head.height == "/node/height");
  CHECK(own.head.height_encoding == OwnFamily::Number::kHex);
  CHECK(own.head.time_encoding == OwnFamily::Time::kRfc3339);
  CHECK(own.head.error == "/error/message");
  CHECK(own.head.headers.size() == 1);
  CHECK(own.rate_limited == std::vector<std::string>{"slow down"});
  CHECK(own.identity->id == "/network");
  CHECK(own.block->path == "/block/{height}");

  check({}, kBackend,
        {
            {"[[family]]",
             {"1:1: family[1].name: missing; every [[family]] needs a name",
              "1:1: family[1].head: missing; a [family.head] with the path and a pointer to the height is needed"}},
            {"[[family]]\nname = \"evm\"\n[family.head]\nheight = \"/h\"",
             {"2:8: family.evm.name: \"evm\" is a family that is already known"}},
            {"[[family]]\nname = \"My\"\n[family.head]\nheight = \"h\"\ntime = \"/a~2\"\nhash = "
             "\"/1/2/3/4/5/6/7/8/9\"\nhight = \"/x\"",
             {"2:8: family.My.name: \"My\" is no family's name; accepted: a-z 0-9 -",
              "4:10: family.My.head.height: \"h\" is no JSON pointer: it does not begin with /; expected one such as "
              "\"/node/height\"",
              "5:8: family.My.head.time: \"/a~2\" is no JSON pointer: ~ stands only in ~0 and ~1; expected one such as "
              "\"/node/height\"",
              "6:8: family.My.head.hash: \"/1/2/3/4/5/6/7/8/9\" is no JSON pointer: it has more than 8 steps; expected "
              "one such as \"/node/height\"",
              "7:1: family.My.head.hight: unknown key; did you mean \"height\"?"}},
            {"[[family]]\nname = \"a\"\n[family.head]\npath = \"status\"\nbody = \"x\"\ntime_encoding = \"days\"",
             {"3:1: family.a.head.height: missing; expected a JSON pointer such as \"/node/height\"",
              "4:8: family.a.head.path: this is no path; expected one such as \"/status\"",
              "5:8: family.a.head.body: a GET has no body; set method = \"POST\"",
              "6:17: family.a.head.time_encoding: \"days\" is not known; accepted: seconds, ms, us, ns, rfc3339, "
              "slots"}},
            {"[[family]]\nname = \"a\"\n[family.head]\nheight = \"/h\"\n[family.syncing]\n[family.block]\nhash = "
             "\"/h\"",
             {"5:1: family.a.syncing.syncing: missing; expected a pointer to a boolean, or behind with one to a number",
              "6:1: family.a.block: neither path nor body has {height}, which stands for the height asked for"}},
            {"[[family]]\nname = \"a\"\n[family.head]\nheight = \"/h\"\n[[family]]\nname = "
             "\"a\"\n[family.head]\nheight = \"/h\"",
             {"6:8: family.a.name: the family \"a\" is already defined on line 1"}},
        });
}

TEST_CASE("config: canaries of any family, and what they expect") {
  const Loaded loaded = good(std::string(kBackend) + R"(
[[backend.canary]]
path = "/v2/status"
expect = "/catchup-time"
equals = 0
at_most_ms = 500
[[backend.canary]]
method = "POST"
path = "/wallet/getaccount"
body = "{\"visible\":true}"
expect = "/address"
matches = "^T"
[[backend.canary]]
method = "getSlot"
expect = "/result"
)");
  const auto& canaries = loaded.config.backends.at(0).canaries;
  REQUIRE(canaries.size() == 3);
  CHECK(name_of(canaries[0]) == "/v2/status");
  CHECK(canaries[0].equals == "0");
  CHECK(canaries[0].at_most == 500ms);
  CHECK(name_of(canaries[1]) == "POST /wallet/getaccount");
  CHECK(canaries[1].matches == "^T");
  CHECK(name_of(canaries[2]) == "getSlot");
  // A key may stand in a path or its query.
  CHECK(name_of({.method = "", .path = "/v2/k3y0marked9secret7f2c/status?apikey=x"}) == "/v2/…/status?…");
  CHECK(canaries[2].expect == "/result");
}

TEST_CASE("config: backends") {
  check(
      kInBackend, kServer,
      {
          {"strateggy = \"equal\"", {"4:1: backend.b.strateggy: unknown key; did you mean \"strategy\"?"}},
          {"strategy = \"inverse_latency\"",
           {"4:12: backend.b.strategy: \"inverse_latency\" is not known; did you mean \"inverse-latency\"? Accepted: "
            "adaptive, inverse-latency, equal, leader"}},
          {"scale = \"top\"\nfallback = \"kep\"",
           {"4:9: backend.b.scale: \"top\" is not known; accepted: share, peak",
            "5:12: backend.b.fallback: \"kep\" is not known; did you mean \"keep\"? Accepted: equal, keep, least-bad"}},
          {"min_healthy = 0", {"4:15: backend.b.min_healthy: 0 is out of range; accepted: 1 to 4096"}},
          {"min_healthy = 2", {"4:15: backend.b.min_healthy: 2 is more than the backend has servers; accepted: 1"}},
          {"max_latency = \"61s\"", {"4:15: backend.b.max_latency: \"61s\" is out of range; accepted: 1ms to 60s"}},
          {"max_block_age = \"of\"\nmax_lag = \"off\"",
           {"4:17: backend.b.max_block_age: \"of\" is no duration; write a number and one of ms, s, m, h, d, such as "
            "\"5s\"; accepted: 1s to 24h, or \"off\"",
            "5:11: backend.b.max_lag: \"off\" is not accepted here; accepted: 1s to 24h"}},
          {"max_block_age = \"25h\"\nmax_lag = \"0s\"",
           {"4:17: backend.b.max_block_age: \"25h\" is out of range; accepted: 1s to 24h, or \"off\"",
            "5:11: backend.b.max_lag: \"0s\" is out of range; accepted: 1s to 24h"}},
          {"max_block_lag = 0\nmin_peers = 10001",
           {"4:17: backend.b.max_block_lag: 0 is out of range; accepted: 1 to 1000000",
            "5:13: backend.b.min_peers: 10001 is out of range; accepted: 0 to 10000"}},
          {"ramp = \"61m\"", {"4:8: backend.b.ramp: \"61m\" is out of range; accepted: 0s to 1h"}},
          {"eject_time = \"20s\"\nmax_eject_time = \"10s\"",
           {"4:14: backend.b.eject_time: 20s is longer than max_eject_time; accepted: 0s to 10s"}},
          {"max_share = 0.5",
           {"4:13: backend.b.max_share: 0.5 for each of 1 server leaves a part of the traffic to none; accepted: 1"}},
          {"max_share = 0.3\n[[backend.server]]\nname = \"t\"\nurl = \"http://t/\"\n[[backend.server]]\nname = "
           "\"u\"\nurl = \"http://u/\"",
           {"4:13: backend.b.max_share: 0.3 for each of 3 servers leaves a part of the traffic to none; accepted: "
            "0.3334 to 1"}},
          {"hash_dead_band = -0.1", {"4:18: backend.b.hash_dead_band: -0.1 is out of range; accepted: 0 to 1"}},
          {"hash_dead_band = 1.1", {"4:18: backend.b.hash_dead_band: 1.1 is out of range; accepted: 0 to 1"}},
          {"hash_dead_band = \"wide\"",
           {"4:18: backend.b.hash_dead_band: found a string; expected a number from 0 to 1"}},
          {"max_share = 0", {"4:13: backend.b.max_share: 0 is out of range; accepted: 0.01 to 1"}},
          {"max_share = 2", {"4:13: backend.b.max_share: 2 is out of range; accepted: 0.01 to 1"}},
          {"max_share = nan", {"4:13: backend.b.max_share: nan is out of range; accepted: 0.01 to 1"}},
          {"max_share = inf", {"4:13: backend.b.max_share: inf is out of range; accepted: 0.01 to 1"}},
          {"max_share = \"half\"", {"4:13: backend.b.max_share: found a string; expected a number from 0.01 to 1"}},
          {"live = 1\nswitch_back = \"no\"",
           {"4:8: backend.b.live: found an integer; expected true or false",
            "5:15: backend.b.switch_back: found a string; expected true or false"}},
          {"reference = 1\ncanary = \"x\"",
           {"4:1: backend.b.reference: found an integer; expected an array of tables: [[backend.reference]]",
            "5:1: backend.b.canary: found a string; expected an array of tables: [[backend.canary]]"}},
          {"[[backend.reference]]\nurl = \"http://h/\"",
           {"4:1: backend.b.reference[1]: its URL is that of a server of this backend, which is compared with anyway"}},
          {"[[backend.reference]]\nurl = \"http://r/\"\n[[backend.reference]]\nurl = \"http://r/\"",
           {"6:1: backend.b.reference[2]: its URL is that of another reference of this backend"}},
          {"[[backend.reference]]\nname = \"r\"\nurl = \"http://r/\"",
           {"5:1: backend.b.reference[1].name: unknown key; accepted: redact_host, url, url_file, headers, operator, "
            "interval, budget"}},
          {"[[backend.canary]]",
           {"4:1: backend.b.canary[1].method: missing; expected a method's name such as \"eth_call\""}},
          {"[[backend.canary]]\nmethod = \"\"\nparams = \"x\"\ninterval = \"1ms\"",
           {"5:10: backend.b.canary[1].method: \"\" is no method's name; expected one such as \"eth_call\"",
            "6:10: backend.b.canary[1].params: found a string; expected an array or a table",
            "7:12: backend.b.canary[1].interval: \"1ms\" is out of range; accepted: 1s to 24h"}},
          {"[[backend.canary]]\nmethod = \"a b\"\nparams = [1, [{ a = 1979-05-27 }]]",
           {"5:10: backend.b.canary[1].method: \"a b\" is no method's name; expected one such as \"eth_call\"",
            "6:21: backend.b.canary[1].params: JSON has no dates and times; write it as a string or a number"}},
          {"[[backend.canary]]\nmethod = \"a\"\nparams = [[inf]]",
           {"6:12: backend.b.canary[1].params: JSON has no infinity and no NaN"}},
          {"[[backend.server]]\nname = \"s\"\nurl = \"http://x/\"",
           {"8:8: backend.b.server.s.name: the server \"s\" is already defined on line 5"}},
      });
}

TEST_CASE("config: names, chain and servers of a backend") {
  check(
      "", "",
      {
          {"[[backend]]",
           {"1:1: backend[1].name: missing; the backend's name in haproxy.cfg",
            "1:1: backend[1].chain: missing; a name that `rpc-weighter chains` lists, such as \"ethereum\", or that of "
            "a [[chain]]",
            "1:1: backend[1]: the backend has no servers; add a [[backend.server]] for each, or discover = "
            "\"http://{addr}/\" to take HAProxy's own list"}},
          {"[[backend]]\nname = \"b\"\nchain = \"ethereum\"",
           {"1:1: backend.b: the backend has no servers; add a [[backend.server]] for each, or discover = "
            "\"http://{addr}/\" to take HAProxy's own list"}},
          {"[[backend]]\nname = \"b\"\nchain = \"ethereum\"\nserver = []",
           {"1:1: backend.b: the backend has no servers; add a [[backend.server]] for each, or discover = "
            "\"http://{addr}/\" to take HAProxy's own list"}},
          {"[[backend]]\nname = \"b\"\nchain = \"ethereum\"\nserver = { name = \"s\", url = \"http://h/\" }",
           {"4:10: backend.b.server: found a table; expected an array of tables: [[backend.server]]"}},
          {"[backend]\nname = \"b\"", {"1:1: backend: found a table; expected an array of tables: [[backend]]"}},
          {"[[backend]]\nname = \"a b\"\nchain = \"etherum\"\ndiscover = \"http://{addr}/\"",
           {"2:8: backend[1].name: \"a b\" is no name for HAProxy; accepted: A-Z a-z 0-9 - _ . :",
            "3:9: backend[1].chain: \"etherum\" is not known; did you mean \"ethereum\"? `rpc-weighter chains` lists "
            "the names, and a [[chain]] defines one of your own"}},
          {"[[backend]]\nname = \"a;b\"\nchain = \"polygon\"\ndiscover = \"http://{adr}/\"",
           {"2:8: backend[1].name: \"a;b\" is no name for HAProxy; accepted: A-Z a-z 0-9 - _ . :",
            "3:9: backend[1].chain: \"polygon\" is not known; did you mean \"polygon-amoy\" or \"polygon-pos\"? `rpc-weighter chains` "
            "lists the names, and a [[chain]] defines one of your own",
            "4:12: backend[1].discover: {adr} is no placeholder; accepted: {addr}, {host}, {port}, {server}, "
            "{backend}"}},
          {"[[backend]]\nname = \"a/b\"\nchain = \"\"\ndiscover = \"{addr}\"",
           {"2:8: backend[1].name: \"a/b\" is no name for HAProxy; accepted: A-Z a-z 0-9 - _ . :",
            "3:9: backend[1].chain: \"\" is not known; `rpc-weighter chains` lists the names, and a [[chain]] defines "
            "one of your own",
            "4:12: backend[1].discover: this is no URL; expected http://HOST[:PORT]/… or https://HOST[:PORT]/…"}},
          {"[[backend]]\nname = \"\"\nchain = 1\ndiscover = \"http://{}/\"",
           {"2:8: backend[1].name: it is empty; expected the backend's name in haproxy.cfg",
            "3:9: backend[1].chain: found an integer; expected a string",
            "4:12: backend[1].discover: {} is no placeholder; accepted: {addr}, {host}, {port}, {server}, {backend}"}},
          {"[[backend]]\nname = \"a\\nb\"\nchain = \"solana\"\ndiscover = \"http://{addr\"",
           {"2:8: backend[1].name: \"a\\x0ab\" is no name for HAProxy; accepted: A-Z a-z 0-9 - _ . :",
            "4:12: backend[1].discover: a brace has no partner; accepted: {addr}, {host}, {port}, {server}, "
            "{backend}"}},
          {"[[backend]]\nname = 7\nchain = \"hedera\"\ndiscover = \"http://{http://user@x}/\"",
           {"2:8: backend[1].name: found an integer; expected a string",
            "4:12: backend[1].discover: what stands in {…} is no placeholder; accepted: {addr}, {host}, {port}, "
            "{server}, {backend}"}},
          {"[[backend]]\nname = \"b\"\nchain = \"ethereum\"\ndiscover = \"http://{addr}/${NONE}\"",
           {"4:12: backend.b.discover: the variable NONE is not set"}},
          {"[[backend]]\nname = \"b\"\nchain = \"ethereum\"\ndiscover = \"\"",
           {"4:12: backend.b.discover: the URL is empty"}},
          {"[[backend]]\nname = \"b\"\nchain = \"ethereum\"\ndiscover = \"http://x/{backend}\"",
           {"4:12: backend.b.discover: it is the same URL for all servers of a backend; expected one of {addr}, {host}, "
            "{port} or {server} in it"}},
          {"[[backend]]\nname = \"b\"\nchain = \"ethereum\"\ndiscover = \"http://{addr}\"\n"
           "[[backend]]\nname = \"b\"\nchain = \"ethereum\"\ndiscover = \"http://{addr}\"",
           {"6:8: backend.b.name: the backend \"b\" is already defined on line 2"}},
      });
}

TEST_CASE("config: servers") {
  check(
      kInServer, "",
      {
          {"",
           {"4:1: backend.b.server.s.url: missing; expected url, or url_file with the name of a file that holds it"}},
          {"url = 5", {"7:7: backend.b.server.s.url: found an integer; expected a string"}},
          {"url = \"https://${HOST}/${KEY}\"\nurl_file = \"url\"",
           {"8:12: backend.b.server.s.url_file: url and url_file exclude each other; keep one"}},
          {"url_file = \"missing\"",
           {"7:12: backend.b.server.s.url_file: the file cannot be read: No such file or directory"}},
          {"url_file = \"two-lines\"", {"7:12: backend.b.server.s.url_file: the file has more than one line"}},
          {"url_file = \"nothing\"", {"7:12: backend.b.server.s.url_file: in the file: the URL is empty"}},
          {"url_file = \"${EMPTY}\"",
           {"7:12: backend.b.server.s.url_file: the path is empty (the variable EMPTY is empty)"}},
          {"url_file = [\"url\"]", {"7:12: backend.b.server.s.url_file: found an array; expected a string"}},
          {"url = \"https://${NONE}/${KEY}/${NEITHER}/${NONE}\"",
           {"7:7: backend.b.server.s.url: the variable NONE is not set",
            "7:7: backend.b.server.s.url: the variable NEITHER is not set"}},
          {"url = \"https://${EMPTY}/\"",
           {"7:7: backend.b.server.s.url: the URL has no host (the variable EMPTY is empty)"}},
          {"url = \"https://${HOST}/${LINE}\"",
           {"7:7: backend.b.server.s.url: the variable LINE holds a space or a control character (a line's end?)"}},
          {"url = \"https://${HOST}/${SPACED}\"",
           {"7:7: backend.b.server.s.url: the variable SPACED holds a space or a control character (a line's end?)"}},
          {"url = \"https://${HOST}/${BACK}\"", {"7:7: backend.b.server.s.url: the URL has a backslash"}},
          {"url = \"https://${HOST/\"", {"7:7: backend.b.server.s.url: a ${ has no }; for a literal ${ write $${"}},
          {"url = \"https://${}/${1A}/${A-B}\"",
           {"7:7: backend.b.server.s.url: a ${…} holds no variable's name (letters, digits and _); for a literal ${ "
            "write $${",
            "7:7: backend.b.server.s.url: a ${…} holds no variable's name (letters, digits and _); for a literal ${ "
            "write $${",
            "7:7: backend.b.server.s.url: a ${…} holds no variable's name (letters, digits and _); for a literal ${ "
            "write $${"}},
          {"url = \"ftp://example.org/\"",
           {"7:7: backend.b.server.s.url: the scheme ftp is not supported; expected http or https"}},
          {"url = \"example.org\"",
           {"7:7: backend.b.server.s.url: this is no URL; expected http://HOST[:PORT]/… or https://HOST[:PORT]/…"}},
          {"url = \"http://h/\"\nurll = 1", {"8:1: backend.b.server.s.urll: unknown key; did you mean \"url\"?"}},
          {"url = \"http://h/\"\npreference = 0",
           {"8:14: backend.b.server.s.preference: 0 is out of range; accepted: 0.01 to 100"}},
          {"url = \"http://h/\"\npreference = 100.5",
           {"8:14: backend.b.server.s.preference: 100.5 is out of range; accepted: 0.01 to 100"}},
          {"url = \"http://h/\"\nmax_rate = \"0.5/m\"",
           {"8:12: backend.b.server.s.max_rate: \"0.5/m\" is out of range; accepted: 1/m to 1000000/s"}},
          {"url = \"http://h/\"\nmax_rate = \"1000001/s\"",
           {"8:12: backend.b.server.s.max_rate: \"1000001/s\" is out of range; accepted: 1/m to 1000000/s"}},
          {"url = \"http://h/\"\nmax_rate = \"25/h\"",
           {"8:12: backend.b.server.s.max_rate: \"25/h\" is no rate; write a number and /s or /m, such as \"25/s\"; "
            "accepted: 1/m to 1000000/s"}},
          {"url = \"http://h/\"\nmax_rate = 25",
           {"8:12: backend.b.server.s.max_rate: 25 has no unit; write it as \"25/s\" if it is requests a second (units: "
            "/s, /m); accepted: 1/m to 1000000/s"}},
          {"url = \"http://h/\"\nmax_rate = true",
           {"8:12: backend.b.server.s.max_rate: found a boolean; expected a rate from 1/m to 1000000/s, such as "
            "\"25/s\""}},
          {"url = \"http://h/\"\ntier = 10", {"8:8: backend.b.server.s.tier: 10 is out of range; accepted: 0 to 9"}},
          {"url = \"http://h/\"\ntier = -1", {"8:8: backend.b.server.s.tier: -1 is out of range; accepted: 0 to 9"}},
          {"url = \"http://h/\"\noperator = \"\"",
           {"8:12: backend.b.server.s.operator: it is empty or has a control character; expected a name"}},
          {"url = \"http://h/\"\noperator = 1",
           {"8:12: backend.b.server.s.operator: found an integer; expected a string"}},
          {"url = \"http://h/\"\nheaders = \"A: b\"",
           {"8:11: backend.b.server.s.headers: found a string; expected a table: { … }"}},
          {"url = \"http://h/\"\nheaders = { \"A b\" = \"x\", B = 5, b = \"x\", C = \"\", D = \"a\\nb\", E = "
           "\"${EMPTY}\", F = \"${NONE}\", "
           "Content-Length = \"5\", G = \"${LINE}\", \"\" = \"x\" }",
           {"8:13: backend.b.server.s.headers: this is no header's name; accepted: letters, digits and !#$%&'*+-.^_`|~",
            "8:30: backend.b.server.s.headers.B: found an integer; expected a string",
            "8:33: backend.b.server.s.headers.b: the same header is already given on line 8 (case makes no difference)",
            "8:46: backend.b.server.s.headers.C: the value is empty",
            "8:54: backend.b.server.s.headers.D: the value has a control character",
            "8:66: backend.b.server.s.headers.E: the value is empty (the variable EMPTY is empty)",
            "8:82: backend.b.server.s.headers.F: the variable NONE is not set",
            "8:93: backend.b.server.s.headers.Content-Length: this header is made from the request and cannot be set",
            "8:119: backend.b.server.s.headers.G: the variable LINE holds a space or a control character (a line's "
            "end?)",
            "8:130: backend.b.server.s.headers: this is no header's name; accepted: letters, digits and "
            "!#$%&'*+-.^_`|~"}},
          {"url = \"http://h/\"\n[[backend.server]]\nname = \"s\"\nurl = \"http://i/\"\n[[backend.server]]\nname = "
           "\"x y\"\nurl = \"http://i/\"\n[[backend.server]]\nurl = \"http://i/\"",
           {"9:8: backend.b.server.s.name: the server \"s\" is already defined on line 5",
            "12:8: backend.b.server[3].name: \"x y\" is no name for HAProxy; accepted: A-Z a-z 0-9 - _ . :",
            "14:1: backend.b.server[4].name: missing; the server's name in haproxy.cfg"}},
      });
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
    return fmt::format("[haproxy]\nendpoints = [\"unix:/{}\"]{}", std::string(length - 1, 'x'), kBackend);
  };
  CHECK(good(with(107)).config.haproxy.endpoints[0].address.size() == 107);
  CHECK(joined(errors(with(108))) ==
        "2:14: haproxy.endpoints: \"unix:/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…\": the path has 108 bytes; a Unix "
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

std::vector<std::string> warnings(std::string_view text) {
  return texts(good(text).warnings);
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
      "7:1: backend.b: the servers \"s\" and \"t\" share the domain alchemy.com and count as separate voices on the "
      "chain's head; if one operator runs them, give them the same operator";
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
  CHECK(warnings(kWhole).size() == 1);
}

struct TemporaryFile {
  std::string path = "/tmp/rpcw-config-test-XXXXXX";

  explicit TemporaryFile(std::string_view content) {
    const int file = mkstemp(path.data());
    REQUIRE(file >= 0);
    REQUIRE(::write(file, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
    close(file);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { unlink(path.c_str()); }
};

TEST_CASE("config: load warns when other users may touch the file") {
  struct Row {
    mode_t mode;
    const char* of_secrets;
    const char* without;
  };
  const char* read = "all users may read the file; chmod o-rwx keeps its keys to you";
  const char* both = "all users may read and write the file; chmod o-rwx keeps its keys to you";
  const char* write = "all users may write the file; chmod o-w keeps what it decides to you";
  const TemporaryFile secrets(fmt::format("{}headers = {{ Key = \"secret\" }}\n", kBackend));
  const TemporaryFile none(kBackend);
  const auto warning = [](const TemporaryFile& file, mode_t mode) {
    REQUIRE(chmod(file.path.c_str(), mode) == 0);
    const auto out = load(file.path, Surroundings::of_process(strategy_names()));
    REQUIRE(out.has_value());
    return out->warnings.empty() ? std::string{} : out->warnings.at(0).message;
  };
  for (const Row row :
       {Row{0600, "", ""}, Row{0640, "", ""}, Row{0644, read, ""}, Row{0602, write, write}, Row{0666, both, write}}) {
    CAPTURE(row.mode);
    CHECK(warning(secrets, row.mode) == row.of_secrets);
    CHECK(warning(none, row.mode) == row.without);
  }
}

TEST_CASE("config: what of a file is a secret that stands in it") {
  const World world{.variables = {{"V", "v"}, {"U", "https://u:p@h/k"}}, .files = kWorld.files};
  const auto holds = [&](std::string_view keys) {
    CAPTURE(keys);
    return good(fmt::format("{}[[backend.server]]\nname = \"s\"\n{}\n", kInBackend, keys), world).holds_secret;
  };
  for (const char* secret :
       {"url = \"http://h/v3/key\"", "url = \"http://h/?k=key\"", "url = \"http://h/#key\"",
        "url = \"http://user:pass@h/\"", "url = \"http://key@h/\"", "url = \"http://${V}:pass@h/${V}\"",
        "url = \"http://h/$${V}\"", "url = \"http://h/${V}/0a1b2c3d4e5f60718293\"",
        "url = \"http://0a1b2c3d4e5f60718293.rpc.example/\"", "url = \"http://h/\"\nheaders = { A = \"b\" }",
        "url = \"http://k.example/\"\nredact_host = true"})
    CHECK(holds(secret));
  for (const char* none :
       {"url = \"http://h\"", "url = \"http://h:8545/\"", "url = \"http://h/?\"", "url = \"http://h/v3/${V}\"",
        "url = \"http://h/?key=${V}\"", "url = \"http://user:${V}@h/\"", "url = \"${U}\"",
        "url = \"http://${V}.rpc.example/\"\nredact_host = true", "url_file = \"url\"",
        "url = \"http://h/\"\nheaders = { A = \"Bearer ${V}\" }"})
    CHECK_FALSE(holds(none));
  const auto discovers = [&](std::string_view url) {
    return good(fmt::format("{}discover = \"{}\"\n", kInBackend, url), world).holds_secret;
  };
  CHECK_FALSE(discovers("http://{addr}/"));
  CHECK_FALSE(discovers("http://{addr}/{server}/${V}"));
  CHECK(discovers("http://{addr}/key"));
  CHECK(good(fmt::format("[probe]\nproxy = \"http://u:p@h:1\"\n{}", kBackend), world).holds_secret);
  CHECK_FALSE(good(fmt::format("[probe]\nproxy = \"http://u:${{V}}@h:1\"\n{}", kBackend), world).holds_secret);
}

TEST_CASE("config: load of what cannot be read") {
  const auto error = [](const std::string& path) {
    const auto out = load(path, Surroundings::of_process(strategy_names()));
    REQUIRE_FALSE(out.has_value());
    REQUIRE(out.error().size() == 1);
    return out.error()[0].to_text();
  };
  CHECK(error("/nonexistent/c.toml") == "/nonexistent/c.toml: the file cannot be read: No such file or directory");
  CHECK(error("/tmp") == "/tmp: the file cannot be read: it is no regular file");
  CHECK(error("/dev/zero") == "/dev/zero: the file cannot be read: it is no regular file");
  const TemporaryFile large(std::string((1U << 20U) + 1, '#'));
  CHECK(error(large.path) == large.path + ": the file cannot be read: it is longer than 1048576 bytes");
  const TemporaryFile full(std::string(kBackend) + std::string((1U << 20U) - kBackend.size(), '#'));
  CHECK(load(full.path, Surroundings::of_process(strategy_names())).has_value());
  // Opened without waiting, or this would never end.
  const TemporaryFile place("");
  REQUIRE(unlink(place.path.c_str()) == 0);
  REQUIRE(mkfifo(place.path.c_str(), 0600) == 0);
  CHECK(error(place.path) == place.path + ": the file cannot be read: it is no regular file");
  const TemporaryFile url(
      fmt::format("{}[[backend.server]]\nname = \"s\"\nurl_file = \"{}\"\n[probe]\nca_file = "
                  "\"{}\"\n",
                  kInBackend, place.path, place.path));
  const auto out = load(url.path, Surroundings::of_process(strategy_names()));
  REQUIRE_FALSE(out.has_value());
  REQUIRE(out.error().size() == 2);
  for (const Diagnostic& d : out.error()) CHECK(d.message == "the file cannot be read: it is no regular file");
}

// ---- files that are meant to do harm

TEST_CASE("config: at most 32 levels, and no depth ends the program") {
  const auto repeated = [](std::string_view text, std::size_t times) {
    std::string out;
    for (std::size_t i = 0; i < times; ++i) out += text;
    return out;
  };
  const std::string deep = "nested too deeply; at most 32 levels are accepted";
  const auto error = [](const std::string& text) {
    const auto out = errors(text);
    REQUIRE(out.size() == 1);
    return out[0];
  };
  CHECK(error(repeated("x.", 50'000) + "y=1").ends_with(deep));
  CHECK(error(repeated("x .", 50'000) + "y=1").ends_with(deep));
  CHECK(error(repeated("\"a.b\".", 50'000) + "y=1").ends_with(deep));
  CHECK(error("[" + repeated("x.", 50'000) + "y]").ends_with(deep));
  CHECK(error("[[" + repeated("x.", 50'000) + "y]]").ends_with(deep));
  CHECK(error("x = " + repeated("[", 200'000)).ends_with(deep));
  CHECK(error("x = " + repeated("[", 100'000) + repeated("]", 100'000)).ends_with(deep));
  CHECK(error("x = " + repeated("{ a = ", 100'000)).ends_with(deep));
  CHECK(error("x = { " + repeated("x.", 50'000) + "y = 1 }").ends_with(deep));
  // Below the limits of the scan, and above the limit all together.
  CHECK(error("x = " + repeated("{ a.b.c = ", 20) + "1" + repeated(" }", 20)).ends_with(deep));
  CHECK(error("[" + repeated("x.", 20) + "y]\n" + repeated("x.", 20) + "y=1").ends_with(deep));
  CHECK(error("é" + repeated("x.", 50'000)).find("beyond ASCII") != std::string::npos);

  const auto levels = [&](std::size_t n) { return repeated("x.", n - 1) + "x=1"; };
  CHECK(error(levels(33)) == "1:64: " + deep);
  CHECK(joined(errors(levels(32))).find("nested") == std::string::npos);
  // Dots, brackets and line ends in strings and comments are no levels.
  CHECK(errors(fmt::format("# {0}\n{1}operator = \"{0}\"", repeated(".[", 100), kBackend)).empty());
}

TEST_CASE("config: of many errors the first 50 are told, and how many more there are") {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += fmt::format("key-{} = 1\n", i);
  text += kBackend;
  for (const int more : {0, 1, 2000, 50'000}) {
    std::string large = text;
    for (int i = 0; i < more; ++i) large += "[[backend]]\n";
    const auto out = parse(large, kFile, kWorld.surroundings());
    REQUIRE_FALSE(out.has_value());
    REQUIRE(out.error().size() == 51);
    CHECK(out.error()[0].line == 1);
    CHECK(out.error()[49].line == 50);
    std::size_t count = 0;
    for (const Diagnostic& d : out.error()) count += d.count;
    CHECK(count == 1000 + 3 * static_cast<std::size_t>(more));
    CHECK(out.error()[50].to_text() == fmt::format("{}: {} more errors are not shown", kFile, count - 50));
  }
  // The errors that come late may stand early: chains are read before backends.
  std::string backwards = "[[backend]]\n";
  for (int i = 0; i < 2000; ++i) backwards += "[[chain]]\n";
  CHECK(errors(backwards).at(0).starts_with("1:1: backend[1]"));
}

TEST_CASE("config: a text that is too long is refused on every way in") {
  CHECK(joined(errors(std::string((1U << 20U) + 1, ' '))) == " it is longer than 1048576 bytes");
}

// ---- headers to servers that HAProxy names

TEST_CASE("config: max_rate without live is warned of") {
  const auto file = [](const char* live) {
    return fmt::format("{}live = {}\n{}max_rate = \"5/s\"\n", kInBackend, live, kServer);
  };
  CHECK(good(file("true")).warnings.empty());
  const Loaded out = good(file("false"));
  REQUIRE(out.warnings.size() == 1);
  CHECK(out.warnings[0].message ==
        "s is not kept to it: it takes HAProxy's measured traffic, and live = false ignores that");
}

TEST_CASE("config: headers go to hosts that the file names, and check says where") {
  const auto file = [](std::string_view discover, std::string_view keys, std::string_view server) {
    return fmt::format("{}discover = \"{}\"\n{}\n[[backend.server]]\nname = \"s\"\nheaders = {{ A = \"b\" }}\n{}\n",
                       kInBackend, discover, keys, server);
  };
  struct Row {
    const char* discover;
    bool sent;
  };
  for (const Row row :
       {Row{"http://{addr}/", false}, Row{"http://{host}:8545/", false}, Row{"http://{server}.example/", false},
        Row{"http://x@{addr}/", false}, Row{"http://{addr}@gate.example/", false},
        Row{"http://gate.example:{port}/", true}, Row{"http://gate.example/{addr}/", true},
        Row{"http://[::1]:{port}/", true}, Row{"http://u@[::1]/{port}", true}, Row{"http://${HOST}/{server}", true}}) {
    CAPTURE(row.discover);
    const Loaded out = good(file(row.discover, "", ""));
    CHECK(sends_headers_to_discovered(out.config.backends[0]) == row.sent);
    REQUIRE(out.warnings.size() == (row.sent ? 0U : 1U));
    const std::string text = describe(out.config);
    CHECK((text.find("not sent") == std::string::npos) == row.sent);
    if (!row.sent)
      CHECK(out.warnings[0].message ==
            "the headers of s are not sent: HAProxy's list decides where to. To send them to any address on it, set "
            "headers_to = \"discovered\" in the [[backend]]; or give the server a url");
    const Loaded all = good(file(row.discover, "headers_to = \"discovered\"", ""));
    CHECK(sends_headers_to_discovered(all.config.backends[0]));
    CHECK(all.warnings.empty());
    CHECK(describe(all.config).find("sent to any address that HAProxy has") != std::string::npos);
  }
  const Loaded own = good(file("http://{addr}/", "", "url = \"http://own.example/\""));
  CHECK(own.warnings.empty());
  CHECK(describe(own.config).find("sent") == std::string::npos);
  check(kInBackend, kServer,
        {{"headers_to = \"discovered\"", {"4:14: backend.b.headers_to: is only of use with discover"}}});
  CHECK(joined(errors(file("http://{addr}/", "headers_to = \"all\"", ""))).find("accepted: discovered") !=
        std::string::npos);
}

// ---- hosts with keys

TEST_CASE("config: a host name that holds a key is not shown") {
  const std::string text = fmt::format(
      "{}[[backend.server]]\nname = \"s\"\nurl = \"https://SECRET.rpc.example:8443/\"\nredact_host = true\n"
      "[[backend.server]]\nname = \"t\"\nurl = \"https://SECRET.mainnet.rpc.example/\"\nredact_host = true\n"
      "[[backend.server]]\nname = \"u\"\nurl = \"https://5ecre7k3y5ecre7k3y.rpc2.example/\"\n"
      "[[backend.reference]]\nurl = \"https://SECRET.rpc.example/\"\nredact_host = true\n"
      "[[backend.reference]]\nurl = \"https://5ecre7k3y5ecre7k3y.rpc3.example/\"\n"
      "[[backend.reference]]\nurl = \"https://rpc4.example/\"\n",
      kInBackend);
  const Loaded out = good(text);
  const Backend& b = out.config.backends[0];
  CHECK(shown_url(b.servers[0].target) == "https://…example:8443/…");
  CHECK(shown_host(b.servers[1].target) == "…example");
  CHECK(shown_url(b.servers[2].target) == "https://…example/…");
  // Operators are told apart, and are shown.
  CHECK(b.references[0].operator_name == "reference 1");
  CHECK(b.references[1].operator_name == "reference 2");
  CHECK(b.references[2].operator_name == "rpc4.example");
  std::string shown_text = describe(out.config);
  for (const Diagnostic& d : out.warnings) shown_text += d.to_text() + "\n";
  CHECK(shown_text.find("share the domain …example") != std::string::npos);
  CHECK(shown_text.find("https://rpc4.example/…") != std::string::npos);
  for (const char* hidden : {"SECRET", "secret", "5ecre7k3y", "rpc.example", "rpc2", "rpc3"}) {
    CAPTURE(hidden);
    CHECK(shown_text.find(hidden) == std::string::npos);
  }
}

// ---- secrets

const World kSecrets{.variables = {{"KEY", "SECRET"},
                                   {"SPACED", "SECRET SECRET"},
                                   {"LINE", "SECRET\n"},
                                   {"URL", "https://u:SECRET@h.example/SECRET?SECRET"},
                                   {"BRACES", "{SECRET}"},
                                   {"BACK", "SECRET\\"},
                                   {"CONTROL", "SECRET\x01"},
                                   {"EMPTY", ""}},
                     .files = {{"/etc/rpcw/url", "https://u:SECRET@f.example/SECRET\n"},
                               {"/etc/rpcw/bad", "SECRET"},
                               {"/etc/rpcw/two", "https://SECRET@x/\nSECRET\n"},
                               {"/etc/rpcw/port", "https://SECRET@x:0/"},
                               {"/etc/rpcw/SECRET", "SECRET"}}};

/// Everything that a person would see of the file.
std::string all_shown(std::string_view text, bool& refused) {
  const auto out = parse(text, kFile, kSecrets.surroundings());
  refused = !out.has_value();
  std::string shown_text;
  for (const Diagnostic& d : out ? out->warnings : out.error()) shown_text += d.to_text() + "\n";
  if (out) shown_text += describe(out->config);
  return shown_text;
}

TEST_CASE("config: no error shows a secret") {
  const char* servers[] = {
      "url = \"SECRET\"",
      "url = \"SECRET://h/\"",
      "url = \"https://SECRET\\u0000/\"",
      "url = \"https://SECRET:SECRET@SECRET@h/SECRET\"",
      "url = \"https://SECRET@h:0/SECRET\"",
      "url = \"https://u:SECRET@/SECRET\"",
      "url = \"https://h/SECRET SECRET\"",
      "url = \"https://h/SECRET\\\\\"",
      "url = \"https://h/?SECRET\\n\"",
      "url = \"https://SEC{RET/SECRET\"",
      "url = \"https://h/${SECRET\"",
      "url = \"https://h/${SECRET/SECRET}\"",
      "url = \"https://h/${SPACED}\"",
      "url = \"https://h/${LINE}\"",
      "url = \"https://h/${BACK}\"",
      "url = \"https://h/${CONTROL}\"",
      "url = \"https://${EMPTY}/${KEY}\"",
      "url = \"https://h/${KEY}/${NONE}\"",
      "url = \"${KEY}\"",
      "url = \"${KEY}://h\"",
      "url = \"https://h:${KEY}/\"",
      "url = \"https://${BRACES}/\"",
      "url = [\"https://h/SECRET\"]",
      "url = { x = \"https://h/SECRET\" }",
      "url = \"https://h/SECRET\"\nurl_file = \"url\"",
      "url_file = \"bad\"",
      "url_file = \"two\"",
      "url_file = \"port\"",
      "url_file = \"https://u:SECRET@h/SECRET\"",
      "url_file = \"${KEY}\"",
      "url_file = \"no-such-${KEY}\"",
      "url_file = \"${LINE}\"",
      "url = \"http://h/\"\nheaders = { A = \"SECRET\\n\" }",
      "url = \"http://h/\"\nheaders = { A = \"SECRET ${NONE}\" }",
      "url = \"http://h/\"\nheaders = { A = \"${SPACED}\" }",
      "url = \"http://h/\"\nheaders = { A = \"${LINE}\" }",
      "url = \"http://h/\"\nheaders = { A = [\"SECRET\"] }",
      "url = \"http://h/\"\nheaders = { A = \"SECRET\", a = \"SECRET\" }",
      "url = \"http://h/\"\nheaders = { Connection = \"SECRET\" }",
      "url = \"http://h/\"\nheaders = { \"Authorization: Bearer SECRET\" = \"\" }",
      "url = \"http://h/\"\nheaders = { \"SECRET SECRET\" = \"x\" }",
      "url = \"http://h/\"\nheaders = \"Authorization: Bearer SECRET\"",
      "url = \"http://h/\"\nheaders = [\"Authorization: Bearer SECRET\"]",
      "url = \"http://h/\"\n\"https://u:SECRET@h/SECRET\" = 1",
      "url = https://u:SECRET@h/SECRET",
      "url = SECRET",
      "url = 'https://h/SECRET",
      "url = \"https://h/SECRET",
      "url = \"https://h/\" SECRET",
      "url = \"https://h/\\SECRET\"",
      "url = \"https://h/\"SECRET\"",
      "url = trSECRET",
      "url = 0xSECRET",
      "url = 2026-SECRET",
      "headers = { A = Bearer SECRET }",
      "headers = { A = \"SECRET }",
      "headers = { A \"SECRET\" }",
      "https://u:SECRET@h/",
      "\"https://h/SECRET\" = 1\n\"https://h/SECRET\" = 1",
  };
  const char* top[] = {
      "[haproxy]\nendpoints = [\"${KEY}\"]",
      "[haproxy]\nendpoints = [\"tcp:${KEY}:x\"]",
      "[haproxy]\nendpoints = [\"tcp:u:SECRET@h:1\"]",
      "[haproxy]\nendpoints = [\"https://u:SECRET@h:1/\"]",
      "[haproxy]\nendpoints = [\"unix:/${KEY}\", \"unix:/${KEY}\"]",
      "[haproxy]\nca_file = \"${KEY}/${KEY}\"",
      "[haproxy]\ncert_file = \"${KEY}\"",
      "[probe]\nkey_file = \"${LINE}\"",
      "[probe]\nproxy = \"http://u:SECRET@h:0\"",
      "[probe]\nproxy = \"${URL}\\n\"",
      "[probe]\nproxy = \"SECRET\"",
      "[http]\nlisten = \"u:SECRET@h:1\"",
      "[[backend]]\nname = \"x\"\nchain = \"base\"\ndiscover = \"http://u:SECRET@{adr}/SECRET\"",
      "[[backend]]\nname = \"x\"\nchain = \"base\"\ndiscover = \"http://{addr}/{SECRET}\"",
      "[[backend]]\nname = \"x\"\nchain = \"base\"\ndiscover = \"http://{addr/SECRET\"",
      "[[backend]]\nname = \"x\"\nchain = \"base\"\ndiscover = \"http://{addr}:0/SECRET ${KEY}\"",
      "[[backend]]\nname = \"https://u:SECRET@h/SECRET\"\nchain = \"https://u:SECRET@h/SECRET\"\nstrategy = "
      "\"https://u:SECRET@h/SECRET\"\nmax_lag = \"https://u:SECRET@h/SECRET\"",
      "[[chain]]\nname = \"https://u:SECRET@h/SECRET\"\nfamily = \"https://u:SECRET@h/SECRET\"",
  };
  const auto check_one = [](const std::string& text) {
    CAPTURE(text);
    bool refused = false;
    const std::string shown_text = all_shown(text, refused);
    CHECK(refused);
    CHECK_FALSE(shown_text.empty());
    CHECK(shown_text.find("SECRET") == std::string::npos);
  };
  for (const char* text : servers) check_one(fmt::format("{}{}", kInServer, text));
  for (const char* text : top) check_one(fmt::format("{}{}", text, kBackend));
}

constexpr std::string_view kFullOfSecrets = R"([haproxy]
endpoints = ["unix:/run/x", "tcp:${EMPTY}h:1"]
[probe]
proxy = "http://u:${KEY}@proxy.example:1/${KEY}"
[[backend]]
name = "b"
chain = "ethereum"
[[backend.server]]
name = "s"
url = "https://u:SECRET@a.example.org:99/SECRET?SECRET=SECRET#SECRET"
headers = { Authorization = "Bearer SECRET", X-Key = "${KEY}${EMPTY}" }
[[backend.server]]
name = "t"
url = "${URL}"
[[backend.server]]
name = "u"
url_file = "url"
[[backend.server]]
name = "v"
url = "https://b.example.org/${EMPTY}?SECRET"
[[backend.reference]]
url = "https://SECRET@c.example/SECRET"
headers = { B = "SECRET" }
[[backend.canary]]
method = "eth_call"
params = ["SECRET"]
[[backend]]
name = "d"
chain = "base"
discover = "http://u:SECRET@{addr}/SECRET/${KEY}"
)";

TEST_CASE("config: neither warnings nor describe show a secret") {
  bool refused = false;
  const std::string text = all_shown(kFullOfSecrets, refused);
  CAPTURE(text);
  CHECK_FALSE(refused);
  CHECK(text.find("SECRET") == std::string::npos);
  for (const char* part : {"share the domain example.org", "the variable EMPTY is empty", "https://a.example.org:99/…",
                           "https://h.example/…", "https://f.example/…", "http://proxy.example:1/…",
                           "headers Authorization X-Key", "https://c.example/…", "http://{addr}/…", "eth_call"}) {
    CAPTURE(part);
    CHECK(text.find(part) != std::string::npos);
  }
}

// ---- damaged files

TEST_CASE("config: a file cut short anywhere is an answer, not a crash, and shows no secret") {
  for (const std::string_view whole : {kWhole, kFullOfSecrets})
    for (std::size_t length = 0; length <= whole.size(); ++length) {
      bool refused = false;
      const std::string text = all_shown(whole.substr(0, length), refused);
      if (text.empty() || text.find("SECRET") != std::string::npos) {
        CAPTURE(length);
        FAIL_CHECK(text);
      }
    }
}

TEST_CASE("config: nor does a file with any one character changed") {
  std::string text(kFullOfSecrets);
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char was = text[at];
    // Inside the marker it would only hide it.
    if (was >= 'A' && was <= 'Z') continue;
    for (const char c :
         {'"', '\'', '[', ']', '{', '}', '=', '\n', ' ', '#', '$', '@', '\\', '.', ',', '\0', '\xff', '0'}) {
      text[at] = c;
      bool refused = false;
      const std::string shown_text = all_shown(text, refused);
      if (shown_text.find("SECRET") != std::string::npos) {
        CAPTURE(at);
        CAPTURE(c);
        FAIL_CHECK(shown_text);
      }
    }
    text[at] = was;
  }
}

// ---- describe

/// As `check` shows it.
std::string described(std::string_view text) {
  Config config = good(text).config;
  set_paces(config);
  return describe(config);
}

TEST_CASE("describe: the whole text") {
  CHECK(described(kWhole) == R"(rpc-weighter
  log         debug, JSON
  re-read     on SIGHUP and when the file changes

haproxy
  endpoints   unix:/run/haproxy/admin.sock, tcp:[::1]:9999, dns:${HOST}:9998,
              master:unix:/run/master, tcp:10.0.0.1:1
  exchanges   read every 250ms, time-out 1500ms, a CA of your own

probe
  interval    every 2s, every 50ms in doubt, time-out 60s
  verdict     out after 10 failed, back after 1 good
  at most     65536 requests at a time, 1024 look-ups, 64KiB an answer
  connection  through the proxy http://example.org:3128/…, a CA of your own,
              a client certificate

http
  listen      [::]:9404, unix:/run/weighter.sock
  hosts       weighter.internal

backend rpc-backend
  chain       mychain, evm, chain id 12345, a block every 2s
  limits      latency 150ms, block age not limited, lag 2m, lag 5 blocks,
              at least 3 peers
  strategy    inverse-latency (latency, block age), scale peak,
              without HAProxy's counters
  return      at once
  fallback    keep when fewer than 2 are healthy
  server      quicknode     https://example.org/…
              operator qn, headers X-Second Authorization A, preference 2,
              at most 1.5/s of the traffic,
              tier 9: serves while fewer than 2 of the lower tiers are healthy
              every 10s, 20 736 requests a day, budget 60 000
  server      file.1:2_3-4  https://example.net/…
              every 2s, 89 856 requests a day
  reference   https://example.com/…
              every 2s, 44 640 requests a day
  reference   http://reference.example.org:80/…
              operator ref, header B
              every 5s, 18 720 requests a day
  canary      eth_call, every 1s
  canary      m, every 60s
  cost        173 952 requests a day, 5 218 560 in 30 days
              112 320 heads, 5 760 chain ids, 1 152 node states, 54 720 canaries

backend own
  chain       base, evm, chain id 8453, a block every 200ms
  limits      latency 2s, block age 20s, lag 10s
  strategy    adaptive (latency, lag, errors), scale share
  return      after 10s, doubled each time up to 5m, to its share within 30s
  fallback    equal when none is healthy
  servers     HAProxy's own list, https://{server}.{backend}:{port}/…
  cost        each server every 2s: 44 928 requests a day
)");
}

TEST_CASE("config: every strategy can be had, and describe says what it goes by") {
  const auto line_of = [](std::string_view keys) {
    const std::string text = describe(good(fmt::format("{}{}\n{}", kInBackend, keys, kServer)).config);
    const std::size_t at = text.find("  strategy ");
    REQUIRE(at != std::string::npos);
    return text.substr(at, text.find("  return ", at) - at);
  };
  CHECK(line_of("") == "  strategy    adaptive (latency, lag, errors), scale share\n");
  CHECK(line_of("strategy = \"adaptive\"") == line_of(""));
  CHECK(line_of("strategy = \"inverse-latency\"") ==
        "  strategy    inverse-latency (latency, block age), scale share\n");
  CHECK(line_of("strategy = \"equal\"") == "  strategy    equal (health alone), scale share\n");
  CHECK(line_of("strategy = \"leader\"\nscale = \"peak\"\nmax_share = 1") ==
        "  strategy    leader (one server has everything), changes only when it fails\n");
  CHECK(line_of("strategy = \"leader\"\nswitch_back = true") ==
        "  strategy    leader (one server has everything),\n              switches back to a clearly better one\n");
}

TEST_CASE("describe: fits 80 columns") {
  const std::string text = described(kWhole) + described(kBackend);
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    REQUIRE(end != std::string_view::npos);
    const std::string line(rest.substr(0, end));
    CAPTURE(line);
    const auto columns =
        std::ranges::count_if(line, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; });
    CHECK(columns <= 80);
    CHECK_FALSE(line.ends_with(' '));
    rest.remove_prefix(end + 1);
  }
}

TEST_CASE("probe requests a day") {
  const auto bill = [](const char* probe, const char* backend) {
    const Config c = good(fmt::format("{}{}{}{}", probe, kInBackend, backend, kServer)).config;
    const Backend& b = c.backends[0];
    return bill_of(b, false, interval_of(b.servers[0].target, c.probe)).sum();
  };
  CHECK(bill("", "") == 17'280 + 1'440 + 288);
  CHECK(bill("[probe]\ninterval = \"1s\"\n", "") == 86'400 + 1'440 + 288);
  CHECK(bill("[probe]\ninterval = \"7s\"\n", "") == 12'343 + 1'440 + 288);
  CHECK(bill("", "[[backend.canary]]\nmethod = \"a\"\n[[backend.canary]]\nmethod = \"a\"\ninterval = \"24h\"\n") ==
        17'280 + 1'440 + 288 + 1'440 + 1);
  // Other checks go beside heads.
  CHECK(bill("[probe]\ninterval = \"1h\"\n", "") == 24 * 3);
  Config c = good(kBackend).config;
  CHECK(bill_of(c.backends[0], true, milliseconds{5000}).sum() == 17'280 + 1'440);
  c.backends[0].chain.offers.head_requests = 2;
  c.backends[0].chain.identity.clear();
  CHECK(bill_of(c.backends[0], false, milliseconds{5000}).sum() == 2 * 17'280 + 288);
}

// ---- durations, sizes, nearest names

TEST_CASE("durations") {
  struct Row {
    const char* text;
    std::int64_t ms;
  };
  for (const Row row : {Row{"150ms", 150}, Row{"2s", 2000}, Row{"1.5s", 1500}, Row{"0.001s", 1}, Row{"5m", 300'000},
                        Row{"1h", 3'600'000}, Row{"24h", 86'400'000}, Row{"1d", 86'400'000}, Row{"0s", 0},
                        Row{"007s", 7000}, Row{"1.500000000000000s", 1500}, Row{"0.25h", 900'000},
                        Row{"99999999999999999999999999999999999999999999d", std::numeric_limits<std::int64_t>::max()},
                        Row{"20000000000000000000.000000000000ms", std::numeric_limits<std::int64_t>::max()}}) {
    CAPTURE(row.text);
    const auto value = parse_duration(row.text);
    REQUIRE(value.has_value());
    CHECK(value->count() == row.ms);
  }
  struct Bad {
    const char* text;
    QuantityFault fault;
  };
  for (const Bad row : {Bad{"", QuantityFault::kNotOne},
                        Bad{"s", QuantityFault::kNotOne},
                        Bad{"5", QuantityFault::kNoUnit},
                        Bad{"5.5", QuantityFault::kNoUnit},
                        Bad{"-5s", QuantityFault::kNegative},
                        Bad{"-5", QuantityFault::kNegative},
                        Bad{"5 s", QuantityFault::kNotOne},
                        Bad{" 5s", QuantityFault::kNotOne},
                        Bad{"5s ", QuantityFault::kNotOne},
                        Bad{"5S", QuantityFault::kNotOne},
                        Bad{"+5s", QuantityFault::kNotOne},
                        Bad{".5s", QuantityFault::kNotOne},
                        Bad{"5.s", QuantityFault::kNotOne},
                        Bad{"1.2.3s", QuantityFault::kNotOne},
                        Bad{"1h30m", QuantityFault::kNotOne},
                        Bad{"1e3s", QuantityFault::kNotOne},
                        Bad{"5us", QuantityFault::kNotOne},
                        Bad{"0x5s", QuantityFault::kNotOne},
                        Bad{"1.5ms", QuantityFault::kTooFine},
                        Bad{"0.0000000000001h", QuantityFault::kTooFine},
                        Bad{"0.0000000000000001d", QuantityFault::kTooFine}}) {
    CAPTURE(row.text);
    const auto value = parse_duration(row.text);
    REQUIRE_FALSE(value.has_value());
    CHECK(value.error() == row.fault);
  }
  struct Text {
    std::int64_t ms;
    const char* text;
  };
  for (const Text row :
       {Text{0, "0s"}, Text{1, "1ms"}, Text{1500, "1500ms"}, Text{2000, "2s"}, Text{60'000, "60s"}, Text{90'000, "90s"},
        Text{300'000, "5m"}, Text{3'600'000, "1h"}, Text{86'400'000, "24h"}, Text{172'800'000, "2d"}}) {
    CHECK(duration_text(milliseconds(row.ms)) == row.text);
    CHECK(parse_duration(row.text)->count() == row.ms);
  }
}

TEST_CASE("sizes") {
  struct Row {
    const char* text;
    std::uint64_t bytes;
  };
  for (const Row row :
       {Row{"1000B", 1000}, Row{"500KB", 500'000}, Row{"64KiB", 65'536}, Row{"1MiB", 1'048'576},
        Row{"1.5MB", 1'500'000}, Row{"0.5KiB", 512}, Row{"2GiB", 2'147'483'648}, Row{"1GB", 1'000'000'000},
        Row{"99999999999999999999999999999999GiB", std::numeric_limits<std::uint64_t>::max()}}) {
    CAPTURE(row.text);
    const auto value = parse_size(row.text);
    REQUIRE(value.has_value());
    CHECK(*value == row.bytes);
  }
  CHECK(parse_size("1000").error() == QuantityFault::kNoUnit);
  CHECK(parse_size("1k").error() == QuantityFault::kNotOne);
  CHECK(parse_size("1.5B").error() == QuantityFault::kTooFine);
  CHECK(parse_size("-1B").error() == QuantityFault::kNegative);
  CHECK(size_text(1'048'576) == "1MiB");
  CHECK(size_text(1024) == "1KiB");
  CHECK(size_text(1500) == "1500B");
  CHECK(size_text(500'000) == "500KB");
  CHECK(size_text(0) == "0B");
}

TEST_CASE("rates") {
  CHECK(parse_rate("25/s").value() == 25);
  CHECK(parse_rate("90/m").value() == 1.5);
  CHECK(parse_rate("0.5/s").value() == 0.5);
  CHECK(parse_rate("25").error() == QuantityFault::kNoUnit);
  CHECK(parse_rate("25/h").error() == QuantityFault::kNotOne);
  CHECK(parse_rate("-1/s").error() == QuantityFault::kNegative);
  CHECK(parse_rate("0.0001/m").error() == QuantityFault::kTooFine);
  CHECK(rate_text(25) == "25/s");
  CHECK(rate_text(0.5) == "30/m");
}

TEST_CASE("nearest names") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("ab", "ba") == 1);
  CHECK(edit_distance("ca", "abc") == 3);
  CHECK(edit_distance("intreval", "interval") == 1);

  const std::vector<std::string_view> known{"interval", "fast_interval", "timeout", "fall",
                                            "rise",     "polygon-pos",   "warn"};
  const auto best = [&](const char* word) { return nearest(word, known); };
  using List = std::vector<std::string_view>;
  CHECK(best("intreval") == List{"interval"});
  CHECK(best("fast-interval") == List{"fast_interval"});
  CHECK(best("Timeout") == List{"timeout"});
  CHECK(best("fal") == List{"fall"});
  CHECK(best("polygon") == List{"polygon-pos"});
  CHECK(best("warning") == List{"warn"});
  CHECK(best("xyz").empty());
  CHECK(best("").empty());
  CHECK(best(std::string(1000, 'a').c_str()).empty());
  const std::vector<std::string_view> alike{"aaa1", "aaa2", "aaa3", "aaa4"};
  CHECK(nearest("aaa0", alike).size() == 3);
  CHECK(did_you_mean(std::vector<std::string_view>{"a"}) == "did you mean \"a\"?");
  CHECK(did_you_mean(std::vector<std::string_view>{"a", "b", "c"}) == "did you mean \"a\", \"b\" or \"c\"?");
}

TEST_CASE("without the network nothing is expanded or read, and the rest is checked as ever") {
  constexpr std::string_view kText = R"(
[haproxy]
endpoints = ["unix:${A}", "unix:${B}", "tcp:${HOST}:${PORT}"]
ca_file = "/nowhere.pem"
[probe]
fall = 3
proxy = "http://${PROXY}"
cert_file = "/nowhere.pem"
key_file = "/nowhere.pem"
[[backend]]
name = "rpc"
chain = "ethereum"
  [[backend.server]]
  name = "a"
  url = "https://${HOST}/${KEY}"
  headers = { Authorization = "Bearer ${TOKEN}" }
  [[backend.server]]
  name = "b"
  url_file = "/run/secrets/${NAME}"
  [[backend.reference]]
  url = "${REFERENCE}"
)";
  Surroundings surroundings{.variable = [](const std::string&) -> std::optional<std::string> {
                              FAIL("a variable is asked for");
                              return std::nullopt;
                            },
                            .read_file = [](const std::string&) -> std::expected<std::string, std::string> {
                              FAIL("a file is read");
                              return std::unexpected("no");
                            },
                            .network = false};
  const auto out = parse(kText, kFile, surroundings);
  REQUIRE(out.has_value());
  CHECK(out->config.probe.fall == 3);
  CHECK(out->config.haproxy.endpoints.empty());
  const Backend& b = out->config.backends.at(0);
  CHECK(b.servers.at(0).target.url.empty());
  CHECK(b.servers.at(0).target.headers.empty());
  CHECK(b.servers.at(1).target.operator_name == "b");
  CHECK(b.references.at(0).operator_name.empty());
  CHECK_FALSE(parse("[probe]\nfall = 0\nfoo = 1\n", kFile, surroundings).has_value());
}

TEST_CASE("without providers the endpoints are read, and no secret is asked for") {
  constexpr std::string_view kText = R"(
[haproxy]
endpoints = ["unix:${SOCKET}"]
ca_file = "/etc/ca.pem"
[probe]
proxy = "http://${PROXY}"
ca_file = "/nowhere.pem"
[[backend]]
name = "rpc"
chain = "ethereum"
  [[backend.server]]
  name = "a"
  url = "https://${HOST}/${KEY}"
  headers = { Authorization = "Bearer ${TOKEN}" }
)";
  Surroundings surroundings{.variable = [](const std::string& name) -> std::optional<std::string> {
                              CHECK(name == "SOCKET");
                              return "/run/haproxy.sock";
                            },
                            .read_file = [](const std::string& path) -> std::expected<std::string, std::string> {
                              CHECK(path == "/etc/ca.pem");
                              return "a certificate";
                            },
                            .providers = false};
  const auto out = parse(kText, kFile, surroundings);
  REQUIRE(out.has_value());
  CHECK(out->config.haproxy.endpoints.at(0).address == "/run/haproxy.sock");
  CHECK(out->config.haproxy.tls.ca_file == "/etc/ca.pem");
  CHECK(out->config.probe.tls.empty());
  CHECK(out->config.probe.proxy.empty());
  CHECK(out->config.backends.at(0).servers.at(0).target.url.empty());
}

}  // namespace
}  // namespace rpcw::config
