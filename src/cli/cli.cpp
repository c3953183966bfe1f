#include "cli/cli.hpp"

#include <fcntl.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <span>
#include <utility>

#include "base/text.hpp"
#include "base/version.hpp"
#include "cli/manual.hpp"
#include "cli/print.hpp"
#include "config/nearest.hpp"
#include "config/quantity.hpp"
#include "config/url.hpp"
#include "observe/log.hpp"

namespace rpcw::cli {
namespace {

/// Of the commands that say no other ones.
constexpr const char* kExitCodes =
    "Exit codes: 0 done; 1 a backend has no healthy server; 2 wrong command line or configuration;\n"
    "3 HAProxy was not reached, refused or did not confirm a command, or lacks a named backend or server;\n"
    "4 a file or port that cannot be used, or a bug.\n";

constexpr const char* kRunCodes =
    "Exit codes: 0 a signal stopped it; 2 wrong command line or configuration; 4 a file or port that cannot be used, or\n"
    "a bug.\n";
constexpr const char* kScoresCodes =
    "Exit codes: 0 done; 1 a backend has no healthy server; 2 wrong command line or configuration; 4 a file that cannot\n"
    "be used, or a bug.\n";
constexpr const char* kCheckCodes =
    "Exit codes: 0 the configuration can be used; 1 with --online, a provider is not well; 2 wrong command line or\n"
    "configuration; 3 with --online, HAProxy was not reached or lacks a named backend or server; 4 a bug.\n";
constexpr const char* kHealthCodes =
    "Exit codes: 0 the agent is well; 1 it is not, or does not answer; 2 wrong command line or configuration.\n";
constexpr const char* kTopCodes =
    "Exit codes: 0 done; 2 wrong command line or configuration; 4 no agent answers, or a bug.\n";
constexpr const char* kExplainCodes =
    "Exit codes: 0 done; 2 wrong command line or configuration, or there is no such server; 4 no agent answers and there\n"
    "is no --config, or a bug.\n";
constexpr const char* kReplayCodes =
    "Exit codes: 0 done; 2 wrong command line or configuration, or one that does not fit the recording; 4 a file that\n"
    "cannot be used, or a bug.\n";
constexpr const char* kChainsCodes = "Exit codes: 0 done; 2 wrong command line, or no such chain; 4 a bug.\n";
constexpr const char* kManualCodes = "Exit codes: 0 done; 2 wrong command line; 4 a bug.\n";
constexpr const char* kStatusCodes =
    "Exit codes: 0 done; 1 a backend has no server that serves; 2 wrong command line or configuration; 3 a HAProxy was\n"
    "not reached or lacks a named backend or server; 4 a bug.\n";
constexpr const char* kReadyCodes =
    "Exit codes: 0 done; 2 wrong command line or configuration, or refused and nothing sent; 3 a HAProxy was not\n"
    "reached, refused the command or lacks the server; 4 a bug.\n";
constexpr const char* kDrainCodes =
    "Exit codes: 0 done; 1 sessions are still open after --wait; 2 wrong command line or configuration, or refused and\n"
    "nothing sent; 3 a HAProxy was not reached, refused the command or lacks the server; 4 a bug.\n";
constexpr const char* kDiscoverCodes =
    "Exit codes: 0 done; 1 there is no backend to manage; 2 wrong command line; 3 HAProxy was not reached; 4 a bug.\n";

void add_config(CLI::App& command, Options& options) {
  command.add_option("-c,--config", options.config_file, "The configuration (TOML)")->required()->type_name("FILE");
  command.add_option("-b,--backend", options.backends, "Only this backend; may be repeated")
      ->type_name("NAME")
      ->take_all()
      ->allow_extra_args(false);
}

void add_agent(CLI::App& command, AgentOptions& options) {
  CLI::Option* file =
      command.add_option("-c,--config", options.config_file, "The configuration of a running agent (TOML)")
          ->type_name("FILE");
  command
      .add_option("--url", options.url,
                  "Where it serves: http://HOST:PORT or unix:PATH (default: http://127.0.0.1:9404)")
      ->type_name("URL")
      ->excludes(file);
}

void add_dry_run(CLI::App& command, Options& options) {
  command.add_flag("-n,--dry-run", options.dry_run, "Do everything but the sending");
}

/// Such as a variable that is not set gives.
CLI::Validator not_empty() {
  return {[](const std::string& path) { return std::string(path.empty() ? "is empty" : ""); }, ""};
}

void add_state(CLI::App& command, Options& options) {
  command.add_option("--state", options.state_file, "Keep the history in this file from one pass or run to the next")
      ->check(not_empty())
      ->type_name("FILE");
}

template <typename CommandOptions>
void add_format(CLI::App& command, CommandOptions& options) {
  static const std::map<std::string, Format> kFormats{
      {"table", Format::kTable}, {"json", Format::kJson}, {"csv", Format::kCsv}};
  // Not a CLI::Transformer: it would take the enum's numbers as well.
  command
      .add_option_function<std::string>(
          "-f,--format", [&options](const std::string& name) { options.format = kFormats.at(name); },
          "table, json or csv (default: table)")
      ->check(CLI::IsMember({"table", "json", "csv"}).description(""))
      ->type_name("F");
}

void add_pass(CLI::App& command, Options& options) {
  add_format(command, options);
  command.add_option("--samples", options.samples, "Probes of each server (1 to 100, default 1)")
      ->check(CLI::Range(1U, 100U).description(""))
      ->type_name("N");
}

/// Of `drain` and `ready`.
void add_place(CLI::App& command, MaintenanceOptions& options) {
  command.add_option("-c,--config", options.common.config_file, "The configuration (TOML): where HAProxy is")
      ->required()
      ->type_name("FILE");
  command.add_option("place", options.place, "The server, as HAProxy names it")
      ->required()
      ->type_name("BACKEND/SERVER");
  command.add_flag("-n,--dry-run", options.common.dry_run, "Say what would be sent, and send nothing");
}

CLI::Validator a_wait() {
  static constexpr milliseconds kLongest{std::chrono::hours{24}};
  return {[](const std::string& text) {
            const auto value = config::parse_duration(text);
            return std::string(value && *value <= kLongest ? "" : "expected a duration such as 30s, at most 24h");
          },
          ""};
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> out;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    out.push_back(command->get_name());
  return out;
}

int print_manual(const CLI::App& app, const std::string& what) {
  print(what == "man"    ? manual_page(app)
        : what == "bash" ? bash_completion(app)
        : what == "zsh"  ? zsh_completion(app)
                         : fish_completion(app));
  return kDone;
}

int unknown_command(const std::vector<std::string>& names, std::string_view word) {
  const std::vector<std::string_view> known(names.begin(), names.end());
  const std::vector<std::string_view> near = config::nearest(word, known);
  std::fprintf(stderr, "rpc-weighter: there is no command \"%s\"; %s\n", harmless(word).c_str(),
               near.empty() ? "`rpc-weighter --help` lists them" : config::did_you_mean(near).c_str());
  return kUsage;
}

/// As a message shows it: a URL may hold a key.
std::string shown_argument(std::string_view word) {
  const bool url = word.find("://") != std::string_view::npos || word.find('@') != std::string_view::npos;
  return url ? url::redact(word) : harmless(word);
}

/// Of a command line, the words that no option takes, in its order. CLI11 has them in another one.
std::vector<std::string> unexpected_words(const CLI::App& app, std::span<const char* const> words) {
  std::vector<std::string> left = app.remaining(true);
  std::vector<std::string> out;
  for (const char* const word : words)
    if (const auto at = std::ranges::find(left, word); at != left.end()) {
      out.push_back(std::move(*at));
      left.erase(at);
    }
  // What CLI11 has split, such as -xy.
  out.insert(out.end(), left.begin(), left.end());
  return out;
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> out;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) out.push_back("--" + name);
    for (const std::string& name : option->get_snames()) out.push_back("-" + name);
  }
  return out;
}

