// The command line, wrong configurations, check, chains, and what the program ends with.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "base/version.hpp"
#include "integration/program_stage.hpp"

using namespace rpcw::test;

namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// Lines of commands that HAProxy has had, this question among them.
unsigned long requests_so_far(const HaproxyProcess& haproxy) {
  const std::string info = check(haproxy, "show info");
  return std::stoul(info.substr(info.find("\nCumReq: ") + 9));
}

}  // namespace

TEST_CASE("--version and --help") {
  CHECK(run({"--version"}).code == 0);
  CHECK(run({"--version"}).out.starts_with("rpc-weighter 0."));
  // Built in a git work tree or with RPCW_REVISION it names the commit.
  const std::string from = rpcw::revision().empty() ? "" : fmt::format(" ({})", rpcw::revision());
  CHECK(run({"--version"}).out == fmt::format("rpc-weighter {}{}\n", rpcw::version(), from));
  const Result help = run({"--help"});
  CHECK(help.code == 0);
  for (const char* word : {"run", "once", "scores", "check", "chains", "Exit codes"}) CHECK(contains(help.out, word));
  CHECK(contains(run({"once", "--help"}).out, "--samples"));
}

TEST_CASE("an unknown command is answered with the nearest one, none with the help") {
  const Result wrong = run({"onec", "--config", "x"});
  CHECK(wrong.code == 2);
  CHECK(wrong.err == "rpc-weighter: there is no command \"onec\"; did you mean \"once\"?\n");
  CHECK(contains(run({"frobnicate"}).err, "`rpc-weighter --help` lists them"));
  const Result bare = run({});
  CHECK(bare.code == 2);
  CHECK(bare.out == "");
  CHECK(bare.err == run({"--help"}).out);
}

TEST_CASE("an option before its command is named, where the command lacks it") {
  const Result wrong = run({"--config", "x.toml", "once"});
  CHECK(wrong.code == 2);
  CHECK(contains(wrong.err, "not expected here: --config x.toml (options come after the command)"));
  CHECK_FALSE(contains(wrong.err, "required"));
}

TEST_CASE("an option that the command does not have is answered with the nearest one") {
  const Result wrong = run({"scores", "--confg", "x.toml"});
  CHECK(wrong.code == 2);
  CHECK(wrong.err ==
        "rpc-weighter: scores has no option \"--confg\"; did you mean \"--config\"?\n"
        "Run with --help for more information.\n");
  CHECK(contains(run({"health", "--urll=http://u:SECRET@h/"}).err, "health has no option \"--urll\"; did you mean"));
  CHECK(contains(run({"run", "--config", "x", "-z"}).err, "run has no option \"-z\"; `rpc-weighter run --help` lists"));
  const Result many = run({"scores", "--config", "x.toml", "one", "two", "--foo", "3", "https://u:SECRET@h/SECRET"});
  CHECK(contains(many.err, "not expected here: one two https://h/…\n"));
  CHECK_FALSE(contains(many.err, "SECRET"));
  CHECK(contains(run({"a\u202eb"}).err, "\"a\\u202eb\""));
}

TEST_CASE("the help of a command lists the exit codes that it gives") {
  for (const auto& [command, codes] :
       {std::pair{"run", "024"}, std::pair{"once", "01234"}, std::pair{"scores", "0124"}, std::pair{"check", "01234"},
        std::pair{"discover", "01234"}, std::pair{"replay", "024"}, std::pair{"chains", "024"}, std::pair{"top", "024"},
        std::pair{"explain", "024"}, std::pair{"drain", "01234"}, std::pair{"ready", "0234"},
        std::pair{"status", "01234"}, std::pair{"health", "012"}, std::pair{"manual", "024"}}) {
    CAPTURE(command);
    const std::string help = run({command, "--help"}).out;
    const std::size_t at = help.find("Exit codes: ");
    REQUIRE(at != std::string::npos);
    std::string listed;
    for (std::size_t i = at; i + 1 < help.size(); ++i)
      if (help[i] >= '0' && help[i] <= '4' && help[i + 1] == ' ' && (help[i - 1] == ' ' || help[i - 1] == '\n'))
        listed += help[i];
    CHECK(listed == codes);
  }
  CHECK_FALSE(contains(run({"ready", "--help"}).out, "--wait"));
}

