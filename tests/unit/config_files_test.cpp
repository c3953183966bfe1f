#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "unit/config_world.hpp"

namespace rpcw::config {
namespace {

using namespace std::chrono_literals;

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
  for (const Diagnostic& d : out.error())
    CHECK(d.message == fmt::format("the file {} cannot be read: it is no regular file", place.path));
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
  CHECK(errors(fmt::format("# {0}\n{1}headers = {{ A = \"{0}\" }}", repeated(".[", 100), kBackend)).empty());
}

TEST_CASE("config: of many errors the first 50 are told, and how many more there are") {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += fmt::format("key-{} = 1\n", i);
  text += kBackend;
  for (const int more : {0, 1, 2000, 10'000}) {
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
