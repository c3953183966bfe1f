#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <vector>

#include "config/own_family.hpp"
#include "unit/config_world.hpp"

namespace rpcw::config {
namespace {

using namespace std::chrono_literals;

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
          {"endpoints = []\n[[server]]\nname = \"s\"\n[[log.canary]]",
           {"1:1: endpoints: unknown key; it belongs below [haproxy]",
            "2:3: server: unknown key; it belongs below its [[backend]], as [[backend.server]]",
            "4:7: log.canary: unknown key; it belongs below its [[backend]], as [[backend.canary]]"}},
          {"[haproxy]\nendpoints = \"unix:/x\"",
           {"2:13: haproxy.endpoints: found a string; expected an array of strings: [\"…\"]"}},
          {"[haproxy]\nendpoints = [\"tcp://localhost:9999\", \"tcp:*:9999\"]",
           {"2:14: haproxy.endpoints: \"…\": expected HOST:PORT without // before it",
            "2:38: haproxy.endpoints: \"tcp:*:9999\": for all addresses write 0.0.0.0 or [::]"}},
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
            "2:165: haproxy.endpoints: \"tcp:h:80/…\": expected HOST:PORT and nothing else",
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
            "5:11: probe.ca_file: the file /etc/rpcw/missing.pem cannot be read: No such file or directory"}},
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
          {"[[chain]]\nname = \"x\"\nfamily = \"evm\"\nblock_time = \"1s\"\nchain_id = \"mainnet\"",
           {"5:12: chain.x.chain_id: \"mainnet\" is no id of a network of the family evm; expected a number from 1 "
            "to 9223372036854775807, such as 1 or 0x1"}},
          {"[[chain]]\nname = \"x\"\nfamily = \"beacon\"\nblock_time = \"1s\"\nchain_id = \"0x12\"",
           {"5:12: chain.x.chain_id: \"0x12\" is no id of a network of the family beacon; expected 0x and 64 hexadecimal "
            "digits"}},
          {"[[chain]]\nname = \"x\"\nfamily = \"solana\"\nblock_time = \"1s\"\nchain_id = \"\"",
           {"5:12: chain.x.chain_id: \"\" is no id of a network of the family solana; expected the hash of the first "
            "block in base58, such as \"5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d\""}},
          {"[[chain]]\nname = 5\nfamily = 5\nblock_time = 5",
           {"2:8: chain[1].name: found an integer; expected a string",
            "3:10: chain[1].family: found an integer; expected one of: evm, solana, algorand, aptos, sui, hedera, "
            "near, cometbft, substrate, stellar-rpc, horizon, xrpl, starknet, bitcoin, tron, beacon",
            "4:14: chain[1].block_time: 5 has no unit; write it as \"5s\" if it is seconds (units: ms, s, m, h, d); "
            "accepted: 1ms to 1h"}},
          {"[[backend]]\nname = \"x\"\nchain = \"broken\"\ndiscover = \"http://{addr}\"\n[[chain]]\nname = "
           "\"broken\"\nfamily = \"evm\"",
           {"5:1: chain.broken.block_time: missing; the nominal time between blocks, such as \"2s\""}},
          {"[[backend]]\nname = \"x\"\nchain = \"mainnet\"\ndiscover = \"http://{addr}\"",
           {"3:9: backend.x.chain: \"mainnet\" is not known; did you mean \"ethereum\"? `rpc-weighter chains` lists the "
            "names, and a [[chain]] defines one of your own"}},
          {"[[backend]]\nname = \"x\"\nchain = \"mychains\"\ndiscover = \"http://{addr}\"\n[[chain]]\nname = "
           "\"mychain\"\nfamily = \"evm\"\nblock_time = \"1s\"",
           {"3:9: backend.x.chain: \"mychains\" is not known; did you mean \"mychain\"? `rpc-weighter chains` lists "
            "the names, and a [[chain]] defines one of your own"}},
      });
}