TEST_CASE("health asks the agent that the configuration or the URL names") {
  const Stage stage;
  const std::uint16_t port = free_port();
  const std::string socket = stage.folder.path("http.sock");
  const std::string config = stage.config({.listen = fmt::format("[\"127.0.0.1:{}\", \"unix:{}\"]", port, socket)});
  const std::string url = fmt::format("http://127.0.0.1:{}/", port);
  const Result none = run({"health", "--config", config});
  CHECK(none.code == 1);
  CHECK(contains(none.err, fmt::format("http://127.0.0.1:{}: ", port)));
  Program program({"run", "--config", config});
  REQUIRE(eventually([&] { return run({"health", "--config", config}).code == 0; }));
  CHECK(run({"health", "--url", url}).out == "ok\n");
  // A proxy of the environment does not lead to a neighbour.
  CHECK(run({"health", "--url", url}, {.environment = {"http_proxy=http://127.0.0.1:1"}}).code == 0);
  CHECK(run({"health", "--url", "unix:" + socket}).code == 0);
  CHECK(run({"health", "--url", "nonsense"}).code == 2);
  CHECK(run({"health", "--url", url, "--config", config}).code == 2);
  CHECK(run({"health", "--config", stage.config()}).code == 2);
  CHECK(program.stop() == 0);
}

TEST_CASE("wrong command lines end with 2 and nothing is asked or sent") {
  const Stage stage;
  const std::string config = stage.config();
  const Weights before = stage.weights();
  const std::vector<std::vector<std::string>> wrong{
      {},
      {"nonsense"},
      {"once"},
      {"once", "--config"},
      {"once", "--config", config, "--format", "xml"},
      {"once", "--config", config, "--format", "0"},
      {"once", "--config", config, "--samples", "0"},
      {"once", "--config", config, "--samples", "101"},
      {"once", "--config", config, "--samples", "many"},
      {"once", "--config", config, "--backend", "rpc", "stray"},
      {"once", "--config", config, "--backend", "absent"},
      {"scores", "--config", config, "--dry-run"},
      {"run", "--config", config, "--format", "json"},
      {"run", "--config", config, "--backend", "absent"},
      {"check", "--config", config, "--onlin"},
      {"once", "scores", "--config", config},
      {"chains", "--config", config},
      {"once", "--config", stage.folder.path("absent.toml")},
      {"once", "--config", stage.folder.path("")},
  };
  for (const auto& arguments : wrong) {
    CAPTURE(fmt::format("{}", fmt::join(arguments, " ")));
    const Result r = run(arguments);
    CHECK(r.code == 2);
    CHECK(r.out == "");
    CHECK(r.err != "");
  }
  CHECK(stage.contacts() == 0);
  CHECK(stage.weights() == before);
}

TEST_CASE("wrong configurations end with 2, with every error and its place") {
  const Stage stage;
  const Weights before = stage.weights();
  const auto refused = [&](const std::string& text) {
    const std::string config = stage.folder.write("config.toml", text);
    std::string said;
    for (const char* command : {"scores", "once", "run", "check"}) {
      CAPTURE(command);
      const Result r = run({command, "--config", config});
      CHECK(r.code == 2);
      CHECK(r.out == "");
      said = r.err;
    }
    return said;
  };
  const std::string two = refused(stage.toml({.probe = "fal = 2\nrise = 99"}));
  CHECK(contains(two, "config.toml:"));
  CHECK(contains(two, "fal"));
  CHECK(contains(two, "fall"));
  CHECK(contains(two, "rise"));
  CHECK(contains(two, "2 errors"));
  CHECK(contains(refused("[haproxy\n"), "config.toml:1:"));
  CHECK(contains(refused(""), "[[backend]]"));
  CHECK(contains(refused(stage.toml({.backend = "strategy = \"equal\"\nmin_healthy = 0"})), "min_healthy"));
  CHECK(contains(refused(stage.toml() + "[[backend.server]]\nname = \"d\"\nurl = \"ftp://user:" +
                         std::string(Secrets::kPassword) + "@host/" + std::string(Secrets::kPath) + "\"\n"),
                 "url"));
  CHECK(stage.contacts() == 0);
  CHECK(stage.weights() == before);
}

TEST_CASE("once, run and check --online need HAProxy's endpoints; scores and check do not") {
  const Stage stage;
  std::string text = stage.toml();
  const std::size_t from = text.find("endpoints =");
  text.erase(from, text.find('\n', from) - from);
  const std::string config = stage.folder.write("config.toml", text);
  CHECK(run({"once", "--config", config}).code == 2);
  CHECK(run({"run", "--config", config}).code == 2);
  CHECK(run({"check", "--config", config, "--online"}).code == 2);
  CHECK(stage.contacts() == 0);
  CHECK(run({"check", "--config", config}).code == 0);
  const Result r = run({"scores", "--config", config});
  CHECK(r.code == 0);
  CHECK_FALSE(contains(r.out, "HAProxy"));
}

