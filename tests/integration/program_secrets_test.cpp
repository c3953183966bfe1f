// A marked key stands wherever a key may stand. No output of any command may hold it, while providers repeat it in all
// of their errors.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "integration/http_get.hpp"
#include "integration/program_stage.hpp"

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
  void add(const std::string& where, const std::string& text) {
    const std::string low = lowered(text);
    const std::size_t at = low.find(kMark);
    CHECK_MESSAGE(at == std::string::npos, where, ": ", text.substr(at < 60 ? 0 : at - 60, 160));
    // What Basic authentication makes of user and password.
    CHECK_MESSAGE(text.find(basic()) == std::string::npos, where);
    bytes_ += text.size();
  }
  /// Runs the program and adds what it writes.
  Result run(const std::vector<std::string>& arguments) {
    std::string name;
    for (const std::string& a : arguments) name += a + " ";
    Result out = rpcw::test::run(arguments, {.environment = environment()});
    add(name + "(standard output)", out.out);
    add(name + "(standard error)", out.err);
    return out;
  }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

  static std::vector<std::string> environment() {
    return {"PATH_KEY=" + key("env"), "HEADER_KEY=" + key("header"), "QUERY_KEY=" + key("query")};
  }

 private:
  /// base64 of "k3yuserzq7mark8", the whole triples of the user's name.
  static std::string_view basic() { return "azN5dXNlcnpxN21hcms4"; }
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

std::string server(std::string_view name, std::string_view keys) {
  return fmt::format("[[backend.server]]\nname = \"{}\"\n{}\n", name, keys);
}

std::string config_text(const Stage& stage, std::uint16_t port, std::string_view log) {
  const auto at = [&](std::size_t i) { return fmt::format("127.0.0.1:{}", stage.providers[i]->port()); };
  std::string out = Stage::tables(fmt::format("\"unix:{}\"", stage.haproxy.admin_socket()),
                                  {.log = std::string(log), .listen = fmt::format("\"127.0.0.1:{}\"", port)});
  out += "[[backend]]\nname = \"rpc\"\nchain = \"simchain\"\nstrategy = \"equal\"\nramp = \"0s\"\n";
  out += server("a", fmt::format("url = \"http://{}:{}@{}/v2/{}/${{PATH_KEY}}?key=${{QUERY_KEY}}\"\n"
                                 "headers = {{ Authorization = \"Bearer ${{HEADER_KEY}}\" }}",
                                 key("user"), key("pass"), at(0), key("path")));
  out += server("b", fmt::format("url_file = \"{}\"", stage.folder.write("url", fmt::format("http://{}/{}\n", at(1),
                                                                                            key("file")))));
  out += server("c", fmt::format("url = \"http://{}/\"\nheaders = {{ X-Api-Key = \"{}\" }}", at(2), key("header")));
  out += fmt::format("[[backend.reference]]\nurl = \"http://{}.rpc.invalid/{}\"\n", key("host"), key("path"));
  out += fmt::format("[[backend.canary]]\nmethod = \"eth_call\"\nparams = [\"{}\"]\ninterval = \"1s\"\n", key("param"));
  out += fmt::format("[[backend.canary]]\npath = \"/{0}?key={0}\"\nbody = '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\",\"params\":[\"{1}\"]}}'\ninterval = \"1s\"\n",
                     key("suffix"), key("body"));
  return out;
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
    Program program({"run", "--config", config, "--record", recording, "--state", state},
                    {.environment = Outputs::environment()});
    REQUIRE(eventually([&] { return http_get(port, "/readyz").status == 200; }));
    const RawConnection events(port);
    events.send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    std::string streamed = events.read_until("\n\n\r\n");
    breaks(0, sim::Fault::rpc_error);
    breaks(1, sim::Fault::http_status);
    streamed += events.read_until("\"to_state\":\"ejected\"");
    CHECK(streamed.find("ejected") != std::string::npos);
    outputs.add("event stream", streamed);
    for (const char* path : {"/", "/metrics", "/healthz", "/readyz", "/api/v1/status", "/api/v1/history",
                             "/api/v1/decisions", "/api/v1/status?backend=rpc", "/none"}) {
      const HttpReply reply = http_get(port, path);
      CHECK(reply.status != 0);
      outputs.add(path, reply.body);
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
    for (const std::size_t i : {0U, 1U}) stage.mend_provider(i);
  }
  CHECK(file_text(recording).size() > 1000);
  CHECK(file_text(state).size() > 1000);
  outputs.add("recording", file_text(recording));
  outputs.add("state file", file_text(state));

  config = configure("");
  for (const auto fault : {sim::Fault::rpc_error, sim::Fault::http_status, sim::Fault::redirect, sim::Fault::html}) {
    breaks(0, fault);
    for (const char* format : {"table", "json", "csv"}) {
      outputs.run({"scores", "--config", config, "--format", format});
      outputs.run({"once", "--config", config, "--format", format, "--state", state});
    }
  }
  outputs.add("state file", file_text(state));
  outputs.run({"check", "--config", config});
  outputs.run({"check", "--config", config, "--online"});
  for (const char* format : {"table", "json", "csv"})
    outputs.run({"replay", "--config", config, "--format", format, recording});
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
                                                        {"X-Api-Key = ", "X-Api-Key "}}) {
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