TEST_CASE("config: a stats socket over the network without TLS is warned of") {
  const auto with = [](std::string_view keys) {
    return warnings(
        fmt::format("[haproxy]\n{}\n[[backend]]\nname = \"b\"\nchain = \"ethereum\"\ndiscover = "
                    "\"http://{{addr}}/\"\n",
                    keys));
  };
  const std::string warning =
      "haproxy.endpoints: is a stats socket over the network without TLS: every machine that reaches this port can read "
      "and set all of HAProxy; see docs/haproxy.md for a stats socket with certificates";
  CHECK(with("endpoints = [\"tcp:10.0.0.3:9999\", \"tcp:127.0.0.1:9999\", \"dns:haproxy:9999\", \"unix:/x\"]") ==
        std::vector{"2:14: " + warning, "2:57: " + warning});
  CHECK(with("endpoints = [\"tcp:localhost:9999\", \"tcp:[::1]:9999\"]").empty());
}

TEST_CASE("config: what people call a chain leads to one that is known") {
  for (const char* name : {"mainnet", "eth", "eth-mainnet", "bsc", "bnb", "avax", "arb", "arbitrum", "matic", "btc"}) {
    const std::vector<std::string> told =
        errors(fmt::format("[[backend]]\nname = \"b\"\nchain = \"{}\"\ndiscover = \"http://{{addr}}/\"\n", name));
    CAPTURE(name);
    REQUIRE(told.size() == 1);
    constexpr std::string_view kGuess = "did you mean \"";
    const std::size_t at = told[0].find(kGuess);
    REQUIRE(at != std::string::npos);
    const std::string guess = told[0].substr(at + kGuess.size());
    CHECK(find_chain(guess.substr(0, guess.find('"'))) != nullptr);
  }
}

TEST_CASE("config: a chain's id is read as its family's answers are") {
  const std::string hash(64, 'a');
  const std::string large_hash(64, 'A');
  for (const auto& [family, written, identity] : std::vector<std::array<std::string, 3>>{
           {"evm", "8453", "8453"},
           {"evm", "\"8453\"", "8453"},
           {"evm", "0x2105", "8453"},
           {"evm", "\"0x2105\"", "8453"},
           {"evm", "\"01\"", "1"},
           {"xrpl", "\"21337\"", "21337"},
           {"beacon", "\"0x" + large_hash + '"', "0x" + hash},
           {"bitcoin", '"' + large_hash + '"', hash},
           {"starknet", "\"0x0534E\"", "0x534e"},
           {"cometbft", "\"Noble-1\"", "Noble-1"},
           {"cometbft", "7", "7"},
       }) {
    CAPTURE(written);
    const Loaded loaded =
        good("[[chain]]\nname = \"own\"\nblock_time = \"2s\"\nfamily = \"" + family + "\"\nchain_id = " + written +
             "\n[[backend]]\nname = \"b\"\nchain = \"own\"\ndiscover = \"http://{addr}/\"");
    CHECK(loaded.config.backends.at(0).chain.identity == identity);
  }
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
  REQUIRE(canaries[1].matches);
  CHECK(canaries[1].matches->text() == "^T");
  CHECK(name_of(canaries[2]) == "getSlot");
  // A key may stand in a path or its query.
  CHECK(name_of({.method = "", .path = "/v2/k3y0marked9secret7f2c/status?apikey=x"}) == "/v2/…/status?…");
  CHECK(canaries[2].expect == "/result");
}

TEST_CASE("config: backends") {
  check(
      kInBackend, kServer,
      {
          {"fall = 3", {"4:1: backend.b.fall: unknown key; it belongs below [probe]"}},
          {"interval = \"1s\"",
           {"4:1: backend.b.interval: unknown key; it belongs below [probe], a [[backend.server]] or a [[backend.canary]]"}},
          {"tier = 1", {"4:1: backend.b.tier: unknown key; it belongs below a [[backend.server]]"}},
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
           {"7:12: backend.b.server.s.url_file: the file /etc/rpcw/missing cannot be read: No such file or directory"}},
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
           {"8:12: backend.b.server.s.operator: it is empty; expected a name, such as \"quicknode\""}},
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

}  // namespace
}  // namespace rpcw::config
