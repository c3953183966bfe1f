// What the reader of the configuration says, and warns of, where a newcomer goes wrong.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/text.hpp"
#include "cli/describe.hpp"
#include "config/reader.hpp"
#include "unit/config_world.hpp"
#include "weighter/schedule/pace.hpp"

namespace rpcw::config {
namespace {

using namespace std::chrono_literals;

// ---- texts that may be keys

TEST_CASE("config: a key that was pasted as a name is not shown") {
  constexpr std::string_view kKey = "9f8e7d6c5b4a39281706f5e4d3c2b1a0";
  const std::string known = "watch_config, haproxy, probe, http, agent_check, standby, log, family, chain, backend";
  check("", kBackend, {{fmt::format("{} = 1", kKey), {"1:1: unknown key (not shown); accepted: " + known}}});
  CHECK(joined(errors(fmt::format("{0} = \"a\"\n{0} = \"b\"", kKey))) ==
        "2:36: TOML syntax: cannot redefine existing string key");
  CHECK(joined(errors(fmt::format("[{0}]\n[{0}]", kKey))) == "2:1: TOML syntax: cannot redefine existing table key");
}

TEST_CASE("config: what may be shown of a text that is no URL") {
  for (const auto& [text, expected] : std::vector<std::pair<std::string, std::string>>{
           {"foo.example/KEY", "\"foo.example/…\""},
           {"foo.example:8545/KEY", "\"foo.example:8545/…\""},
           {"localhost:8545/KEY", "\"localhost:8545/…\""},
           {"10.0.0.1/KEY", "\"10.0.0.1/…\""},
           {"foo.example?k=KEY", "\"foo.example?…\""},
           {"gateway/9f8e7d6c5b4a", "\"gateway/…\""},
           {"25/h", "\"25/h\""},
           {"2.5/h", "\"2.5/h\""},
           {"600000/week", "\"600000/week\""},
           {"a/b", "\"a/b\""},
           {"/run/haproxy.sock", "\"/run/haproxy.sock\""},
           {"unix:/run/haproxy.sock", "\"unix:/run/haproxy.sock\""},
           {"/v3/9f8e7d6c5b4a39281706f5e4/x", "\"/v3/…\""},
           {"a\u202eb\u200b\u009b", "\"a\\u202eb\\u200b\\u009b\""},
           {"a\x1b[1m", "\"a\\x1b[1m\""},
       }) {
    CAPTURE(text);
    CHECK(shown(text) == expected);
  }
  CHECK(harmless("é \u2026 ok") == "é \u2026 ok");
  CHECK(harmless("\xff\x80") == "\\xff\\x80");
}

TEST_CASE("config: an operator is a name of at most 64 bytes") {
  const auto with = [](std::string_view name) {
    return fmt::format("{}url = \"http://h/\"\noperator = \"{}\"\n", kInServer, name);
  };
  CHECK(errors(with(std::string(64, 'a'))).empty());
  CHECK(errors(with("Consensys – Infura")).empty());
  CHECK(joined(errors(with(std::string(65, 'a')))) ==
        "8:12: backend.b.server.s.operator: it has 65 bytes; expected a name of at most 64, such as \"quicknode\"");
  for (const char* url : {"https://h/key", "h.example/key", "user@h"})
    CHECK(joined(errors(with(url))) ==
          "8:12: backend.b.server.s.operator: expected the operator's name without / and @, such as \"quicknode\"; it "
          "is shown in full, and a URL may hold a key");
  CHECK(joined(errors(with("a\\u202eb"))) ==
        "8:12: backend.b.server.s.operator: it has a control character; expected a name, such as \"quicknode\"");
  CHECK(joined(warnings(with("9f8e7d6c5b4a39281706f5e4d3c2b1a0"))) ==
        "8:12: backend.b.server.s.operator: it looks like a key, and is shown in full in reports and logs");
}

// ---- options without effect

TEST_CASE("config: options that the strategy does not look at are warned of") {
  const auto with = [](std::string_view keys, std::string_view server = "") {
    return joined(warnings(fmt::format("{}{}{}{}", kInBackend, keys, kServer, server)));
  };
  CHECK(with("switch_back = true") ==
        "4:15: backend.b.switch_back: has no effect: only strategy = \"leader\" switches, and here it is \"adaptive\"");
  CHECK(with("switch_back = false").empty());
  CHECK(with("strategy = \"leader\"\nswitch_back = true\nscale = \"share\"\nmax_share = 1").empty());
  CHECK(with("strategy = \"leader\"\nscale = \"peak\"\nmax_share = 1.0") ==
        "5:9: backend.b.scale: has no effect: with strategy = \"leader\" one server has everything");
  CHECK(with("strategy = \"leader\"\nmax_share = 0.5", "[[backend.server]]\nname = \"t\"\nurl = \"http://t/\"\n") ==
        "5:13: backend.b.max_share: has no effect: with strategy = \"leader\" one server has everything");
  CHECK(with("strategy = \"leader\"", "max_rate = \"5/s\"\n") ==
        "5:1: backend.b.max_rate: s is not kept to it: with strategy = \"leader\" one server has everything");
  const Config c = good(fmt::format("{}strategy = \"leader\"{}max_rate = \"5/s\"\n", kInBackend, kServer)).config;
  CHECK(cli::describe(c).find("max_rate 5/s without effect") != std::string::npos);
}

TEST_CASE("config: limits that something else is reached before are warned of") {
  const auto with = [](std::string_view before, std::string_view keys) {
    return joined(warnings(fmt::format("{}{}{}{}", before, kInBackend, keys, kServer)));
  };
  CHECK(with("", "max_lag = \"60s\"") ==
        "4:11: backend.b.max_lag: 60s is never reached: blocks that far behind are older than max_block_age, 60s, and "
        "too old");
  CHECK(with("", "max_lag = \"59s\"").empty());
  CHECK(with("", "max_lag = \"60s\"\nmax_block_age = \"off\"").empty());
  CHECK(with("", "max_block_age = \"20s\"") ==
        "4:17: backend.b.max_block_age: 20s is not longer than max_lag, 30s, which is never reached then: blocks that "
        "far behind are too old");
  CHECK(with("", "max_latency = \"3s\"") ==
        "4:15: backend.b.max_latency: 3s is never reached: a probe that takes 3s has failed by probe.timeout");
  CHECK(with("", "max_latency = \"2.9s\"").empty());
  // max_latency is at its default here, 2 s, which no line of the file sets.
  CHECK(with("[probe]\ntimeout = \"1s\"\n", "").empty());
}

TEST_CASE("describe: a canary is no more frequent than the probes") {
  const auto line_of = [](std::string_view probe, std::string_view server) {
    Config config = good(fmt::format("{}{}{}{}[[backend.canary]]\nmethod = \"eth_call\"\ninterval = \"1s\"\n", probe,
                                     kInBackend, kServer, server))
                        .config;
    set_paces(config);
    const std::string text = cli::describe(config);
    const std::size_t at = text.find("  canary ");
    REQUIRE(at != std::string::npos);
    return text.substr(at, text.find('\n', at) - at);
  };
  CHECK(line_of("[probe]\ninterval = \"1s\"\n", "") == "  canary      eth_call, every 1s");
  CHECK(line_of("", "") == "  canary      eth_call, every 5s, with the probes");
  CHECK(line_of("[probe]\nbudget = \"20000/day\"\n", "") == "  canary      eth_call, every 10.7s, with the probes");
  CHECK(line_of("", "[[backend.server]]\nname = \"t\"\nurl = \"http://10.0.0.1/\"\n") ==
        "  canary      eth_call, every 1s to 5s, with the probes");
}

// ---- variables

TEST_CASE("config: a variable without braces is warned of") {
  const auto with = [](std::string_view url) {
    return joined(warnings(fmt::format("{}url = \"{}\"\n", kInServer, url)));
  };
  const std::string warning = "7:7: backend.b.server.s.url: $KEY is taken as it stands; a variable is written ${KEY}";
  CHECK(with("http://h/$KEY") == warning);
  CHECK(with("http://h/v3-$KEY-x") == warning);
  CHECK(with("http://h/${KEY}/$KEY?$KEY") == warning);
  CHECK(with("http://h/?k=$NONE&x") ==
        "7:7: backend.b.server.s.url: $NAME is taken as it stands; a variable is written ${NAME}");
  // None of these is known as a variable, and some may be parts of passwords.
  for (const char* none : {"http://h/$$KEY", "http://h/$${KEY}", "http://h/$x", "http://h/?$filter=1",
                           "http://h/a$NONE", "http://u:pa$WORD1@h/", "http://h/$", "http://h/$1"})
    CHECK(with(none).empty());
  CHECK(joined(errors(fmt::format("{}url = \"http://$HOST/\"\n", kInServer)))
            .ends_with(" ($HOST is taken as it stands; a variable is written ${HOST})"));
  CHECK(joined(warnings(fmt::format("{}url = \"http://h/\"\nheaders = {{ A = \"Bearer $TOKEN\" }}\n", kInServer))) ==
        "8:17: backend.b.server.s.headers.A: $NAME is taken as it stands; a variable is written ${NAME}");
}

// ---- tables and keys

TEST_CASE("config: a header is named with all its brackets") {
  check("[[backend]]\n", "",
        {{"chain = \"ethereum\"\n[backend.server]\nname = \"s\"",
          {"1:1: backend[1].name: missing; the backend's name in haproxy.cfg",
           "3:1: backend[1].server: found a table; expected an array of tables: [[backend.server]]"}},
         {"name = \"b\"\nchain = \"ethereum\"\ndiscover = \"http://{addr}/\"\n[backend.canary]\n[backend.reference]",
          {"5:1: backend.b.canary: found a table; expected an array of tables: [[backend.canary]]",
           "6:1: backend.b.reference: found a table; expected an array of tables: [[backend.reference]]"}}});
  check("", kBackend,
        {{"[[family]]\nname = \"a\"\nhead = 1",
          {"3:1: family.a.head: found an integer; expected a table: [family.head]"}}});
}

TEST_CASE("config: of a table below one that has not come yet, and of what stands twice, the place is told") {
  check("", "",
        {{"[[backend.server]]\nname = \"s\"\n[[backend]]",
          {"3:1: TOML syntax: [[backend.server]] on line 1 stands before its [[backend]]: put [[backend]] first"}},
         {"\n[family.head] # x\n[[family]]",
          {"3:1: TOML syntax: [family.head] on line 2 stands before its [[family]]: put [[family]] first"}},
         {"[probe]\nfall = 1\n[log]\n[ probe ]",
          {"4:1: TOML syntax: cannot redefine existing table 'probe'; it is already on line 1: join the two"}},
         {"probe.fall = 1\n[probe]",
          {"2:1: TOML syntax: cannot redefine existing table 'probe'; it is already on line 1: join the two"}},
         {"[log]\nlevel = \"info\"\n[probe]\nrise = 1\nrise = 2",
          {"5:8: TOML syntax: cannot redefine existing integer 'rise'; it is already set on line 4: keep one of "
           "them"}}});
}

/// The keys of each table in docs/configuration.md, by the heading above it.
std::vector<std::pair<std::string, std::set<std::string>>> documented() {
  std::ifstream file(RPCW_DOCS "/configuration.md");
  REQUIRE(file);
  std::vector<std::pair<std::string, std::set<std::string>>> out;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("#")) out.push_back({line.substr(line.find(' ') + 1), {}});
    if (!line.starts_with("| `") || out.empty()) continue;
    const std::string first = line.substr(0, line.find('|', 1));
    for (std::size_t at = first.find('`'); at != std::string::npos;) {
      const std::size_t end = first.find('`', at + 1);
      // The forms of endpoints have a table too.
      if (const std::string key = first.substr(at + 1, end - at - 1); key.find(':') == std::string::npos)
        out.back().second.insert(key);
      at = first.find('`', end + 1);
    }
  }
  return out;
}