/// Says what `words` are, which were not expected. Returns the options that are meant, misspelt or not.
std::vector<std::string> tell_unexpected(const CLI::App& app, const std::vector<std::string>& words) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  const CLI::App& command = chosen.empty() ? app : *chosen.front();
  const std::vector<std::string> names = option_names(command);
  const std::vector<std::string_view> known(names.begin(), names.end());
  std::vector<std::string> meant;
  std::string misplaced;
  bool option = false;
  bool unknown_before = false;
  for (const std::string& word : words) {
    const std::string name = word.substr(0, word.find('='));
    const bool dashed = name.size() > 1 && name.starts_with('-');
    const bool unknown = dashed && std::ranges::find(names, name) == names.end();
    if (unknown) {
      // One letter is like any other.
      const auto near = name.size() > 2 ? config::nearest(name, known) : std::vector<std::string_view>{};
      std::fprintf(stderr, "rpc-weighter: %s has no option \"%s\"; %s\n", command.get_name().c_str(),
                   shown_argument(name).c_str(),
                   near.empty() ? fmt::format("`rpc-weighter {} --help` lists them", command.get_name()).c_str()
                                : config::did_you_mean(near).c_str());
      meant.insert(meant.end(), near.begin(), near.end());
    } else if (dashed || !unknown_before) {
      misplaced += " " + shown_argument(word);
      if (dashed) meant.push_back(name);
      option = option || dashed;
    }
    // What follows it is its value.
    unknown_before = unknown && word.size() == name.size();
  }
  if (!misplaced.empty())
    std::fprintf(stderr, "not expected here:%s%s\n", misplaced.c_str(),
                 option ? " (options come after the command)" : "");
  return meant;
}

