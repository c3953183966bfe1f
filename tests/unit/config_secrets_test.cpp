#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cli/describe.hpp"
#include "unit/config_world.hpp"

namespace rpcw::config {
namespace {

using namespace std::chrono_literals;

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
    const std::string text = cli::describe(out.config);
    CHECK((text.find("not sent") == std::string::npos) == row.sent);
    if (!row.sent)
      CHECK(out.warnings[0].message ==
            "the headers of s are not sent: HAProxy's list decides where to. To send them to any address on it, set "
            "headers_to = \"discovered\" in the [[backend]]; or give the server a url");
    const Loaded all = good(file(row.discover, "headers_to = \"discovered\"", ""));
    CHECK(sends_headers_to_discovered(all.config.backends[0]));
    CHECK(all.warnings.empty());
    CHECK(cli::describe(all.config).find("sent to any address that HAProxy has") != std::string::npos);
  }
  const Loaded own = good(file("http://{addr}/", "", "url = \"http://own.example/\""));
  CHECK(own.warnings.empty());
  CHECK(cli::describe(own.config).find("sent") == std::string::npos);
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
  std::string shown_text = cli::describe(out.config);
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
  if (out) shown_text += cli::describe(out->config);
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
      "url = \"http://h/\"\noperator = \"h.example/SECRET\"",
      "url = \"http://h/\"\noperator = \"https://h/SECRET\"",
      "url = \"http://h/\"\noperator = \"SECRET@h\"",
      "url = \"http://h/\"\nmax_rate = \"h.example/SECRET\"",
      "url = \"http://h/\"\ninterval = \"h.example:8545/SECRET\"",
      "url = \"http://h/\"\nbudget = \"h.example?SECRET\"",
      "url = \"http://h/\"\n[[backend.canary]]\nmethod = \"h.example/SECRET\"",
      "url = \"http://h/\"\n[[backend.canary]]\nmethod = \"SECRET@h\"",
      "url = \"http://h/\"\n[[backend.canary]]\nmethod = \"m\"\nexpect = \"https://h/SECRET\"",
      "url = \"http://h/\"\n[[backend.canary]]\nmethod = \"m\"\nexpect = \"h.example/SECRET\"",
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
      "[haproxy]\nendpoints = [\"h.example/SECRET\"]",
      "[haproxy]\nendpoints = [\"tcp:h.example:80/SECRET\"]",
      "[haproxy]\ntimeout = \"h.example/SECRET\"",
      "[log]\nlevel = \"h.example/SECRET\"",
      "[http]\nlisten = \"h.example:80/SECRET\"",
      "[http]\nhosts = [\"h.example/SECRET\"]",
      "[standby]\nlease = \"h.example/SECRET\"",
      "[[backend]]\nname = \"h.example/SECRET\"\nchain = \"h.example/SECRET\"\nstrategy = \"h.example/SECRET\"",
      "[[chain]]\nname = \"h.example/SECRET\"\nfamily = \"evm\"\nblock_time = \"1s\"\nchain_id = \"h.example/SECRET\"",
      "[http]\nlisten = \"u:SECRET@h:1\"",
      "[[backend]]\nname = \"x\"\nchain = \"base\"\ndiscover = \"http://u:SECRET@{adr}/SECRET\"",
      "[[backend]]\nname = \"x\"\nchain = \"base\"\ndiscover = \"http://{addr}/{SECRET}\"",
      "[[backend]]\nname = \"x\"\nchain = \"base\"\ndiscover = \"http://{addr/SECRET\"",
      "[[backend]]\nname = \"x\"\nchain = \"base\"\ndiscover = \"http://{addr}:0/SECRET ${KEY}\"",
      ("[[backend]]\nname = \"https://u:SECRET@h/SECRET\"\nchain = \"https://u:SECRET@h/SECRET\"\nstrategy = "
       "\"https://u:SECRET@h/SECRET\"\nmax_lag = \"https://u:SECRET@h/SECRET\""),
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

TEST_CASE("config: a key in a text that holds none is not shown") {
  static constexpr std::string_view kSecret = "5ecre7k3y5ecre7k3y";
  const auto show = [](std::string text, bool& refused) {
    for (std::size_t at = text.find("SECRET"); at != std::string::npos; at = text.find("SECRET"))
      text.replace(at, 6, kSecret);
    return all_shown(text, refused);
  };
  bool refused = false;
  for (const char* canary :
       {"method = \"SECRET\"", "method = \"eth_SECRET\"", "method = \"POST\"\npath = \"/v2/SECRET\"",
        "method = \"m\"\nexpect = \"/result/SECRET\"", "method = \"m\"\nexpect = \"/r\"\nequals = \"SECRET\""}) {
    CAPTURE(canary);
    const std::string text =
        show(fmt::format("{}url = \"http://h/\"\n[[backend.canary]]\n{}\n", kInServer, canary), refused);
    CHECK_FALSE(refused);
    CHECK(text.find(kSecret) == std::string::npos);
  }
  for (const char* server :
       {"url = \"http://h/\"\n[[backend.canary]]\nmethod = \"SECRET SECRET\"",
        "url = \"http://h/\"\n[[backend.canary]]\nmethod = \"SECRET\"\nbody = \"x\"",
        "url = \"http://h/\"\n[[backend.canary]]\nmethod = \"m\"\nexpect = \"SECRET\"",
        "url = \"http://h/\"\n[[backend.canary]]\nmethod = \"m\"\nexpect = \"/SECRET/~\"",
        "url = \"http://h/\"\nheaders = { SECRET = \"\" }", "url = \"http://h/\"\nheaders = { SECRET = 1 }",
        "url = \"http://h/\"\nmax_rate = \"SECRET\"", "url = \"http://h/\"\ninterval = \"SECRET\"",
        "url = \"http://h/\"\nbudget = \"SECRET\"", "url = \"http://h/${_SECRET}\""}) {
    CAPTURE(server);
    CHECK(show(fmt::format("{}{}", kInServer, server), refused).find(kSecret) == std::string::npos);
    CHECK(refused);
  }
  for (const char* top :
       {"[log]\nlevel = \"SECRET\"", "[http]\nlisten = \"SECRET\"", "[http]\nhosts = [\"SECRET SECRET\"]",
        "[haproxy]\nendpoints = [\"SECRET\"]", "[probe]\nmax_response_bytes = \"SECRET\"",
        "[standby]\nlease = \"SECRET\"", "[[backend]]\nname = \"SECRET SECRET\"\nchain = \"SECRET\"",
        "[[backend]]\nname = \"x\"\nfollows = \"SECRET\"",
        "[[chain]]\nname = \"SECRET_\"\nfamily = \"SECRET\"\nblock_time = \"SECRET\"\nchain_id = \"SECRET\"",
        ("[[family]]\nname = \"f\"\n[family.head]\nmethod = \"SECRET\"\nheight = \"SECRET\"\nheaders = { SECRET "
         "= \"\" }")}) {
    CAPTURE(top);
    CHECK(show(fmt::format("{}{}", top, kBackend), refused).find(kSecret) == std::string::npos);
    CHECK(refused);
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

}  // namespace
}  // namespace rpcw::config