std::set<std::string> keys_of(std::string_view heading) {
  std::set<std::string> out;
  for (const auto& [name, keys] : documented())
    if (name == heading) out = keys;
  CHECK_MESSAGE(!out.empty(), heading);
  return out;
}

/// What an unknown key is told to be accepted in its place.
std::set<std::string> accepted(const std::string& text) {
  for (const std::string& line : errors(text)) {
    constexpr std::string_view kSays = "qqqqqqqqq: unknown key; accepted: ";
    const std::size_t at = line.find(kSays);
    if (at == std::string::npos) continue;
    std::set<std::string> out;
    std::istringstream words(line.substr(at + kSays.size()));
    for (std::string word; words >> word;) {
      if (word.ends_with(',')) word.pop_back();
      out.insert(word);
    }
    return out;
  }
  return {};
}

TEST_CASE("config: an unknown key is told all keys of its table, as the documentation has them") {
  const std::string unknown = "qqqqqqqqq = 1\n";
  const std::string backend(kBackend);
  for (const char* table : {"haproxy", "probe", "http", "agent_check", "standby", "log"}) {
    CAPTURE(table);
    CHECK(accepted(fmt::format("[{}]\n{}{}", table, unknown, kBackend)) == keys_of(fmt::format("`[{}]`", table)));
  }
  auto keys = keys_of("`[[backend]]`");
  for (const char* table : {"server", "reference", "canary"}) keys.insert(table);
  CHECK(accepted(std::string(kInBackend) + unknown) == keys);
  CHECK(accepted("[[backend]]\nname = \"a\"\nfollows = \"b\"\n" + unknown + backend) == keys);
  CHECK(accepted(backend + unknown) == keys_of("`[[backend.server]]`"));
  CHECK(accepted(backend + "[[backend.reference]]\n" + unknown) ==
        std::set<std::string>{"url", "url_file", "headers", "operator", "redact_host", "interval", "budget"});
  CHECK(accepted(backend + "[[backend.canary]]\n" + unknown) == keys_of("`[[backend.canary]]`"));
  CHECK(accepted("[[chain]]\n" + unknown + backend) == keys_of("`[[chain]]`"));
  CHECK(accepted("[[family]]\n" + unknown + backend) ==
        std::set<std::string>{"name", "head", "identity", "syncing", "peers", "block"});
  // One table of the documentation is for all requests of a family.
  std::set<std::string> request;
  for (const char* table : {"head", "identity", "syncing", "peers", "block"})
    request.merge(accepted(fmt::format("[[family]]\n[family.{}]\n{}{}", table, unknown, kBackend)));
  std::set<std::string> told;
  for (const std::string& key : keys_of("`[[family]]`"))
    if (!key.starts_with('[') && key != "{height}") told.insert(key);
  for (const char* key : {"name"}) told.erase(key);
  CHECK(request == told);
}

