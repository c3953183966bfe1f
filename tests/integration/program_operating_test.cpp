// What operators rely on besides HTTP itself: systemd, explain, the alerts and the dashboard.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "integration/http_get.hpp"
#include "integration/notify_socket.hpp"
#include "integration/program_stage.hpp"
#include "integration/terminal.hpp"

using namespace rpcw::test;

namespace {

const Weights kAll{{"a", 86}, {"b", 85}, {"c", 85}};

std::string listen_on(std::uint16_t port) {
  return fmt::format("\"127.0.0.1:{}\"", port);
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string file(std::string_view name) {
  std::ifstream in(std::string(RPCW_SOURCE) + "/" + std::string(name));
  std::ostringstream out;
  out << in.rdbuf();
  REQUIRE(out.str().size() > 100);
  return out.str();
}

/// Names of metrics in PromQL, with the names of labels that are asked of each.
std::map<std::string, std::set<std::string>> metrics_in(const std::string& text) {
  std::map<std::string, std::set<std::string>> out;
  static const std::regex kMetric(R"re(\b((?:rpc_weighter|process)_\w+)(?:\{([^}]*)\})?)re");
  static const std::regex kLabel(R"re((\w+)\s*(?:=~|!~|!=|=)\s*\\?["'])re");
  for (std::sregex_iterator m(text.begin(), text.end(), kMetric), end; m != end; ++m) {
    std::set<std::string>& labels = out[(*m)[1]];
    const std::string inside = (*m)[2];
    for (std::sregex_iterator l(inside.begin(), inside.end(), kLabel); l != end; ++l) labels.insert((*l)[1]);
  }
  return out;
}

}  // namespace

TEST_CASE("systemd is told when the first weights are set, of reloads, and of the end") {
  const Stage stage;
  for (std::size_t i = 0; i < 3; ++i) stage.providers[i]->set({.fault = sim::Fault::hang});
  NotifySocket systemd(stage.folder.path("notify"));
  const std::string config = stage.config();
  Program program({"run", "--config", config}, {.environment = {systemd.variable(), "WATCHDOG_USEC=400000"}});
  CHECK(systemd.next("WATCHDOG=1") == "WATCHDOG=1");
  for (std::size_t i = 0; i < 3; ++i) stage.mend_provider(i);
  const std::string ready = systemd.next("READY=1");
  // As many as the first decision found well: none, by the fallback, if all probes of the first round timed out.
  CHECK(ready.starts_with("READY=1\nSTATUS="));
  CHECK(ready.find(" of 3 servers of 1 backend healthy") != std::string::npos);
  CHECK(ready.ends_with("; HAProxy answers"));
  CHECK(stage.reaches(kAll));

  stage.break_provider(1);
  CHECK(systemd.next("STATUS=2 of 3 servers") == "STATUS=2 of 3 servers of 1 backend healthy; HAProxy answers");
  program.signal(SIGHUP);
  const std::string reloading = systemd.next("RELOADING=1");
  CHECK(std::regex_match(reloading, std::regex("RELOADING=1\nMONOTONIC_USEC=[0-9]+")));
  CHECK(systemd.next("READY=1").starts_with("READY=1\nSTATUS=2 of 3"));
  stage.folder.write("config.toml", "nonsense");
  program.signal(SIGHUP);
  CHECK_FALSE(systemd.next("RELOADING=1").empty());
  CHECK_FALSE(systemd.next("READY=1").empty());
  CHECK(systemd.next("WATCHDOG=1") == "WATCHDOG=1");
  program.signal(SIGTERM);
  CHECK(systemd.next("STOPPING=1") == "STOPPING=1");
  CHECK(program.wait() == 0);
}

TEST_CASE("systemd is told that it is ready without a HAProxy") {
  Stage stage;
  stage.haproxy.stop();
  NotifySocket systemd(stage.folder.path("notify"));
  Program program({"run", "--config", stage.config()}, {.environment = {systemd.variable()}});
  CHECK(contains(systemd.next("READY=1"), "0 of 1 HAProxys answer"));
  CHECK(program.stop() == 0);
}

TEST_CASE("explain: from a running agent, and else by one pass") {
  const Stage stage;
  const std::uint16_t port = free_port();
  const std::string config = stage.config({.listen = listen_on(port), .backend = "strategy = \"adaptive\""});
  const Result pass = run({"explain", "--config", config, "--backend", "rpc", "--server", "b"});
  CHECK(pass.code == 0);
  CHECK(contains(pass.err, "one pass of our own"));
  CHECK(pass.out.starts_with("b of rpc is healthy.\n"));

  Program program({"run", "--config", config});
  REQUIRE(eventually([&] { return http_get(port, "/readyz").status == 200; }));
  stage.break_provider(1);
  REQUIRE(eventually([&] { return stage.weights().at("b") == 0; }));
  Result running;
  REQUIRE(eventually([&] {
    running = run({"explain", "--config", config, "--backend", "rpc", "--server", "b"});
    return running.out.starts_with("b of rpc is ejected.\n");
  }));
  CHECK(running.code == 0);
  CHECK(running.err == "");
  CHECK(contains(running.out, "  http_status: HTTP 503"));
  CHECK(contains(running.out, "weight = 0"));
  const std::string url = fmt::format("http://127.0.0.1:{}", port);
  const Result healthy = run({"explain", "--url", url, "--backend", "rpc", "--server", "a"});
  // The sentence ends in the number of the report.
  const auto report = json(http_get(port, "/api/v1/status").body);
  CHECK(contains(healthy.out, fmt::format("\nweight = {},", at(report, "/backends/0/servers/0/weight").GetInt())));
  CHECK(contains(healthy.out, "\nscore = 1 × 1 × 1 × 1 × 1 × 1 ÷ (max("));

  CHECK(run({"explain", "--url", url, "--backend", "rpc", "--server", "z"}).code == 2);
  CHECK(contains(run({"explain", "--url", url, "--backend", "x", "--server", "a"}).err, "there are rpc"));
  CHECK(program.stop() == 0);
  CHECK(run({"explain", "--url", url, "--backend", "rpc", "--server", "a"}).code == 4);
}

TEST_CASE("every metric and label of the alerts and the dashboard is in a real scrape") {
  // A server that the file does not name makes a note, one that fails a reason and an ejection.
  const Stage stage(3, "");
  const std::uint16_t port = free_port();
  Program program({"run", "--config", stage.config({.listen = listen_on(port)})});
  REQUIRE(eventually([&] { return http_get(port, "/readyz").status == 200; }));
  stage.break_provider(1);
  std::string scraped;
  REQUIRE(eventually([&] {
    scraped = http_get(port, "/metrics").body;
    return contains(scraped, "reason=\"http_status\"} 1\n");
  }));
  std::map<std::string, std::set<std::string>> known = metrics_in(scraped);
  // These are the scraped target's, not ours.
  static const std::set<std::string> kTarget{"instance", "job", "namespace", "pod", "region"};
  for (const char* name :
       {"deploy/prometheus/rules.yaml", "deploy/prometheus/rules_test.yaml", "deploy/grafana/rpc-weighter.json"}) {
    const auto used = metrics_in(file(name));
    CHECK(used.size() > 8);
    for (const auto& [metric, labels] : used) {
      CAPTURE(metric);
      REQUIRE(known.contains(metric));
      // Without traffic, or a note, the family is there without a sample.
      if (!contains(scraped, metric + "{")) continue;
      for (const std::string& label : labels)
        CHECK_MESSAGE((kTarget.contains(label) || known.at(metric).contains(label)), label);
    }
  }
  CHECK(program.stop() == 0);
}

TEST_CASE("the alerts are what promtool accepts, and each fires when it should and not else") {
  for (const char* command :
       {"promtool check rules deploy/prometheus/rules.yaml", "promtool test rules deploy/prometheus/rules_test.yaml"}) {
    Process promtool("/bin/sh", {.arguments = {"-c", fmt::format("cd '{}' && {}", RPCW_SOURCE, command)},
                                 .environment = {"PATH=/usr/local/bin:/usr/bin:/bin"}});
    CHECK(promtool.wait() == 0);
    CHECK(contains(promtool.out(), "SUCCESS"));
  }
  // Each alert names a part of the page that is there.
  const std::string rules = file("deploy/prometheus/rules.yaml");
  const std::string page = file("docs/operating.md");
  static const std::regex kRunbook("runbook: docs/operating.md#([a-z-]+)");
  std::size_t count = 0;
  for (std::sregex_iterator m(rules.begin(), rules.end(), kRunbook), end; m != end; ++m, ++count) {
    std::string title = (*m)[1];
    std::ranges::replace(title, '-', ' ');
    title[0] = static_cast<char>(std::toupper(title[0]));
    if (title.starts_with("Haproxy")) title.replace(0, 7, "HAProxy");
    CHECK_MESSAGE(contains(page, "\n### " + title + "\n"), title);
  }
  CHECK(count == 15);
}

// ---- the manual and the shells

namespace {

Result shell(const std::string& program, std::vector<std::string> arguments) {
  Process process(program,
                  {.arguments = std::move(arguments),
                   .environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "TERM=dumb", "LC_ALL=C.UTF-8"}});
  Result out;
  out.code = process.wait().value_or(-1);
  out.out = process.out();
  out.err = process.err();
  return out;
}

}  // namespace

TEST_CASE("the manual page and the completions are current") {
  CHECK(run({"manual", "man"}).out == file("share/man/rpc-weighter.1"));
  CHECK(run({"manual", "bash"}).out == file("share/completions/rpc-weighter.bash"));
  CHECK(run({"manual", "zsh"}).out == file("share/completions/_rpc-weighter"));
  CHECK(run({"manual", "fish"}).out == file("share/completions/rpc-weighter.fish"));
  CHECK(run({"manual", "csh"}).code == 2);
  CHECK_FALSE(contains(run({"--help"}).out, "manual"));
}

TEST_CASE("man finds nothing wrong with the manual pages") {
  for (const char* name : {"rpc-weighter.1", "rpc-weighter.toml.5"}) {
    const Result page =
        shell("/usr/bin/man", {"--warnings", "-E", "UTF-8", "-l", fmt::format("{}/share/man/{}", RPCW_SOURCE, name)});
    CHECK(page.code == 0);
    CHECK(page.err == "");
    CHECK(contains(page.out, "rpc-weighter"));
  }
}

/// `zsh -c kTabInZsh zsh FOLDER LINE` prints what the line is after a tab, in an interactive zsh with the completions
/// of FOLDER. zsh completes only at a terminal, hence the pseudo-terminal; control-T shows the line and ends it.
constexpr std::string_view kTabInZsh = R"(
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1= PS2= RPS1=; unsetopt zle_bracketed_paste beep prompt_cr prompt_sp; fpath=(${(q)1} \$fpath)
autoload -Uz compinit; compinit -u -D
show() { zle -I; print -r -- \"<<\$BUFFER>>\"; BUFFER=; }; zle -N show
bindkey '^I' complete-word '^T' show; print ready'!'"
zpty -r -m shell out '*ready!*'
zpty -w -n shell "$2"$'\t\x14'
zpty -r -m shell out '*<<*>>*'
print -r -- ${${out##*<<}%%>>*}
zpty -d shell
)";

TEST_CASE("completions in a real bash, fish and zsh") {
  const std::string folder = std::string(RPCW_SOURCE) + "/share/completions/";
  const auto bash = [&](const std::string& words) {
    return shell("/bin/bash", {"-c", fmt::format("source '{}rpc-weighter.bash'; COMP_WORDS=({}); "
                                                 "COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _rpc_weighter; "
                                                 "echo \"${{COMPREPLY[*]}}\"",
                                                 folder, words)})
        .out;
  };
  CHECK(bash("rpc-weighter on") == "once\n");
  CHECK(bash("rpc-weighter once --sam") == "--samples\n");
  CHECK(bash("rpc-weighter once --format c") == "csv\n");
  CHECK(contains(bash("rpc-weighter check --config /etc/pass"), "/etc/passwd"));
  const auto fish = [&](const std::string& line) {
    return shell("/usr/bin/fish",
                 {"--no-config", "-c", fmt::format("source '{}rpc-weighter.fish'; complete -C'{}'", folder, line)})
        .out;
  };
  CHECK(fish("rpc-weighter on").starts_with("once\t"));
  CHECK(contains(fish("rpc-weighter once --sam"), "--samples\t"));
  CHECK(contains(fish("rpc-weighter once --format c"), "csv"));
  const auto zsh = [&](const std::string& line) {
    return shell("/usr/bin/zsh", {"-f", "-c", std::string(kTabInZsh), "zsh", folder, line}).out;
  };
  CHECK(zsh("rpc-weighter on") == "rpc-weighter once \n");
  CHECK(zsh("rpc-weighter once --sam") == "rpc-weighter once --samples \n");
  CHECK(zsh("rpc-weighter once --format c") == "rpc-weighter once --format csv \n");
  CHECK(zsh("rpc-weighter check --config /etc/pass") == "rpc-weighter check --config /etc/passwd\n");
}

// ---- top

TEST_CASE("top: follows an agent in a terminal through faults, resizes and its end") {
  const Stage stage;
  const std::uint16_t port = free_port();
  const std::string config = stage.config({.listen = listen_on(port)});
  const std::string url = fmt::format("http://127.0.0.1:{}", port);
  const Result none = run({"top", "--url", url});
  CHECK(none.code == 4);
  CHECK(contains(none.err, "Is `rpc-weighter run` running?"));

  std::optional<Program> program(std::in_place, std::vector<std::string>{"run", "--config", config});
  REQUIRE(eventually([&] { return http_get(port, "/readyz").status == 200; }));
  const Result plain = run({"top", "--config", config});
  CHECK(plain.code == 0);
  CHECK(contains(plain.out, "SERVER"));
  CHECK_FALSE(contains(plain.out, "\x1b"));

  Terminal terminal({"top", "--url", url}, 80);
  CHECK(terminal.shows("\x1b[32mhealthy"));
  stage.break_provider(1);
  CHECK(terminal.shows("\x1b[31mejected"));
  CHECK(terminal.shows("q quit"));
  CHECK(terminal.widest() <= 80);
  CHECK_FALSE(terminal.seen("LATENCY, HOUR"));
  terminal.resize(120);
  CHECK(terminal.shows("LATENCY, HOUR"));
  CHECK(terminal.widest() <= 120);
  terminal.type("s");
  CHECK(terminal.shows("sort: share"));
  terminal.type("p");
  CHECK(terminal.shows("paused"));
  terminal.type("p");
  CHECK(program->stop() == 0);
  CHECK(terminal.shows("no answer since "));
  program.emplace(std::vector<std::string>{"run", "--config", config});
  REQUIRE(eventually([&] { return http_get(port, "/readyz").status == 200; }));
  CHECK(terminal.shows("\x1b[32mhealthy"));
  terminal.type("q");
  CHECK(terminal.wait() == 0);

  Terminal colourless({"top", "--url", url, "--no-color"}, 80);
  CHECK(colourless.shows("healthy"));
  CHECK_FALSE(colourless.seen("\x1b[32m"));
  colourless.type("q");
  CHECK(colourless.wait() == 0);
  CHECK(program->stop() == 0);
}
