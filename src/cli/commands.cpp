#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <expected>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "agent/single_pass.hpp"
#include "base/text.hpp"
#include "base/wait_group.hpp"
#include "cli/ask_agent.hpp"
#include "cli/cli.hpp"
#include "cli/describe.hpp"
#include "cli/load.hpp"
#include "cli/pointers.hpp"
#include "cli/print.hpp"
#include "observe/explain.hpp"
#include "observe/log.hpp"
#include "observe/render.hpp"
#include "observe/render_top.hpp"
#include "rpc/http_client.hpp"
#include "store/state_file.hpp"
#include "weighter/plan/server_list.hpp"

namespace rpcw::cli {
namespace {

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view{} : std::string_view{value};
}

bool speaks_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    std::string value(environment(name));
    if (value.empty()) continue;
    std::ranges::transform(value, value.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return value.find("utf-8") != std::string::npos || value.find("utf8") != std::string::npos;
  }
  return false;
}

}  // namespace

observe::TableStyle table_style() {
  observe::TableStyle style;
  const bool terminal = isatty(STDOUT_FILENO) == 1;
  style.utf8 = speaks_utf8();
  style.colour = terminal && environment("NO_COLOR").empty() && environment("TERM") != "dumb";
  unsigned columns = 0;
  const std::string_view text = environment("COLUMNS");
  std::from_chars(text.data(), text.data() + text.size(), columns);
  winsize window{};
  if (columns == 0 && terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0) columns = window.ws_col;
  // In a file or a CI log nothing is cut off by a window, and long lines are easier to search.
  if (columns == 0) columns = terminal ? 80 : 160;
  style.width = std::clamp(columns, 60U, 240U);
  return style;
}

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw std::runtime_error(fmt::format("standard output cannot be written: {}", std::strerror(errno)));
}

namespace {

/// A single pass does not ask for the Lease, so the agent beside it says which one acts. With a newline; empty: the
/// agent is alone.
std::string standby_line(const config::Config& file) {
  constexpr std::chrono::milliseconds kNeighbour{1000};
  if (!file.standby.on()) return {};
  std::string trouble = "http.listen is \"\"";
  if (!file.http.listen.empty()) {
    const AgentAddress agent = agent_address(file.http.listen.front());
    trouble = fmt::format("no agent of this configuration answers at {}", agent.shown());
    const auto answer = ask_agent(agent, "/api/v1/status", kNeighbour);
    observe::TopState state;
    if (answer && answer->status == 200 && observe::read_top(answer->body, "", state) && state.standby &&
        state.standby->lease == file.standby.text())
      return fmt::format("Agent {}: {}\n", agent.shown(), observe::to_text(*state.standby));
  }
  return fmt::format("Lease {}: not known who holds it, as {}\n", file.standby.text(), trouble);
}

void print_report(const Report& report, Format format, const config::Config& file) {
  switch (format) {
    case Format::kTable:
      return print(observe::render_table(report, table_style()) + standby_line(file));
    case Format::kJson:
      return observe::write_json(report, print);
    case Format::kCsv:
      return print(observe::render_csv(report));
  }
}

PassResult make_pass(const config::Config& file, PassOptions options) {
  options.remark = [](const LogLine& line) { std::fprintf(stderr, "warning: %s\n", line.message.c_str()); };
  boost::asio::io_context io(1);
  std::optional<PassResult> result;
  boost::asio::co_spawn(
      io,
      [&]() -> boost::asio::awaitable<void> {
        result = co_await single_pass(io, file, std::move(options));
        // The loop still holds timers of requests whose answers are not needed.
        io.stop();
      },
      rethrow);
  io.run();
  return std::move(result.value());
}

/// What a pass knows from the one before, and leaves for the next, in the file of `--state`.
class Past {
 public:
  explicit Past(const Options& options) {
    if (!options.state_file.empty()) file_.emplace(options.state_file);
  }

