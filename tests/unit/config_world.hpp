#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/load.hpp"
#include "weighter/strategy/strategy.hpp"

/// What the tests of the configuration share: a world of variables and files, and the errors of a text in it.
namespace rpcw::config {

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

inline const World kWorld{.variables = {{"HOST", "example.org"},
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

inline constexpr const char* kFile = "/etc/rpcw/c.toml";

inline std::vector<std::string> texts(const std::vector<Diagnostic>& list) {
  std::vector<std::string> out;
  for (const Diagnostic& d : list) {
    std::string text = d.to_text();
    // The same in all of them.
    REQUIRE(text.starts_with(kFile));
    out.push_back(text.substr(std::string_view(kFile).size() + 1));
  }
  return out;
}

inline std::vector<std::string> errors(std::string_view text, const World& world = kWorld) {
  const auto out = parse(text, kFile, world.surroundings());
  return out ? std::vector<std::string>{} : texts(out.error());
}

inline Loaded good(std::string_view text, const World& world = kWorld) {
  auto out = parse(text, kFile, world.surroundings());
  if (!out)
    for (const std::string& line : texts(out.error())) MESSAGE(line);
  REQUIRE(out.has_value());
  return std::move(*out);
}

inline std::string joined(const std::vector<std::string>& lines) {
  return fmt::format("{}", fmt::join(lines, "\n"));
}

struct Case {
  std::string text;
  std::vector<std::string> expected;
};

inline void check(std::string_view before, std::string_view after, const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    const std::string text = fmt::format("{}{}{}", before, c.text, after);
    CAPTURE(c.text);
    CHECK(joined(errors(text)) == joined(c.expected));
  }
}

// What makes the rest of a file complete; the snippets under test begin on line 1, 4 or 7.
inline constexpr std::string_view kBackend = R"(
[[backend]]
name = "b"
chain = "ethereum"
[[backend.server]]
name = "s"
url = "http://h/"
)";
inline constexpr std::string_view kInBackend = "[[backend]]\nname = \"b\"\nchain = \"ethereum\"\n";
inline constexpr std::string_view kServer = "\n[[backend.server]]\nname = \"s\"\nurl = \"http://h/\"\n";
inline constexpr std::string_view kInServer =
    "[[backend]]\nname = \"b\"\nchain = \"ethereum\"\n[[backend.server]]\nname = \"s\"\n\n";

/// Those of a file that can be used.
inline std::vector<std::string> warnings(std::string_view text) {
  return texts(good(text).warnings);
}

inline constexpr std::string_view kWhole = R"(
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

}  // namespace rpcw::config