/// Says why a command line cannot be used, and returns the exit code.
int refuse(const CLI::App& app, const CLI::ParseError& error, std::span<const char* const> words) {
  const bool extra = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
  const bool missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  const std::vector<std::string> rest = extra || missing ? unexpected_words(app, words) : std::vector<std::string>{};
  // CLI11's own numbers (106 and the like) mean nothing to our callers.
  if (rest.empty()) return app.exit(error) == 0 ? kDone : kUsage;
  // What is missing is often there, misspelt or in a place where it is not looked for.
  const std::vector<std::string> meant = tell_unexpected(app, rest);
  const std::string_view what = error.what();
  const bool told = std::ranges::any_of(meant, [&](const std::string& name) { return what.starts_with(name + " "); });
  if (missing && !told) std::fprintf(stderr, "%s\n", error.what());
  std::fprintf(stderr, "Run with --help for more information.\n");
  return kUsage;
}

/// How long the last lines of the log may take at the end.
constexpr std::chrono::milliseconds kLastLines{1000};

/// A standard descriptor that is closed would be the next file or socket that is opened, and the log would be written
/// into that. Opened so that using it still fails.
void occupy_standard_descriptors() {
  for (int fd = 0; fd <= 2; ++fd)
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF)
      static_cast<void>(::open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY));
}

/// A core file would hold every key. The hard limit stays: `prlimit --core=unlimited --pid PID` undoes it.
void write_no_core_file() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_CORE, &limit) != 0) return;
  limit.rlim_cur = 0;
  static_cast<void>(::setrlimit(RLIMIT_CORE, &limit));
}

/// What the command line says, and the command that it chooses. CLI11 keeps references to it.
struct CommandLine {
  Options options;
  AgentOptions agent;
  TopOptions top;
  ExplainOptions explained;
  MaintenanceOptions maintenance;
  DiscoverOptions discover;
  ChainsOptions chains;
  std::string manual;
  std::function<int()> action;
};

/// A command of that name, which does `action`.
CLI::App& add_command(CLI::App& app, CommandLine& line, const char* name, const char* description,
                      std::function<int()> action) {
  CLI::App* const command = app.add_subcommand(name, description);
  command->callback([&line, action = std::move(action)] { line.action = action; });
  return *command;
}

