#include "integration/terminal.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <regex>
#include <sstream>

#include "integration/program_stage.hpp"

namespace rpcw::test {

Terminal::Terminal(std::vector<std::string> arguments, unsigned short columns, unsigned short rows) {
  winsize window{.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  // All before the fork: other threads of this process may hold the allocator's lock.
  std::string program = program_path();
  std::vector<char*> argv{program.data()};
  for (std::string& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  std::array<std::string, 3> set{"TERM=xterm", "LC_ALL=C.UTF-8", "PATH=/usr/bin:/bin"};
  std::array<char*, 4> environment{set[0].data(), set[1].data(), set[2].data(), nullptr};
  pid_ = ::forkpty(&fd_, nullptr, nullptr, &window);
  if (pid_ == 0) {
    ::execve(program.c_str(), argv.data(), environment.data());
    ::_exit(127);
  }
  REQUIRE(pid_ > 0);
}

Terminal::~Terminal() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ::close(fd_);
}

void Terminal::type(std::string_view keys) const {
  REQUIRE(::write(fd_, keys.data(), keys.size()) > 0);
}

void Terminal::resize(unsigned short columns) const {
  winsize window{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  REQUIRE(::ioctl(fd_, TIOCSWINSZ, &window) == 0);
}

bool Terminal::shows(std::string_view text) {
  seen_.clear();
  return eventually([&] {
    pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
    std::array<char, 65536> piece{};
    if (::poll(&ready, 1, 10) > 0) {
      const ssize_t n = ::read(fd_, piece.data(), piece.size());
      if (n > 0) seen_.append(piece.data(), static_cast<std::size_t>(n));
    }
    return seen(text);
  });
}

std::size_t Terminal::widest() const {
  static const std::regex kEscape("\x1b\\[[0-9;?]*[A-Za-z]");
  std::istringstream lines(std::regex_replace(seen_, kEscape, ""));
  std::size_t out = 0;
  for (std::string line; std::getline(lines, line);)
    out = std::max(out, static_cast<std::size_t>(std::ranges::count_if(line, [](char c) {
                     return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U && c != '\r';
                   })));
  return out;
}

std::optional<int> Terminal::wait() {
  int status = 0;
  if (!eventually([&] {
        std::array<char, 65536> rest{};
        pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
        // Only so that it does not wait for us; glibc wants the result to be looked at.
        if (::poll(&ready, 1, 0) > 0 && ::read(fd_, rest.data(), rest.size()) < 0) ready.revents = 0;
        return ::waitpid(pid_, &status, WNOHANG) == pid_;
      }))
    return std::nullopt;
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace rpcw::test
