// A marked key stands wherever a key may stand. No output of any command may hold it, while providers repeat it in all
// of their errors.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "integration/http_get.hpp"
#include "integration/notify_socket.hpp"
#include "integration/program_stage.hpp"
#include "integration/terminal.hpp"

using namespace rpcw::test;

namespace {

/// In every key, and nowhere else.
constexpr std::string_view kMark = "zq7mark";

std::string key(std::string_view place) {
  return fmt::format("k3y{}{}8h2v5n1x", place, kMark);
}

std::string lowered(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string file_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Everything that was written, by where.
class Outputs {
 public:
  /// `variables`: of the program's environment, besides the keys' own.
  explicit Outputs(const std::vector<std::string>& variables = {}) {
    environment_.insert(environment_.end(), variables.begin(), variables.end());
  }
  void add(const std::string& where, const std::string& text) {
    const std::string low = lowered(text);
    const std::size_t at = low.find(kMark);
    CHECK_MESSAGE(at == std::string::npos, where, ": ", text.substr(at < 60 ? 0 : at - 60, 160));
    for (const std::string_view basic : kBasic) CHECK_MESSAGE(text.find(basic) == std::string::npos, where);
    bytes_ += text.size();
  }
  void add_reply(const std::string& where, const HttpReply& reply) {
    CHECK_MESSAGE(reply.status != 0, where);
    for (const auto& [name, value] : reply.headers) add("header " + name, value);
    add("body", reply.body);
  }
  /// Runs the program and adds what it writes.
  Result run(const std::vector<std::string>& arguments) {
    std::string name;
    for (const std::string& a : arguments) name += a + " ";
    Result out = rpcw::test::run(arguments, {.environment = environment_});
    add(name + "(standard output)", out.out);
    add(name + "(standard error)", out.err);
    return out;
  }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

  [[nodiscard]] const std::vector<std::string>& environment() const { return environment_; }

 private:
  /// What Basic authentication makes of user and password: base64 of "k3yuserzq7mark8" and of "k3yproxyuserzq7", the
  /// whole triples of the names.
  static constexpr std::array<std::string_view, 2> kBasic{"azN5dXNlcnpxN21hcms4", "azN5cHJveHl1c2VyenE3"};
  std::vector<std::string> environment_{"PATH_KEY=" + key("env"), "HEADER_KEY=" + key("header"),
                                        "QUERY_KEY=" + key("query")};
  std::size_t bytes_ = 0;
};

/// What a careless provider answers: all that it was sent.
std::string echo(std::size_t provider) {
  static const std::vector<std::vector<std::string>> kSent{
      {"user", "pass", "path", "env", "query", "header"}, {"file"}, {"header"}};
  std::string out = "no such key:";
  for (const std::string& place : kSent.at(provider)) out += " " + key(place);
  for (const char* place : {"body", "param", "suffix"}) out += " " + key(place);
  return out;
}

/// Of a backend.
constexpr std::string_view kEqual = "chain = \"simchain\"\nstrategy = \"equal\"\nramp = \"0s\"\n";

std::string server(std::string_view name, std::string_view keys) {
  return fmt::format("[[backend.server]]\nname = \"{}\"\n{}\n", name, keys);
}

std::string config_text(const Stage& stage, std::uint16_t port, std::string_view log) {
  const auto at = [&](std::size_t i) { return fmt::format("127.0.0.1:{}", stage.providers[i]->port()); };
  std::string out = Stage::tables(fmt::format("\"unix:{}\"", stage.haproxy.admin_socket()),
                                  {.log = std::string(log), .listen = fmt::format("\"127.0.0.1:{}\"", port)});
  out += fmt::format("[[backend]]\nname = \"rpc\"\n{}", kEqual);
  out += server("a", fmt::format("url = \"http://{}:{}@{}/v2/{}/${{PATH_KEY}}?key=${{QUERY_KEY}}\"\n"
                                 "headers = {{ Authorization = \"Bearer ${{HEADER_KEY}}\" }}",
                                 key("user"), key("pass"), at(0), key("path")));
  out += server("b", fmt::format("url_file = \"{}\"",
                                 stage.folder.write("url", fmt::format("http://{}/{}\n", at(1), key("file")))));
  out += server("c", fmt::format("url = \"http://{}/\"\nheaders = {{ X-Api-Key = \"{}\" }}", at(2), key("header")));
  out += fmt::format("[[backend.reference]]\nurl = \"http://{}.rpc.invalid/{}\"\n", key("host"), key("path"));
  out += fmt::format("[[backend.canary]]\nmethod = \"eth_call\"\nparams = [\"{}\"]\ninterval = \"1s\"\n", key("param"));
  out += fmt::format(
      "[[backend.canary]]\npath = \"/{0}?key={0}\"\nbody = '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\",\"params\":[\"{1}\"]}}'\ninterval = \"1s\"\n",
      key("suffix"), key("body"));
  return out;
}

/// The configuration of the stage's first provider alone, with further tables before and after it.
std::string small_text(const Stage& stage, const Stage::Keys& keys, std::string_view backend,
                       std::string_view server_keys) {
  return Stage::tables(fmt::format("\"unix:{}\"", stage.haproxy.admin_socket()), keys) +
         fmt::format("[[backend]]\nname = \"rpc\"\n{}", backend) + server("a", server_keys);
}

/// What makes a provider answer an error with `said` in it, in each way that is shown to an operator.
std::vector<sim::Behaviour> telling(const std::string& said) {
  std::vector<sim::Behaviour> out(3);
  out[0].fault = sim::Fault::rpc_error;
  out[0].rpc_error_message = said;
  out[1].fault = sim::Fault::http_status;
  out[1].http_status = 407;
  out[1].http_body = said;
  out[2].fault = sim::Fault::redirect;
  out[2].redirect_to = "http://127.0.0.1:1/" + said.substr(said.rfind(' ') + 1);
  return out;
}

constexpr std::array<const char*, 3> kFormats{"table", "json", "csv"};

/// All that one configuration says, while its only provider (or the proxy before it) tells what it was sent.
void say_all(Outputs& outputs, const Stage& stage, const std::string& config, const std::string& said) {
  for (const sim::Behaviour& behaviour : telling(said)) {
    stage.providers[0]->set(behaviour);
    for (const char* format : kFormats) outputs.run({"scores", "--config", config, "--format", format});
    outputs.run({"once", "--config", config});
    outputs.run({"check", "--config", config, "--online"});
    Program program({"run", "--config", config}, {.environment = outputs.environment()});
    CHECK(program.says("ejected"));
    CHECK(program.stop() == 0);
    outputs.add("log", program.err());
  }
  stage.mend_provider(0);
  outputs.run({"check", "--config", config});
}

}  // namespace

TEST_CASE("a marked key in every place is in no output of any command") {
  const Stage stage;
  const std::uint16_t port = free_port();
  Outputs outputs;
  const auto configure = [&](std::string_view log) {
    return stage.folder.write("config.toml", config_text(stage, port, log));
  };
  const std::string recording = stage.folder.path("recording");
  const std::string state = stage.folder.path("state.json");
  std::string config = configure("");

  // The key is used: else nothing here would be a test.
  const Result first = outputs.run({"scores", "--config", config, "--format", "json"});
  REQUIRE_MESSAGE(first.code == 0, first.out, first.err);
  REQUIRE(first.out.find("\"healthy\"") != std::string::npos);

  sim::Behaviour careless;
  const auto breaks = [&](std::size_t i, sim::Fault fault, std::vector<std::string> methods = {}) {
    careless.rpc_error_message = echo(i);
    careless.http_body = echo(i);
    careless.redirect_to = fmt::format("http://127.0.0.1:1/{}", echo(i).substr(echo(i).rfind(' ') + 1));
    careless.fault = fault;
    careless.fault_methods = std::move(methods);
    stage.providers[i]->set(careless);
  };
  // Only its canaries fail here: the text of a failed one is shown for long.
  breaks(2, sim::Fault::rpc_error, {"eth_call"});

  for (const char* log : {"level = \"trace\"", "level = \"trace\"\nformat = \"json\""}) {
    config = configure(log);
    const NotifySocket systemd(stage.folder.path(fmt::format("notify{}", outputs.bytes())));
    std::vector<std::string> environment = outputs.environment();
    environment.push_back(systemd.variable());
    Program program({"run", "--config", config, "--record", recording, "--state", state},
                    {.environment = std::move(environment)});
    REQUIRE(eventually([&] { return http_get(port, "/readyz").status == 200; }));
    const RawConnection events(port);
    events.send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    std::string streamed = events.read_until("\n\n\r\n");
    breaks(0, sim::Fault::rpc_error);
    breaks(1, sim::Fault::http_status);
    streamed += events.read_until("\"to_state\":\"ejected\"");
    CHECK(streamed.find("ejected") != std::string::npos);
    streamed += events.read_until("event: status");
    outputs.add("event stream", streamed);
    for (const char* path : {"/", "/metrics", "/healthz", "/readyz", "/api/v1/status", "/api/v1/history",
                             "/api/v1/decisions", "/api/v1/status?backend=rpc", "/none"}) {
      outputs.add_reply(path, http_get(port, path));
    }
    // Input of a client is not repeated either.
    for (const std::string& path : {"/" + key("request"), "/api/v1/status?backend=" + key("request"),
                                    fmt::format("/api/v1/decisions?server={0}&limit={0}", key("request"))})
      outputs.add_reply(path, http_get(port, path));
    outputs.add_reply("host", http_get(port, "/", {"Host: " + key("request")}));
    outputs.add_reply("method", http_get(port, "/", {}, "K3Y" + std::string(kMark)));
    outputs.add_reply("OpenMetrics", http_get(port, "/metrics", {"Accept: application/openmetrics-text"}));

    outputs.run({"top", "--config", config});
    const std::string url = fmt::format("http://127.0.0.1:{}", port);
    {
      Terminal terminal({"top", "--url", url}, 120);
      CHECK(terminal.shows("ejected"));
      outputs.add("top", terminal.drawn());
    }
    for (const char* format : kFormats) {
      outputs.run({"status", "--config", config, "--format", format});
      outputs.run({"status", "rpc/a", "--config", config, "--format", format});
    }
    for (const char* place : {"rpc/a", "rpc/none", "none/a", "a"})
      for (const char* command : {"drain", "ready"}) {
        outputs.run({command, place, "--config", config, "--dry-run"});
        outputs.run({command, place, "--config", config});
      }
    outputs.run({"health", "--config", config});
    for (const char* name : {"a", "b", "c"})
      outputs.run({"explain", "--config", config, "--backend", "rpc", "--server", name});
    // A file that is refused is shown in the log.
    stage.folder.write("config.toml", config_text(stage, port, log) + fmt::format("[probe.{}]\n", "x"));
    program.signal(SIGHUP);
    CHECK(program.says("config.toml:"));
    CHECK(program.stop() == 0);
    outputs.add("log", program.err());
    outputs.add("standard output of run", program.out());
    outputs.add("messages to systemd", systemd.rest());
    for (const std::size_t i : {0U, 1U}) stage.mend_provider(i);
  }
  CHECK(file_text(recording).size() > 1000);
  CHECK(file_text(state).size() > 1000);
  outputs.add("recording", file_text(recording));
  outputs.add("state file", file_text(state));

  config = configure("");
  for (const auto fault : {sim::Fault::rpc_error, sim::Fault::http_status, sim::Fault::redirect, sim::Fault::html}) {
    breaks(0, fault);
    for (const char* format : kFormats) {
      outputs.run({"scores", "--config", config, "--format", format});
      outputs.run({"once", "--config", config, "--format", format, "--state", state});
    }
  }
  outputs.add("state file", file_text(state));
  outputs.run({"check", "--config", config});
  outputs.run({"check", "--config", config, "--online"});
  for (const char* format : kFormats) outputs.run({"replay", "--config", config, "--format", format, recording});
  outputs.run({"discover", "--haproxy", fmt::format("unix:{}", stage.haproxy.admin_socket()), "--probe"});

  // Files that are wrong, with the key in what is wrong.
  const std::string good = config_text(stage, port, "");
  for (const auto& [what, instead] :
       std::vector<std::pair<std::string, std::string>>{{"url = \"http://", "url = \"htp://"},
                                                        {"url = \"http://", "url = \"http:///"},
                                                        {"url = \"http://", "ur = \"http://"},
                                                        {"Bearer ${HEADER_KEY}", "Bearer ${HEADER_KEY"},
                                                        {"Bearer ${HEADER_KEY}", "Bearer\\u0001${HEADER_KEY}"},
                                                        {"params = [", "params = [1979-05-27, "},
                                                        {"interval = \"1s\"", "interval = 1"},
                                                        {"X-Api-Key = ", "X-Api-Key "},
                                                        {"X-Api-Key = \"", "X-Api-Key = \"\\q"},
                                                        {"X-Api-Key = \"", "X-Api-Key = [\""},
                                                        {"X-Api-Key = ", "X-Api-Key = 1, X-Api-Key = "},
                                                        {"/\"\nheaders = { X-", "/\nheaders = { X-"},
                                                        {"path = \"/", "path = \""}}) {
    std::string wrong = good;
    const std::size_t at = wrong.find(what);
    REQUIRE(at != std::string::npos);
    wrong.replace(at, what.size(), instead);
    const Result r = outputs.run({"check", "--config", stage.folder.write("wrong.toml", wrong)});
    CHECK_MESSAGE(r.code == 2, instead);
    CHECK_FALSE(r.err.empty());
  }
  CHECK(outputs.bytes() > 100'000);
}

TEST_CASE("a marked key is in no line of the log, at whatever level and in either format") {
  const Stage stage;
  Outputs outputs;
  sim::Behaviour careless;
  careless.fault = sim::Fault::rpc_error;
  careless.rpc_error_message = echo(0);
  stage.providers[0]->set(careless);
  for (const char* level : {"trace", "debug", "info", "warn", "error"})
    for (const char* format : {"text", "json"}) {
      const std::string config = stage.folder.write(
          "config.toml",
          config_text(stage, free_port(), fmt::format("level = \"{}\"\nformat = \"{}\"", level, format)));
      Program program({"run", "--config", config}, {.environment = outputs.environment()});
      REQUIRE(eventually([&] { return stage.weights() == Weights{{"a", 0}, {"b", 128}, {"c", 128}}; }));
      // A file that cannot be used is an error, which each level shows.
      stage.folder.write("config.toml", config_text(stage, 1, "level = \"none\""));
      program.signal(SIGHUP);
      CHECK(program.says("config.toml:"));
      CHECK(program.stop() == 0);
      outputs.add(fmt::format("{} {}", level, format), program.err());
      check(stage.haproxy, "set weight rpc/a 1; set weight rpc/b 1; set weight rpc/c 1");
    }
}

TEST_CASE("a marked key is not in what a crash leaves behind") {
  const Stage stage;
  Outputs outputs;
  // What the tests may have is what the program starts with.
  rlimit core{};
  REQUIRE(getrlimit(RLIMIT_CORE, &core) == 0);
  rlimit most = core;
  most.rlim_cur = most.rlim_max;
  REQUIRE(setrlimit(RLIMIT_CORE, &most) == 0);
  for (const int number : {SIGSEGV, SIGABRT, SIGBUS, SIGQUIT}) {
    const std::string config = stage.folder.write("config.toml", config_text(stage, free_port(), "level = \"trace\""));
    Program program({"run", "--config", config}, {.environment = outputs.environment()});
    REQUIRE(stage.reaches({{"a", 86}, {"b", 85}, {"c", 85}}));
    // A core file holds all of its memory.
    const std::string limits = file_text(fmt::format("/proc/{}/limits", program.pid()));
    CHECK_MESSAGE(limits.find("Max core file size        0 ") != std::string::npos, limits);
    program.signal(number);
    CHECK(program.wait().has_value());
    outputs.add("crash", program.err());
    outputs.add("crash (standard output)", program.out());
    check(stage.haproxy, "set weight rpc/a 1; set weight rpc/b 1; set weight rpc/c 1");
  }
  REQUIRE(setrlimit(RLIMIT_CORE, &core) == 0);
}

namespace {

/// A proxy's URL, whose user and password are keys.
std::string proxy_url(std::uint16_t port) {
  return fmt::format("http://{}:{}@127.0.0.1:{}", key("proxyuser"), key("proxypass"), port);
}

/// A proxy that tells all that it was sent: user and password, and base64 of both, as in Proxy-Authorization.
void say_all_of_proxy(Outputs& outputs, const Stage& stage, const std::string& config) {
  const Result first = outputs.run({"scores", "--config", config});
  REQUIRE_MESSAGE(first.code == 0, first.out, first.err);
  say_all(outputs, stage, config,
          fmt::format("proxy: {} {} azN5cHJveHl1c2VyenE3bWFyazhoMnY1bjF4OmszeXByb3h5cGFzc3pxN21hcms4aDJ2NW4xeA== {}",
                      key("proxyuser"), key("proxypass"), key("path")));
}

}  // namespace

TEST_CASE("a marked key of the proxy, which tells all that it was sent") {
  const Stage stage(1);
  Outputs outputs;
  const auto config = [&](const char* name, const std::string& proxy) {
    return stage.folder.write(
        name,
        small_text(stage, {.probe = fmt::format("timeout = \"5s\"\nproxy = \"{}\"", proxy), .log = "level = \"trace\""},
                   kEqual, fmt::format("url = \"http://provider.invalid/{}\"", key("path"))));
  };
  say_all_of_proxy(outputs, stage, config("config.toml", proxy_url(stage.providers[0]->port())));
  // The proxy alone, which is not there.
  outputs.run({"scores", "--config", config("absent.toml", proxy_url(1))});
  for (const char* wrong : {"htp://{0}:{0}@127.0.0.1", "http://{0}:{0}@", "{0}:{0}@127.0.0.1:99999"}) {
    const Result r =
        outputs.run({"check", "--config", config("wrong.toml", fmt::format(fmt::runtime(wrong), key("proxyuser")))});
    CHECK_MESSAGE(r.code == 2, wrong);
  }
}

TEST_CASE("a marked key of a proxy that the environment names") {
  const Stage stage(1);
  const std::string config = stage.folder.write(
      "config.toml",
      small_text(stage, {.probe = "timeout = \"5s\"\nproxy = \"environment\"", .log = "level = \"trace\""}, kEqual,
                 fmt::format("url = \"http://provider.invalid/{}\"", key("path"))));
  for (const char* variable : {"http_proxy", "ALL_PROXY"}) {
    CAPTURE(std::string(variable));
    Outputs outputs({fmt::format("{}={}", variable, proxy_url(stage.providers[0]->port()))});
    say_all_of_proxy(outputs, stage, config);
    Outputs absent({fmt::format("{}={}", variable, proxy_url(1))});
    absent.run({"scores", "--config", config});
  }
}

TEST_CASE("a marked key in the requests of a family of one's own") {
  const Stage stage(1);
  Outputs outputs;
  const auto text = [&](std::string_view path, std::string_view header) {
    return small_text(
        stage,
        {.top = "",
         .log = fmt::format("level = \"trace\"\n[[family]]\nname = \"own\"\n[family.head]\nmethod = \"POST\"\n"
                            "path = \"{}\"\nheaders = {{ X-Key = {} }}\n"
                            "body = '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_getBlockByNumber\","
                            "\"params\":[\"latest\",false],\"key\":\"{}\"}}'\n"
                            "height = \"/result/number\"\nheight_encoding = \"hex\"\nerror = \"/error/message\"\n"
                            "[[chain]]\nname = \"ownchain\"\nfamily = \"own\"\nblock_time = \"1s\"",
                            path, header, key("body"))},
        "chain = \"ownchain\"\nstrategy = \"equal\"\nramp = \"0s\"\n",
        fmt::format("url = \"{}\"", stage.providers[0]->url()));
  };
  const std::string good_header = fmt::format("\"{}\"", key("header"));
  const std::string config =
      stage.folder.write("config.toml", text(fmt::format("/{0}?key={0}", key("path")), good_header));
  const Result first = outputs.run({"scores", "--config", config});
  REQUIRE_MESSAGE(first.code == 0, first.out, first.err);
  say_all(outputs, stage, config, fmt::format("sent: {} {} {}", key("path"), key("header"), key("body")));
  for (const auto& [path, header] :
       std::vector<std::pair<std::string, std::string>>{{key("path"), good_header},
                                                        {"/", "[" + good_header + "]"},
                                                        {"/", fmt::format("\"\\u0001{}\"", key("header"))}}) {
    const Result r = outputs.run({"check", "--config", stage.folder.write("wrong.toml", text(path, header))});
    CHECK(r.code == 2);
  }
}

TEST_CASE("a marked key in the address of an agent is not shown when it does not answer") {
  Outputs outputs;
  for (const std::string& url :
       {fmt::format("http://{}:{}@127.0.0.1:1/{}", key("user"), key("pass"), key("path")),
        fmt::format("http://{}:{}@127.0.0.1:1/?key={}", key("user"), key("pass"), key("query")),
        fmt::format("http://{}.rpc.invalid/", key("host")), fmt::format("htp://{}", key("path")),
        fmt::format("http://[{}]/", key("host")), fmt::format("{}@localhost:99999", key("user"))})
    for (const char* command : {"health", "top", "explain"}) {
      std::vector<std::string> arguments{command, "--url", url};
      if (std::string_view(command) == "explain")
        arguments.insert(arguments.end(), {"--backend", "b", "--server", "s"});
      // The arguments are of the one who typed them, so they are no output.
      const Result r = rpcw::test::run(arguments);
      CHECK(r.code != 0);
      CHECK_FALSE((r.out + r.err).empty());
      outputs.add(command, r.out + r.err);
    }
}

TEST_CASE("a marked token of the lease is in no line, whatever the API server makes of it") {
  const Stage stage(1);
  Outputs outputs;
  const std::uint16_t port = free_port();
  std::filesystem::create_directory(stage.folder.path("account"));
  const auto token = [&](const std::string& text) { stage.folder.write("account/token", text); };
  const std::string config = stage.folder.write(
      "config.toml",
      small_text(stage,
                 {.top = fmt::format("[standby]\nlease = \"kubernetes:rpc/weighter\"\napi = \"{}\"\naccount = \"{}\"\n",
                                     stage.providers[0]->url(), stage.folder.path("account")),
                  .log = "level = \"trace\"",
                  .listen = fmt::format("\"127.0.0.1:{}\"", port)},
                 kEqual, fmt::format("url = \"http://127.0.0.1:{}/\"", free_port())));
  // A provider stands for the API server: it answers all requests in the same way.
  const std::string said = fmt::format(R"({{"kind":"Status","message":"no such token: {}"}})", key("token"));
  std::vector<sim::Behaviour> servers(4);
  for (std::size_t i = 0; i < servers.size(); ++i) {
    servers[i].fault = sim::Fault::http_status;
    servers[i].http_status = std::vector<std::uint64_t>{401, 403, 500, 200}.at(i);
    servers[i].http_body = said;
  }
  for (const sim::Behaviour& behaviour : telling(key("token"))) servers.push_back(behaviour);
  const auto refused = [&](const std::string& text, const sim::Behaviour& behaviour) {
    token(text);
    stage.providers[0]->set(behaviour);
    Program program({"run", "--config", config}, {.environment = outputs.environment()});
    CHECK(eventually([&] {
      try {
        const HttpReply reply = http_get(port, "/api/v1/status");
        if (reply.status != 200) return false;
        outputs.add("status", reply.body);
        return at(json(reply.body), "/standby/error").IsString();
      } catch (const std::system_error&) {
        return false;
      }
    }));
    CHECK(program.stop() == 0);
    outputs.add("log", program.err());
  };
  for (const sim::Behaviour& behaviour : servers) refused(key("token") + "\n", behaviour);
  // Tokens that make no header.
  refused(key("token") + "\n" + key("token"), servers[0]);
  refused("\x01" + key("token"), servers[0]);
}

TEST_CASE("a marked key in what is asked of the agent-check's port is not repeated") {
  const Stage stage;
  Outputs outputs;
  const std::uint16_t port = free_port();
  const std::string config =
      stage.folder.write("config.toml", config_text(stage, free_port(), "level = \"trace\"") +
                                            fmt::format("[agent_check]\nlisten = \"127.0.0.1:{}\"\n", port));
  Program program({"run", "--config", config}, {.environment = outputs.environment()});
  REQUIRE(stage.reaches({{"a", 86}, {"b", 85}, {"c", 85}}));
  for (const std::string& asked :
       {std::string("rpc/a"), "rpc/" + key("request"), key("request") + "/a", key("request")}) {
    const RawConnection connection(port);
    connection.send(asked + "\n");
    outputs.add("answer", connection.read_to_end());
  }
  CHECK(program.says("agent-check: HAProxy asked for a backend that is not in the configuration"));
  CHECK(program.stop() == 0);
  outputs.add("log", program.err());
}