TEST_CASE("config: a key in the wrong table is told where it belongs") {
  // These are in tables of many kinds.
  const std::set<std::string> many{"name"};
  for (const auto& [heading, keys] : documented()) {
    if (!heading.starts_with("`[")) continue;
    for (const std::string& key : keys) {
      if (many.contains(key) || key.starts_with('[') || key == "level" || key == "format") continue;
      CAPTURE(key);
      CHECK(joined(errors(fmt::format("[log]\n{} = 1\n{}", key, kBackend))).find("unknown key; it belongs") !=
            std::string::npos);
    }
  }
  check("", kBackend,
        {{"[log]\nlisten = \"127.0.0.1:1\"",
          {"2:1: log.listen: unknown key; it belongs below [http] or [agent_check]"}}});
}

// ---- values

TEST_CASE("config: a number without a unit is offered one that is in range") {
  const auto error = [](std::string_view line) {
    const std::string text = joined(errors(fmt::format("{}{}{}", kInBackend, line, kServer)));
    return text.substr(text.find(": ", text.find("backend.b")) + 2);
  };
  const std::string units = " (units: ms, s, m, h, d); accepted: ";
  CHECK(error("max_latency = \"2000\"") ==
        "\"2000\" has no unit; write it as \"2000ms\" if it is milliseconds" + units + "1ms to 60s");
  CHECK(error("max_latency = 2000") ==
        "2000 has no unit; write it as \"2000ms\" if it is milliseconds" + units + "1ms to 60s");
  CHECK(error("max_latency = 2") == "2 has no unit; write it as \"2s\" if it is seconds" + units + "1ms to 60s");
  CHECK(error("max_latency = 200000") == "200000 has no unit" + units + "1ms to 60s");
  CHECK(joined(errors(fmt::format("[probe]\nmax_response_bytes = 512\n{}", kBackend))).find("\"512KiB\" if it is") !=
        std::string::npos);
}

