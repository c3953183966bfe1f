#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <string>

#include "cli/ask_agent.hpp"
#include "cli/print.hpp"
#include "observe/render_top.hpp"

// Written to the terminal by hand: what is drawn is a screen of lines once a second, for which ncurses would be another
// dependency and no less code.
namespace rpcw::cli {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kRedraw = 1s;
/// The history has a new point every ten seconds.
constexpr auto kHistory = 10s;
constexpr std::chrono::milliseconds kAnswer{2000};

volatile std::sig_atomic_t ended = 0;

/// The terminal without echo and line editing, on its second screen; as it was at the end.
class Screen {
 public:
  Screen() {
    tcgetattr(STDIN_FILENO, &before_);
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    print("\x1b[?1049h\x1b[?25l");
  }
  ~Screen() {
    std::fputs("\x1b[?25h\x1b[?1049l", stdout);
    std::fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  /// Leaves a view of an unknown terminal at 80 by 24.
  static void measure(observe::TopView& view) {
    winsize window{};
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 && window.ws_row > 0;
    view.columns = known ? std::max<std::size_t>(window.ws_col, 40) : 80;
    view.rows = known ? std::max<std::size_t>(window.ws_row, 5) : 24;
  }

  static void draw(const observe::TopState& state, const observe::TopView& view) {
    std::string out = "\x1b[H";
    const auto lines = observe::render_top(state, view);
    for (std::size_t i = 0; i < lines.size(); ++i) out += lines[i] + "\x1b[K" + (i + 1 < lines.size() ? "\r\n" : "");
    print(out + "\x1b[J");
  }

 private:
  termios before_{};
};

class Top {
 public:
  Top(AgentAddress agent, observe::TopView view) : agent_(std::move(agent)), view_(std::move(view)) {}

  /// Until the user or a signal ends it.
  void run() {
    const Screen screen;
    auto next = Clock::now();
    while (ended == 0) {
      if (Clock::now() >= next) {
        next = Clock::now() + kRedraw;
        if (!view_.paused) read();
      }
      Screen::measure(view_);
      Screen::draw(state_, view_);
      if (!wait_for_key(next)) return;
    }
  }

  /// False: the agent does not answer; `view().trouble` says why.
  bool read() {
    if (Clock::now() >= next_history_) {
      next_history_ = Clock::now() + kHistory;
      if (const auto hour = ask_agent(agent_, "/api/v1/history", kAnswer); hour && hour->status == 200)
        history_ = hour->body;
    }
    const auto status = ask_agent(agent_, "/api/v1/status", kAnswer);
    if (status && status->status == 200 && observe::read_top(status->body, history_, state_)) {
      view_.trouble.clear();
      return true;
    }
    if (view_.trouble.empty()) {
      const std::time_t now = std::time(nullptr);
      std::tm local{};
      localtime_r(&now, &local);
      since_ = fmt::format("{:02}:{:02}:{:02}", local.tm_hour, local.tm_min, local.tm_sec);
    }
    view_.trouble = status ? fmt::format("no report since {}: {}", since_, no_report(agent_, *status))
                           : fmt::format("no answer since {}: {}", since_, status.error());
    return false;
  }

  [[nodiscard]] const observe::TopView& view() const { return view_; }
  [[nodiscard]] const observe::TopState& state() const { return state_; }

 private:
  /// Takes keys until the time to redraw has come; false: the user wants to quit.
  bool wait_for_key(Clock::time_point until) {
    pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    const int ready = ::poll(&input, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready <= 0) return true;
    char keys[64];  // NOLINT: written below
    const ssize_t n = ::read(STDIN_FILENO, keys, sizeof keys);
    // The terminal has gone.
    if (n <= 0) return false;
    const std::string_view typed(keys, static_cast<std::size_t>(n));
    if (typed == "\x1b[A" || typed == "\x1bOA") {
      if (view_.scroll > 0) --view_.scroll;
      return true;
    }
    if (typed == "\x1b[B" || typed == "\x1bOB") {
      scroll_down();
      return true;
    }
    for (const char key : typed) {
      if (key == 'q') return false;
      if (key == 'b') {
        ++view_.backend;
        view_.scroll = 0;
      }
      if (key == 's') view_.sort = static_cast<observe::TopSort>((static_cast<unsigned>(view_.sort) + 1) % 4);
      if (key == 'p') view_.paused = !view_.paused;
    }
    return true;
  }

  void scroll_down() {
    if (state_.backends.empty()) return;
    const auto& servers = state_.backends[view_.backend % state_.backends.size()].servers;
    if (view_.scroll + 1 < servers.size()) ++view_.scroll;
  }

  const AgentAddress agent_;
  observe::TopView view_;
  observe::TopState state_;
  std::string history_;
  Clock::time_point next_history_{};
  std::string since_;
};

}  // namespace

int command_top(const TopOptions& options) {
  const auto agent = agent_address(options.agent);
  if (!agent) {
    std::fprintf(stderr, "%s\n", agent.error().c_str());
    return kUsage;
  }
  const observe::TableStyle style = table_style();
  observe::TopView view;
  view.columns = style.width;
  view.colour = style.colour && !options.no_colour;
  view.utf8 = style.utf8;
  Top top(*agent, view);
  if (!top.read()) {
    std::fprintf(stderr,
                 "%s\nIs `rpc-weighter run` running? --url names where it serves, --config takes that from its file\n",
                 top.view().trouble.c_str());
    return kOwnError;
  }
  if (isatty(STDOUT_FILENO) == 0 || isatty(STDIN_FILENO) == 0) {
    std::string out;
    for (const std::string& line : observe::render_top(top.state(), top.view())) {
      out += line;
      while (out.ends_with(' ')) out.pop_back();
      out += '\n';
    }
    print(out);
    return kDone;
  }
  struct sigaction action {};
  // A window of another size only ends the wait for a key: each frame is measured anew.
  action.sa_handler = [](int number) {
    if (number != SIGWINCH) ended = 1;
  };
  for (const int number : {SIGWINCH, SIGINT, SIGTERM, SIGHUP}) sigaction(number, &action, nullptr);
  top.run();
  return kDone;
}

}  // namespace rpcw::cli