void add_passes(CLI::App& app, CommandLine& line) {
  Options& options = line.options;
  CLI::App& run = add_command(app, line, "run", "Probe, decide and push until stopped (SIGHUP re-reads the file)",
                              [&] { return command_run(options); });
  run.footer(kRunCodes);
  add_config(run, options);
  add_dry_run(run, options);
  add_state(run, options);
  run.add_option("--record", options.record_file, "Record what is observed and decided, for `replay`")
      ->check(not_empty())
      ->type_name("FILE");

  CLI::App& once =
      add_command(app, line, "once", "One pass: probe, decide, push, report", [&] { return command_once(options); });
  add_config(once, options);
  add_dry_run(once, options);
  add_pass(once, options);
  add_state(once, options);

  CLI::App& scores = add_command(app, line, "scores", "One pass, nothing pushed; needs no HAProxy",
                                 [&] { return command_scores(options); });
  scores.footer(kScoresCodes);
  add_config(scores, options);
  add_pass(scores, options);
  add_state(scores, options);
}

void add_check(CLI::App& app, CommandLine& line) {
  CLI::App& check = add_command(app, line, "check", "Validate the configuration and show how it is understood",
                                [&] { return command_check(line.options); });
  check.footer(kCheckCodes);
  add_config(check, line.options);
  check.add_flag("--online", line.options.online, "Also ask HAProxy and every provider; sets no weight");
}

/// What is asked of a running agent.
void add_questions(CLI::App& app, CommandLine& line) {
  CLI::App& health = add_command(app, line, "health", "Ask a running agent whether it is well; 0 or 1",
                                 [&] { return command_health(line.agent); });
  health.footer(kHealthCodes);
  add_agent(health, line.agent);

  CLI::App& top = add_command(app, line, "top", "The live table of a running agent in the terminal",
                              [&] { return command_top(line.top); });
  top.footer(kTopCodes);
  add_agent(top, line.top.agent);
  top.add_flag("--no-color", line.top.no_colour, "No colours; so does NO_COLOR in the environment");

  CLI::App& explain = add_command(app, line, "explain", "How the score and the weight of one server are made",
                                  [&] { return command_explain(line.explained); });
  explain.footer(kExplainCodes);
  add_agent(explain, line.explained.agent);
  explain.add_option("-b,--backend", line.explained.backend, "Its backend")->required()->type_name("NAME");
  explain.add_option("-s,--server", line.explained.server, "The server")->required()->type_name("NAME");
}

void add_replay(CLI::App& app, CommandLine& line) {
  CLI::App& replay =
      add_command(app, line, "replay", "What a recording of `run` gives under this configuration; needs no network",
                  [&] { return command_replay(line.options); });
  replay.footer(kReplayCodes);
  add_config(replay, line.options);
  add_format(replay, line.options);
  replay.add_option("recording", line.options.recordings, "What run --record wrote; several files: the oldest first")
      ->required()
      ->type_name("RECORDING");
}

void add_maintenance(CLI::App& app, CommandLine& line) {
  MaintenanceOptions& options = line.maintenance;
  CLI::App& drain = add_command(app, line, "drain", "Take a server out of HAProxy; sessions that are open go on",
                                [&] { return command_drain(options); });
  drain.footer(kDrainCodes);
  add_place(drain, options);
  drain
      .add_option_function<std::string>(
          "--wait", [&](const std::string& text) { options.wait = *config::parse_duration(text); },
          "Wait until no session is open, at most this long; 1 if some still are")
      ->check(a_wait())
      ->type_name("DURATION");
  drain.add_flag("--force", options.force, "Even if no other server of the backend serves then");

  CLI::App& ready = add_command(app, line, "ready", "Put a server back that was drained or in maintenance",
                                [&] { return command_ready(options); });
  ready.footer(kReadyCodes);
  add_place(ready, options);

  CLI::App& status =
      add_command(app, line, "status", "What HAProxy says of its servers: state, weight, open sessions; probes nothing",
                  [&] { return command_status(options); });
  status.footer(kStatusCodes);
  add_config(status, options.common);
  status.add_option("place", options.place, "Only this backend or server")->type_name("BACKEND[/SERVER]");
  add_format(status, options.common);
}