TEST_CASE("config: an address with a scheme is told to leave it out") {
  check("", kBackend,
        {{"[http]\nlisten = \"http://127.0.0.1:9404\"",
          {"2:10: http.listen: \"http://127.0.0.1:9404/…\": leave http:// out: expected HOST:PORT and nothing else; "
           "\"\" turns it off"}}});
}

TEST_CASE("config: two sockets that listen have two ports") {
  const auto file = [](std::string_view http, std::string_view agent) {
    return fmt::format(
        "{}[agent_check]\nlisten = \"{}\"\n[[backend]]\nname = \"b\"\nchain = \"ethereum\"\ndrive = "
        "\"agent\"\n[[backend.server]]\nname = \"s\"\nurl = \"http://h/\"\n",
        http, agent);
  };
  CHECK(joined(errors(file("[http]\nlisten = \"127.0.0.1:9777\"\n", "127.0.0.1:9777"))) ==
        "4:10: agent_check.listen: \"127.0.0.1:9777\" is the port of http.listen, \"127.0.0.1:9777\" on line 2; choose "
        "another port for one of them");
  CHECK(joined(errors(file("", "0.0.0.0:9404"))) ==
        "2:10: agent_check.listen: \"0.0.0.0:9404\" is the port of http.listen, \"127.0.0.1:9404\" by default; choose "
        "another port for one of them");
  CHECK(errors(file("", "127.0.0.2:9404")).empty());
  CHECK(errors(file("", "[::]:9404")).empty());
  CHECK(errors(file("[http]\nlisten = \"\"\n", "127.0.0.1:9404")).empty());
}

