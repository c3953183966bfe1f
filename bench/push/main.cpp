// Ten thousand changed weights into a real HAProxy: rpc-weighter's client beside a bare socket writer that has its
// lines prepared. Both send the same lines (HAProxy takes one a connection) and wait for all replies.
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <exception>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "common/command_line.hpp"
#include "common/files.hpp"
#include "common/json.hpp"
#include "common/machine.hpp"
#include "common/markdown.hpp"
#include "common/quantile.hpp"
#include "common/signals.hpp"
#include "common/svg.hpp"
#include "haproxy/client.hpp"
#include "integration/haproxy_process.hpp"

using namespace rpcw;
using namespace rpcw::bench;

namespace {

constexpr double kGoal = 1.2;

struct Arguments {
  std::string out = "build/bench/push";
  bool full = false;
  std::size_t servers = 10'000;
};

struct Spent {
  double wall_s = 0;
  /// Of this process alone.
  double cpu_s = 0;
};

double cpu_s() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

template <class Action>
Spent timed(const Action& action) {
  const auto start = std::chrono::steady_clock::now();
  const double cpu = cpu_s();
  action();
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), cpu_s() - cpu};
}

std::string server_name(std::size_t i) {
  return fmt::format("provider-{}", i);
}

std::string backend_name(std::size_t b) {
  return fmt::format("rpc-{}", b);
}

std::string haproxy_cfg(std::size_t servers, std::size_t backends) {
  std::string out =
      "global\n  stats socket @DIR@/admin.sock mode 600 level admin\ndefaults\n  mode http\n  timeout connect 1s\n"
      "  timeout client 5s\n  timeout server 5s\n";
  for (std::size_t b = 0; b < backends; ++b) {
    out += fmt::format("backend {}\n  balance roundrobin\n", backend_name(b));
    // They are never connected to.
    for (std::size_t i = b; i < servers; i += backends)
      out += fmt::format("  server {} 127.0.0.1:{} weight 100\n", server_name(i), 1024 + i % 60'000);
  }
  return out;
}

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// Blocking, with nothing between it and the system but the calls. Throws when HAProxy refuses anything: a command that
/// worked answers an empty line and nothing else.
void write_bare(const std::string& path, const std::vector<haproxy::Line>& lines) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(static_cast<char*>(address.sun_path), sizeof address.sun_path - 1);
  std::array<char, 65536> buffer;  // NOLINT: written by the kernel
  for (const haproxy::Line& line : lines) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("connect");
    if (write(fd, line.text.data(), line.text.size()) != static_cast<ssize_t>(line.text.size())) fail("write");
    std::size_t replies = 0;
    while (replies < line.replies) {
      const ssize_t n = read(fd, buffer.data(), buffer.size());
      if (n <= 0) fail("read");
      replies += static_cast<std::size_t>(n);
    }
    close(fd);
    if (replies != line.replies) throw std::runtime_error("HAProxy has refused a weight");
  }
}

struct Results {
  std::size_t servers = 0;
  std::size_t backends = 0;
  std::size_t lines = 0;
  std::vector<Spent> ours;
  std::vector<Spent> floor;
};