void add_discover(CLI::App& app, CommandLine& line) {
  DiscoverOptions& options = line.discover;
  CLI::App& discover = add_command(app, line, "discover", "Print a configuration to start from, for what HAProxy has",
                                   [&] { return command_discover(options); });
  discover.footer(kDiscoverCodes);
  discover.add_option("--haproxy", options.endpoint, "unix:PATH, tcp:HOST:PORT, dns:NAME:PORT or master:unix:PATH")
      ->required()
      ->type_name("ENDPOINT");
  discover
      .add_option("-b,--backend", options.backends, "Only this backend, even if it would be left out; may be repeated")
      ->type_name("NAME")
      ->take_all()
      ->allow_extra_args(false);
  discover.add_flag("--probe", options.probe, "Ask the servers what they speak and which chain they are on");
  discover.add_option("--ca-file", options.ca_file, "TLS to HAProxy: who is trusted (PEM)")->type_name("FILE");
  discover.add_option("--cert-file", options.cert_file, "TLS to HAProxy: our certificate")->type_name("FILE");
  discover.add_option("--key-file", options.key_file, "TLS to HAProxy: its key")->type_name("FILE");
}

void add_chains(CLI::App& app, CommandLine& line) {
  CLI::App& chains = add_command(app, line, "chains", "The chains it knows and their limits",
                                 [&] { return command_chains(line.chains); });
  chains.footer(kChainsCodes);
  chains.add_option("name", line.chains.name, "Show this one, with its requests as curl lines")->type_name("NAME");
  add_format(chains, line.chains);
}

/// For packagers: not in the help.
void add_manual(CLI::App& app, CommandLine& line) {
  CLI::App& manual = add_command(app, line, "manual", "Print the manual page, or a shell's completions",
                                 [&] { return print_manual(app, line.manual); });
  manual.group("");
  manual.footer(kManualCodes);
  manual.add_option("what", line.manual, "man, bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"man", "bash", "zsh", "fish"}).description(""));
}

int run_command(int argc, const char* const* argv) try {
  // A peer that closes early must be an error of one exchange, not the end of the program.
  std::signal(SIGPIPE, SIG_IGN);
  // So must a limit on the size of files.
  std::signal(SIGXFSZ, SIG_IGN);

  CommandLine line;
  CLI::App app("Keeps HAProxy server weights in step with the health of blockchain RPC providers.", "rpc-weighter");
  app.footer(kExitCodes);
  const std::string built_from = revision().empty() ? "" : fmt::format(" ({})", revision());
  app.set_version_flag("--version", fmt::format("rpc-weighter {}{}", version(), built_from));
  app.require_subcommand(1);
  // In the order of the help.
  add_passes(app, line);
  add_check(app, line);
  add_questions(app, line);
  add_replay(app, line);
  add_maintenance(app, line);
  add_discover(app, line);
  add_chains(app, line);
  add_manual(app, line);

  if (argc < 2) {
    std::fprintf(stderr, "%s", app.help().c_str());
    return kUsage;
  }
  const std::vector<std::string> names = command_names(app);
  if (const std::string_view word = argv[1]; !word.starts_with('-') && std::ranges::find(names, word) == names.end())
    return unknown_command(names, word);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return refuse(app, e, std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
  }
  return line.action();
} catch (const std::exception& e) {
  std::fprintf(stderr, "rpc-weighter: %s\n", e.what());
  return kOwnError;
}

}  // namespace

int run(int argc, const char* const* argv) {
  occupy_standard_descriptors();
  write_no_core_file();
  const int code = run_command(argc, argv);
  log::flush(kLastLines);
  return code;
}

}  // namespace rpcw::cli