TEST_CASE("config: a chain's id is one that its family can answer") {
  const std::string hash(64, 'a');
  const auto file = [](std::string_view family, std::string_view id) {
    return fmt::format("[[chain]]\nname = \"x\"\nfamily = \"{}\"\nblock_time = \"1s\"\nchain_id = {}\n{}", family, id,
                       kBackend);
  };
  for (const Chain& chain : known_chains()) {
    // The ledger of XRP is network 0, which a file cannot name.
    if (chain.identity == "0") continue;
    CAPTURE(chain.name);
    CHECK(warnings(file(chain.family, fmt::format("\"{}\"", chain.identity))).empty());
  }
  struct Row {
    std::string family;
    std::string id;
  };
  for (const Row& row : std::vector<Row>{{"solana", "\"a b\""},
                                         {"solana", "\"mainnet-beta\""},
                                         {"solana", "101"},
                                         {"sui", "\"mainnet\""},
                                         {"sui", "true"},
                                         {"algorand", "\"mainnet\""},
                                         {"algorand", "4160"},
                                         {"aptos", "256"},
                                         {"aptos", "\"256\""},
                                         {"bitcoin", "\"abc\""},
                                         {"bitcoin", "1"},
                                         {"tron", "\"abc\""},
                                         {"hedera", fmt::format("\"{}\"", hash)},
                                         {"starknet", fmt::format("\"0x{}\"", hash)},
                                         {"substrate", "1"},
                                         {"xrpl", "4294967296"},
                                         {"cometbft", fmt::format("\"{}\"", std::string(51, 'a'))}}) {
    CAPTURE(row.family);
    CAPTURE(row.id);
    CHECK(errors(file(row.family, row.id)).size() == 1);
  }
  for (const Row& row : std::vector<Row>{{"sui", "\"35834a8d\""},
                                         {"bitcoin", fmt::format("\"0x{}\"", hash)},
                                         {"near", "\"localnet\""},
                                         {"stellar-rpc", "\"Test SDF Network ; September 2015\""},
                                         {"cometbft", "7"}}) {
    CAPTURE(row.family);
    CHECK(warnings(file(row.family, row.id)).empty());
  }
  CHECK(joined(warnings(file("near", "\"main net\""))) ==
        "5:12: chain.x.chain_id: \"main net\" has a space, which no public network of the family near has in its id; "
        "expected the network's name, such as \"mainnet\"");
  CHECK(joined(errors(file("starknet", "0x534e"))) ==
        "5:12: chain.x.chain_id: found an integer; expected a hexadecimal number, such as \"0x534e5f4d41494e\" in "
        "quotation marks");
}