TEST_CASE("a server that HAProxy lacks is named, and the others are still pushed") {
  const Stage stage;
  auto& extra = const_cast<Stage&>(stage).world.add("extra");
  const std::string config = stage.folder.write("config.toml", stage.toml() + Stage::server(extra));
  const Result r = run({"once", "--config", config, "--format", "json"});
  CHECK(r.code == 3);
  CHECK(contains(at(json(r.out), "/haproxy/0/error").GetString(), "no server extra"));
  CHECK(at(json(r.out), "/haproxy/0/reachable").GetBool());
  // They share all of it.
  CHECK(stage.weights() == Weights{{"a", 86}, {"b", 85}, {"c", 85}});
  CHECK(run({"scores", "--config", config}).code == 0);
}

TEST_CASE("a backend that HAProxy lacks ends with 3") {
  const Stage stage;
  std::string text = stage.toml();
  text.replace(text.find("name = \"rpc\""), 12, "name = \"cpr\"");
  const Result r = run({"once", "--config", stage.folder.write("config.toml", text)});
  CHECK(r.code == 3);
  CHECK(contains(r.out, "no backend cpr"));
}

TEST_CASE("a socket that is not admin ends with 3") {
  const Stage stage;
  const std::string endpoint = fmt::format("\"unix:{}\"", stage.haproxy.path("operator.sock"));
  const Weights before = stage.weights();
  const Result r = run({"once", "--config", stage.config({.endpoints = endpoint})});
  CHECK(r.code == 3);
  CHECK(contains(r.out, "Permission denied"));
  CHECK(stage.weights() == before);
  // Nothing is sent, so nothing is refused; what would be is told all the same.
  const Result rehearsal = run({"once", "--dry-run", "--config", stage.config({.endpoints = endpoint})});
  CHECK(rehearsal.code == 3);
  CHECK(contains(rehearsal.out, "the socket's level is `operator`: `set weight` needs `level admin`"));
  CHECK(run({"check", "--online", "--config", stage.config({.endpoints = endpoint})}).code == 3);
  CHECK(run({"check", "--online", "--config", stage.config()}).code == 0);
  CHECK(run({"scores", "--config", stage.config({.endpoints = endpoint})}).code == 0);
}

TEST_CASE("no HAProxy ends with 3, and the weights are reported all the same") {
  const Stage stage;
  const std::string endpoint = fmt::format("\"unix:{}\"", stage.folder.path("absent.sock"));
  const Result r = run({"once", "--config", stage.config({.endpoints = endpoint}), "--format", "json"});
  CHECK(r.code == 3);
  const auto doc = json(r.out);
  CHECK_FALSE(at(doc, "/haproxy/0/reachable").GetBool());
  CHECK(at(doc, "/haproxy/0/version").IsNull());
  CHECK(at(doc, "/haproxy/0/pid").IsNull());
  CHECK(contains(at(doc, "/haproxy/0/error").GetString(), "No such file"));
  CHECK(at(doc, "/backends/0/algorithm").IsNull());
  CHECK(at(doc, "/backends/0/servers/0/weight").GetUint() == 86);
  CHECK(at(doc, "/backends/0/servers/0/current_weight").IsNull());
  CHECK(run({"scores", "--config", stage.config({.endpoints = endpoint})}).code == 0);
  CHECK(run({"check", "--online", "--config", stage.config({.endpoints = endpoint})}).code == 3);
}

TEST_CASE("of two HAProxys the one that is there gets its weights") {
  const Stage stage;
  const std::string both =
      fmt::format("\"unix:{}\", \"unix:{}\"", stage.folder.path("absent.sock"), stage.haproxy.admin_socket());
  const Result r = run({"once", "--config", stage.config({.endpoints = both})});
  CHECK(r.code == 3);
  CHECK(stage.weights() == Weights{{"a", 86}, {"b", 85}, {"c", 85}});
}