  void join(PassOptions& pass) {
    if (!file_) return;
    pass.recall = [this](SystemState& state, Now now) {
      if (const auto warning = file_->load(state, now)) std::fprintf(stderr, "warning: %s\n", warning->c_str());
    };
    pass.keep = [this](const SystemState& state, Now now) { kept_ = file_->save(state, now); };
  }

  /// `code`, unless the file could not be written, which is then told.
  [[nodiscard]] int exit_code(int code) const {
    if (kept_) return code;
    std::fprintf(stderr, "%s\n", kept_.error().c_str());
    return kOwnError;
  }

 private:
  std::optional<store::StateFile> file_;
  std::expected<void, std::string> kept_;
};

int exit_code(const PassResult& result, bool haproxy_counts) {
  if (haproxy_counts && result.haproxy_trouble) return kHaproxy;
  return result.nothing_healthy ? kUnhealthy : kDone;
}

}  // namespace

int command_once(const Options& options) {
  auto config = load_config(options, Needs::kHaproxy);
  if (!config) return config.error();
  Past past(options);
  PassOptions pass{control::Mode::kOnce, options.dry_run, options.samples};
  past.join(pass);
  const PassResult result = make_pass(*config, pass);
  print_report(result.report, options.format, *config);
  return past.exit_code(exit_code(result, true));
}

int command_scores(const Options& options) {
  auto config = load_config(options, Needs::kNothing);
  if (!config) return config.error();
  Past past(options);
  PassOptions pass{control::Mode::kScores, false, options.samples};
  past.join(pass);
  const PassResult result = make_pass(*config, pass);
  print_report(result.report, options.format, *config);
  return past.exit_code(exit_code(result, false));
}

int command_explain(const ExplainOptions& options) {
  const auto agent = agent_address(options.agent);
  // A running agent knows more than one pass can find out. With a configuration whose agent does not run, one pass
  // does.
  std::string report;
  std::string trouble;
  if (agent) {
    auto answer = ask_agent(*agent, "/api/v1/status");
    if (answer && answer->status == 200)
      report = std::move(answer->body);
    else
      trouble = answer ? no_report(*agent, *answer) : answer.error();
  } else {
    trouble = agent.error();
  }
  if (report.empty() && options.agent.config_file.empty()) {
    std::fprintf(stderr, "no agent was reached (%s); --config FILE explains by a pass of its own\n", trouble.c_str());
    return agent ? kOwnError : kUsage;
  }
  if (report.empty()) {
    Options pass;
    pass.config_file = options.agent.config_file;
    auto config = load_config(pass, Needs::kNothing);
    if (!config) return config.error();
    std::fprintf(stderr, "no agent was reached (%s), so this is one pass of our own\n", trouble.c_str());
    report = observe::render_json(make_pass(*config, {control::Mode::kScores, false, 1}).report);
  }
  const auto text = observe::explain(report, options.backend, options.server);
  if (!text) {
    std::fprintf(stderr, "%s\n", text.error().c_str());
    return kUsage;
  }
  print(*text);
  return kDone;
}

int command_check(const Options& options) {
  auto config = load_config(options, options.online ? Needs::kRun : Needs::kNothing);
  if (!config) return config.error();
  print(describe(*config));
  if (!options.online) return kDone;
  const PassResult result = make_pass(*config, {control::Mode::kOnce, true, 1});
  print("\n");
  print_report(result.report, Format::kTable, *config);
  if (const std::string pointers = read_pointers(*config); !pointers.empty()) print("\n" + pointers);
  if (result.haproxy_trouble) return kHaproxy;
  const bool all_well = std::ranges::all_of(result.report.backends, [](const BackendReport& b) {
    return std::ranges::all_of(b.servers, [](const ServerReport& s) {
      return s.decision.state == State::kHealthy || s.decision.state == State::kDisabled;
    });
  });
  return all_well ? kDone : kUnhealthy;
}

}  // namespace rpcw::cli