// ---- files

TEST_CASE("config: of a file that holds a key it is warned that all users may read it") {
  Surroundings surroundings = kWorld.surroundings();
  unsigned mode = S_IFREG | 0644U;
  surroundings.mode = [&](const std::string&) { return std::optional(mode); };
  const auto says = [&](std::string_view text) {
    const auto out = parse(text, kFile, surroundings);
    REQUIRE(out.has_value());
    return joined(texts(out->warnings));
  };
  const std::string file = fmt::format("{}url_file = \"url\"\n", kInServer);
  CHECK(
      says(file) ==
      "7:12: backend.b.server.s.url_file: all users may read the file /etc/rpcw/url; chmod o-rwx keeps its key to you");
  const std::string keys = fmt::format("[probe]\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n{}", kBackend);
  mode = S_IFREG | 0666U;
  CHECK(says(keys) ==
        "3:12: probe.key_file: all users may read and write the file /etc/rpcw/key.pem; chmod o-rwx keeps its key to "
        "you");
  // As a container has its secrets: 0444, and nothing that anyone in it could do about that.
  surroundings.mode_is_given = [](const std::string& path) { return path == "/etc/rpcw/url"; };
  CHECK(says(file).empty());
  CHECK_FALSE(says(keys).empty());
  mode = S_IFREG | 0640U;
  CHECK(says(file).empty());
  const std::string listen = fmt::format("[http]\nlisten = \"unix:/run/w\"\n{}", kBackend);
  CHECK(
      says(listen) ==
      "2:10: http.listen: \"unix:/run/w\": a file that is no socket has this name, so that `run` cannot listen there; "
      "choose another name, or remove the file");
  mode = S_IFSOCK | 0666U;
  CHECK(says(listen).empty());
}

TEST_CASE("config: what is wrong in a TLS file has its place") {
  Surroundings surroundings = kWorld.surroundings();
  std::string_view key = "ca_file";
  surroundings.find_tls_fault = [&](const TlsFiles&) { return TlsFault{key, "is not right"}; };
  const auto says = [&](std::string_view table) {
    const auto out =
        parse(fmt::format("[{}]\nca_file = \"ca.pem\"\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n{}", table,
                          kBackend),
              kFile, surroundings);
    REQUIRE_FALSE(out.has_value());
    return joined(texts(out.error()));
  };
  CHECK(says("probe") == "2:11: probe.ca_file: /etc/rpcw/ca.pem is not right");
  key = "key_file";
  CHECK(says("haproxy") == "4:12: haproxy.key_file: /etc/rpcw/key.pem is not right");
}

}  // namespace
}  // namespace rpcw::config