TEST_CASE("a HAProxy that was stopped ends with 3 at the time-out") {
  Stage stage;
  const unsigned long before = requests_so_far(stage.haproxy);
  unsigned long mine = 0;
  SUBCASE("before") {
    stage.haproxy.pause();
  }
  SUBCASE("between reading and pushing") {
    // The answers come late enough to stop it after it has been read.
    for (sim::Provider* p : stage.providers) p->update([](sim::Behaviour& b) { b.latency_ms = 1500; });
  }
  Program program({"once", "--config", stage.config({.haproxy_timeout = "700ms"}), "--format", "json"});
  const auto start = Clock::now();
  REQUIRE(eventually([&] { return stage.contacts() >= 6; }));
  if (stage.providers[0]->behaviour().latency_ms > 0) {
    REQUIRE(eventually([&] { return requests_so_far(stage.haproxy) > before + ++mine; }));
    stage.haproxy.pause();
  }
  CHECK(program.wait() == 3);
  CHECK(Clock::now() - start < 10s);
  CHECK(contains(at(json(program.out()), "/haproxy/0/error").GetString(), "700 ms"));
}

TEST_CASE("of several exit codes the first in the order 4, 2, 3, 1, 0 is taken") {
  const Stage stage;
  for (std::size_t i = 0; i < 3; ++i) stage.break_provider(i);
  const std::string endpoint = fmt::format("\"unix:{}\"", stage.folder.path("absent.sock"));
  const std::string unwell = stage.config();
  CHECK(run({"scores", "--config", unwell}).code == 1);
  CHECK(run({"once", "--config", unwell}).code == 1);
  const std::string unwell_alone = stage.config({.endpoints = endpoint});
  CHECK(run({"scores", "--config", unwell_alone}).code == 1);
  CHECK(run({"once", "--config", unwell_alone}).code == 3);
  CHECK(run({"once", "--config", unwell_alone}, {.out_to = "/dev/full"}).code == 4);
  const std::string wrong = stage.config({.endpoints = endpoint, .probe = "fal = 1"});
  CHECK(run({"once", "--config", wrong}, {.out_to = "/dev/full"}).code == 2);
}

TEST_CASE("an output that cannot be written ends with 4") {
  const Stage stage;
  const std::string config = stage.config();
  const std::vector<std::vector<std::string>> commands{
      {"scores", "--config", config}, {"once", "--config", config}, {"check", "--config", config}, {"chains"}};
  for (const auto& command : commands) {
    CAPTURE(command.front());
    for (const char* out : {"/dev/full", "-"}) {
      const Result r = run(command, {.out_to = out});
      CHECK(r.code == 4);
      CHECK(contains(r.err, "standard output"));
    }
  }
}

TEST_CASE("too few open files end with 4, and the sentence says what helps") {
  const Stage stage;
  for (const char* command : {"scores", "once", "run", "check"}) {
    CAPTURE(command);
    const Result r = run({command, "--config", stage.config()}, {.open_files = 256});
    CHECK(r.code == 4);
    CHECK(contains(r.err, "hard limit is 256"));
    CHECK(contains(r.err, "max_in_flight"));
  }
  CHECK(stage.contacts() == 0);
  CHECK(run({"scores", "--config", stage.config({.probe = "max_in_flight = 16"})}, {.open_files = 256}).code == 0);
}

TEST_CASE("the soft limit on open files is raised as far as is needed") {
  const Stage stage;
  for (const char* command : {"scores", "once"}) {
    CAPTURE(command);
    CHECK(run({command, "--config", stage.config()}, {.soft_open_files = 16}).code == 0);
  }
  Program program({"run", "--config", stage.config()}, {.soft_open_files = 16});
  REQUIRE(program.says("unknown -> healthy", 3));
  std::ifstream limits(fmt::format("/proc/{}/limits", program.pid()));
  std::string soft;
  for (std::string line; std::getline(limits, line);)
    if (line.starts_with("Max open files")) std::istringstream(line.substr(14)) >> soft;
  CHECK(std::stoul(soft) >= 512 + stage.providers.size());
  CHECK(program.stop() == 0);
}

TEST_CASE("TLS files that cannot be used are a wrong configuration") {
  const Stage stage;
  for (const auto& [file, says] :
       {std::pair{std::string("absent.pem"), "absent.pem cannot be read: No such file"},
        std::pair{stage.folder.write("words.pem", "no certificate"), "words.pem cannot be used as ca_file: "}}) {
    const std::string key = fmt::format("ca_file = \"{}\"", file);
    for (const char* command : {"scores", "once", "run", "check"}) {
      const Result probe = run({command, "--config", stage.config({.probe = key})});
      CHECK(probe.code == 2);
      CHECK(contains(probe.err, ": probe.ca_file: "));
      CHECK_MESSAGE(contains(probe.err, says), probe.err);
      const Result haproxy = run({command, "--config", stage.config({.haproxy = key})});
      CHECK(haproxy.code == 2);
      CHECK(contains(haproxy.err, ": haproxy.ca_file: "));
      CHECK_MESSAGE(contains(haproxy.err, says), haproxy.err);
    }
  }
  CHECK(stage.contacts() == 0);
}