/// nullopt: a signal has come.
std::optional<Results> measure(const Arguments& arguments, std::size_t backends) {
  test::HaproxyProcess haproxy(haproxy_cfg(arguments.servers, backends));
  const std::string socket = haproxy.admin_socket();
  boost::asio::io_context io(1);
  haproxy::Client client(io.get_executor(), {.address = socket, .text = "unix:" + socket}, nullptr,
                         milliseconds{10'000});
  struct Place {
    std::string backend;
    std::string server;
  };
  std::vector<Place> places;
  for (std::size_t b = 0; b < backends; ++b)
    for (std::size_t i = b; i < arguments.servers; i += backends) places.push_back({backend_name(b), server_name(i)});
  // Every round changes every weight.
  unsigned round = 0;
  const auto weight = [&](std::size_t i) { return 1 + static_cast<unsigned>(i + round) % 256; };
  Results out;
  out.servers = arguments.servers;
  out.backends = backends;
  const unsigned some = backends > 1 ? 25 : 5;
  const unsigned runs = arguments.full ? 3 * some : some;
  const auto ours = [&] {
    std::vector<haproxy::Outcome> outcomes;
    const Spent spent = timed([&] {
      std::vector<haproxy::WeightCommand> pushes;
      pushes.reserve(arguments.servers);
      for (std::size_t i = 0; i < arguments.servers; ++i)
        pushes.push_back({places[i].backend, places[i].server, false, weight(i)});
      boost::asio::co_spawn(
          io, [&]() -> boost::asio::awaitable<void> { outcomes = co_await client.push(std::move(pushes)); },
          [](const std::exception_ptr& e) {
            if (e) std::rethrow_exception(e);
          });
      io.restart();
      io.run();
    });
    const auto done = std::ranges::count(outcomes, haproxy::Outcome::Kind::kDone, &haproxy::Outcome::kind);
    if (static_cast<std::size_t>(done) != arguments.servers) throw std::runtime_error("a weight was not confirmed");
    return spent;
  };
  const auto floor = [&] {
    std::vector<std::string> commands;
    commands.reserve(arguments.servers);
    for (std::size_t i = 0; i < arguments.servers; ++i)
      commands.push_back(haproxy::set_weight_command(places[i].backend, places[i].server, weight(i)));
    const std::vector<haproxy::Line> lines = haproxy::pack(commands);
    out.lines = lines.size();
    return timed([&] { write_bare(socket, lines); });
  };
  for (unsigned i = 0; i <= runs; ++i) {
    if (signalled()) return std::nullopt;
    // Taking turns at being first, so that what one leaves in the caches serves both.
    Spent a{};
    Spent b{};
    for (const bool we : {i % 2 == 0, i % 2 != 0}) {
      ++round;
      (we ? a : b) = we ? ours() : floor();
    }
    if (i == 0) continue;
    out.ours.push_back(a);
    out.floor.push_back(b);
  }
  return out;
}

double median(const std::vector<Spent>& runs, double Spent::*value) {
  std::vector<double> out;
  for (const Spent& s : runs) out.push_back(s.*value);
  return quantile(out, 0.5).value_or(0);
}

double ratio(const Results& r) {
  std::vector<double> out;
  for (std::size_t i = 0; i < r.ours.size(); ++i) out.push_back(r.ours[i].wall_s / r.floor[i].wall_s);
  return quantile(out, 0.5).value_or(0);
}

std::string to_markdown(const std::vector<Results>& all, const Machine& machine) {
  Markdown out;
  out.line("{}", machine.sentence());
  out.line("");
  out.head({"weights", "backends", "lines", "runs", "rpc-weighter's client", "its own CPU", "bare writer",
            "its own CPU", fmt::format("wall time / bare writer's (goal {})", kGoal)});
  const auto ms = [](const std::vector<Spent>& runs, double Spent::*value) {
    return fmt::format("{:.1f} ms", 1e3 * median(runs, value));
  };
  for (const Results& r : all)
    out.row({fmt::format("{}", r.servers), fmt::format("{}", r.backends), fmt::format("{}", r.lines),
             fmt::format("{}", r.ours.size()), ms(r.ours, &Spent::wall_s), ms(r.ours, &Spent::cpu_s),
             ms(r.floor, &Spent::wall_s), ms(r.floor, &Spent::cpu_s),
             fmt::format("{:.2f} ({})", ratio(r), ratio(r) <= kGoal ? "met" : "missed")});
  return std::move(out).end();
}

std::string to_json(const std::vector<Results>& all, const Machine& machine) {
  JsonResults out(machine);
  auto& w = out.writer;
  w.Key("pushes");
  w.StartArray();
  for (const Results& r : all) {
    w.StartObject();
    w.Key("weights");
    w.Uint64(r.servers);
    w.Key("backends");
    w.Uint64(r.backends);
    w.Key("lines");
    w.Uint64(r.lines);
    w.Key("wall_ratio");
    w.Double(ratio(r));
    for (const auto& [name, runs] : {std::pair("ours_s", &r.ours), std::pair("floor_s", &r.floor)}) {
      w.Key(name);
      w.StartArray();
      for (const Spent& s : *runs) w.Double(s.wall_s);
      w.EndArray();
    }
    w.EndObject();
  }
  w.EndArray();
  return std::move(out).end();
}

/// Each run's time as a point, and the median as a mark.
std::string chart(const Results& r) {
  constexpr int kWidth = 720;
  constexpr int kHeight = 150;
  constexpr int kLeft = 160;
  constexpr int kPlot = 500;
  double most = 0;
  for (const auto* runs : {&r.ours, &r.floor})
    for (const Spent& s : *runs) most = std::max(most, s.wall_s);
  Svg svg(kWidth, kHeight,
          fmt::format("{} changed weights in {} backends, ms: every run, and the median", r.servers, r.backends));
  int y = 70;
  for (const auto& [name, runs] :
       {std::pair("rpc-weighter's client", &r.ours), std::pair("bare socket writer", &r.floor)}) {
    svg.text(kLeft - 10, y + 4, name, "end");
    for (const Spent& s : *runs)
      svg.add(R"(<circle cx="{:.1f}" cy="{}" r="4" fill="#0072b2" fill-opacity="0.35"/>)",
              kLeft + kPlot * s.wall_s / most, y);
    const double middle = median(*runs, &Spent::wall_s);
    svg.rect(kLeft + kPlot * middle / most - 1, y - 12, 2, 24, "#d55e00");
    svg.text(kLeft + kPlot * middle / most + 4, y - 14, fmt::format("{:.1f}", 1e3 * middle));
    y += 45;
  }
  return std::move(svg).end();
}

int run(const Arguments& arguments) {
  const std::filesystem::path out = arguments.out;
  std::filesystem::create_directories(out);
  note_signals();
  std::vector<Results> results;
  // HAProxy looks for a server's name in its backend's list: with all in one that is most of the time.
  for (const std::size_t backends : {std::size_t{100}, std::size_t{1}}) {
    fmt::print(stderr, "pushing {} weights in {} backend{}\n", arguments.servers, backends, backends == 1 ? "" : "s");
    auto measured = measure(arguments, backends);
    if (!measured) return kInterrupted;
    results.push_back(*std::move(measured));
  }
  const Machine machine = this_machine();
  write(out / "results.md", to_markdown(results, machine));
  write(out / "results.json", to_json(results, machine));
  write(out / "times.svg", chart(results.front()));
  fmt::print("{}\n", (out / "results.md").string());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CommandLine line("push-bench", "Many changed weights into a HAProxy, beside a bare socket writer");
  line.folder(arguments.out, "Folder for tables, JSON and charts");
  line.flag("--full", arguments.full, "Three times the runs");
  line.number("--servers", arguments.servers, "How many weights, 1 to 60,000", 1, 60'000);
  return line.run(argc, argv, [&] { return run(arguments); });
}
