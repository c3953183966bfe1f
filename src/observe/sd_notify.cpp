#include "observe/sd_notify.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <ctime>

#include "base/text.hpp"

namespace rpcw::observe {
namespace {

std::optional<std::uint64_t> number_of(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  const std::string_view whole(text);
  std::uint64_t out = 0;
  const auto [end, ec] = std::from_chars(whole.data(), whole.data() + whole.size(), out);
  if (ec != std::errc{} || end != whole.data() + whole.size()) return std::nullopt;
  return out;
}

std::string one_line(std::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

}  // namespace

std::string status_line(const Report& report) {
  std::size_t servers = 0;
  std::size_t healthy = 0;
  std::string fallbacks;
  for (const BackendReport& b : report.backends) {
    servers += b.servers.size();
    healthy += static_cast<std::size_t>(
        std::ranges::count_if(b.servers, [](const ServerReport& s) { return may_serve(s.decision.state); }));
    if (b.fallback) fallbacks += fmt::format("{}{}", fallbacks.empty() ? "" : ", ", b.name);
  }
  const auto reachable = std::ranges::count_if(report.haproxy, &EndpointReport::reachable);
  const auto all = static_cast<std::ptrdiff_t>(report.haproxy.size());
  // Those that ask by agent-check are not listed.
  std::string haproxy = all == 0 ? "" : "; HAProxy answers";
  if (reachable < all) haproxy = fmt::format("; {} of {} HAProxys answer", reachable, all);
  return fmt::format("{} of {} of {} healthy{}{}", healthy, counted(servers, "server"),
                     counted(report.backends.size(), "backend"),
                     fallbacks.empty() ? "" : fmt::format(", fallback in {}", fallbacks), haproxy);
}

SdNotify::SdNotify() {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
  path_ = path;
  if (path_.size() >= sizeof(sockaddr_un::sun_path)) return;
  socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  // The watchdog may be meant for a process above this one.
  const auto pid = number_of("WATCHDOG_PID");
  const auto usec = number_of("WATCHDOG_USEC");
  if (usec && *usec > 0 && (!pid || *pid == static_cast<std::uint64_t>(::getpid())))
    watchdog_ = std::chrono::microseconds(*usec / 2);
}

SdNotify::~SdNotify() {
  if (socket_ >= 0) ::close(socket_);
}

void SdNotify::send(const std::string& text) const {
  if (socket_ < 0) return;
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path_.copy(at.sun_path, sizeof at.sun_path - 1);
  // '@' stands for the zero byte of an abstract address.
  if (at.sun_path[0] == '@') at.sun_path[0] = '\0';
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_.size());
  // Without systemd at the other end nothing is lost.
  static_cast<void>(
      ::sendto(socket_, text.data(), text.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&at), length));
}

void SdNotify::ready(std::string_view status) const {
  send(fmt::format("READY=1\nSTATUS={}", one_line(status)));
}

void SdNotify::status(std::string_view text) {
  std::string line = one_line(text);
  if (line == last_status_) return;
  send("STATUS=" + line);
  last_status_ = std::move(line);
}

void SdNotify::reloading() const {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const std::int64_t usec = std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
  send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", usec));
}

void SdNotify::stopping() const {
  send("STOPPING=1");
}

void SdNotify::watchdog() const {
  send("WATCHDOG=1");
}

}  // namespace rpcw::observe