TEST_CASE("check shows how the file is understood, and warns") {
  const Stage stage;
  const std::string config = stage.config();
  const Result r = run({"check", "--config", config});
  CHECK(r.code == 0);
  CHECK(r.err == "");
  for (const char* word : {"haproxy", "probe", "rpc", "simchain", "equal"}) CHECK(contains(r.out, word));
  CHECK(stage.contacts() == 0);

  std::filesystem::permissions(config, std::filesystem::perms::others_read, std::filesystem::perm_options::add);
  const Result warned = run({"check", "--config", config});
  CHECK(warned.code == 0);
  CHECK(contains(warned.err, "all users"));
}

TEST_CASE("check warns of a budget that leaves probes further apart than a block may be old") {
  const Stage stage;
  const Result r = run({"check", "--config", stage.config({.probe = "budget = \"300/day\""})});
  CHECK(r.code == 0);
  CHECK_MESSAGE(contains(r.err, "backend.rpc.server.a: its budget leaves "), r.err);
  CHECK(contains(r.err, "what happens between two probes is seen by live traffic alone"));
}

TEST_CASE("top and explain say when another web server answers") {
  // Whatever the path, a provider of the stage answers with JSON that is no report.
  const Stage stage;
  const Result top = run({"top", "--url", stage.providers[0]->url()});
  CHECK(top.code == 4);
  CHECK_MESSAGE(contains(top.err, "no report since "), top.err);
  CHECK_MESSAGE(contains(top.err, "rpc-weighter"), top.err);
}

TEST_CASE("check --online asks every provider and changes nothing") {
  const Stage stage;
  const Weights before = stage.weights();
  const std::string config = stage.config();
  const Result well = run({"check", "--config", config, "--online"});
  CHECK(well.code == 0);
  CHECK(contains(well.out, "healthy"));
  CHECK(contains(well.out, "nothing was sent"));

  stage.break_provider(1);
  const Result one_ill = run({"check", "--config", config, "--online"});
  CHECK(one_ill.code == 1);
  CHECK(contains(one_ill.out, "http_status"));
  stage.mend_provider(1);

  auto& extra = const_cast<Stage&>(stage).world.add("extra");
  const std::string more = stage.folder.write("config.toml", stage.toml() + Stage::server(extra));
  CHECK(run({"check", "--config", more, "--online"}).code == 3);
  CHECK(stage.weights() == before);
}

TEST_CASE("chains lists what it knows") {
  const Result r = run({"chains"});
  CHECK(r.code == 0);
  CHECK(contains(r.out, "ethereum"));
  CHECK(contains(r.out, "12s"));
}

TEST_CASE("a key in a host name is in no report, no error and no file") {
  const Stage stage;
  const std::string keys =
      "[[backend.server]]\nname = \"d\"\nurl = \"http://HostKey.rpc.invalid/\"\nredact_host = true\n"
      "[[backend.server]]\nname = \"e\"\nurl = \"https://h0stk3yh0stk3yh0stk3y.rpc.invalid/\"\n"
      "[[backend.reference]]\nurl = \"http://h0stk3yh0stk3yh0stk3y.ref.invalid/\"\n";
  const std::string config = stage.folder.write("config.toml", stage.toml() + keys);
  const std::string state = stage.folder.path("state.json");
  const std::string recording = stage.folder.path("recording");
  std::string all;
  for (const char* format : {"table", "json", "csv"}) {
    const Result r = run({"scores", "--config", config, "--format", format, "--state", state});
    all += r.out + r.err;
  }
  CHECK(contains(all, "https://…invalid/…"));
  CHECK(contains(all, "…invalid does not resolve"));
  for (const char* command : {"check", "once"}) {
    const Result r = run({command, "--config", config});
    all += r.out + r.err;
  }
  {
    Program program({"run", "--config", config, "--record", recording});
    CHECK(program.says("rpc/d: "));
    CHECK(program.says("rpc/e: "));
    CHECK(program.stop() == 0);
    all += program.err();
  }
  for (const std::string& path : {state, recording}) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    CHECK(text.str().size() > 100);
    all += text.str();
  }
  for (const char* key : {"HostKey", "hostkey", "h0stk3y"}) CHECK_FALSE(contains(all, key));
}
