#pragma once

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace rpcw::test {

/// A server of bytes for what no HAProxy does. Each connection is handed to `serve` in turn, with the line that it
/// sent, without the line end. Without `serve` no connection is accepted.
class FakeServer {
 public:
  using Serve = std::function<void(int fd, std::string_view line)>;

  explicit FakeServer(Serve serve, int backlog = 8) : serve_(std::move(serve)) {
    auto name = (std::filesystem::temp_directory_path() / "rpcw-fake-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    directory_ = name;
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path().c_str(), path().size() + 1);
    if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_, backlog) != 0) {
      throw std::runtime_error("bind");
    }
    if (serve_) thread_ = std::thread([this] { loop(); });
  }
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;
  ~FakeServer() {
    stopping = true;
    ::shutdown(listener_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    ::close(listener_);
    std::filesystem::remove_all(directory_);
  }
  std::string path() const { return directory_ + "/s"; }

  static bool say(int fd, std::string_view text) {
    return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }
  /// Returns when the peer has closed, or after ten seconds.
  static void hold(int fd) {
    char byte = 0;
    while (::recv(fd, &byte, 1, 0) > 0) {
    }
  }

  std::atomic<bool> stopping = false;

 private:
  void loop() {
    while (!stopping) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) break;
      const timeval limit{.tv_sec = 10, .tv_usec = 0};
      ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
      ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
      std::string line;
      char byte = 0;
      while (::recv(fd, &byte, 1, 0) == 1 && byte != '\n') line.push_back(byte);
      serve_(fd, line);
      ::close(fd);
    }
  }

  Serve serve_;
  std::string directory_;
  int listener_ = -1;
  std::thread thread_;
};

/// Connections that wait at a FakeServer's socket until its queue takes no more. It must accept none.
class FullQueue {
 public:
  explicit FullQueue(const FakeServer& server) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, server.path().c_str(), server.path().size() + 1);
    do {
      waiting_.push_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    } while (::connect(waiting_.back(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  ~FullQueue() {
    for (const int fd : waiting_) ::close(fd);
  }
  FullQueue(const FullQueue&) = delete;
  FullQueue& operator=(const FullQueue&) = delete;

 private:
  std::vector<int> waiting_;
};

}  // namespace rpcw::test
