#include "integration/notify_socket.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>

#include "integration/process.hpp"

namespace rpcw::test {

NotifySocket::NotifySocket(std::string path) : path_(std::move(path)) {
  fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path_.copy(at.sun_path, sizeof at.sun_path - 1);
  REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
}

NotifySocket::~NotifySocket() {
  ::close(fd_);
}

std::string NotifySocket::next(std::string_view text) const {
  std::string found;
  static_cast<void>(eventually([&] {
    // One at a time: what follows the one that is looked for stays for the next call.
    const std::string message = take();
    if (message.find(text) == std::string::npos) return false;
    found = message;
    return !found.empty();
  }));
  return found;
}

std::string NotifySocket::rest() const {
  std::string out;
  for (std::string message; !(message = take()).empty();) out += message + "\n";
  return out;
}

std::string NotifySocket::take() const {
  std::array<char, 4096> message{};
  const ssize_t n = ::recv(fd_, message.data(), message.size(), MSG_DONTWAIT);
  return n > 0 ? std::string(message.data(), static_cast<std::size_t>(n)) : std::string{};
}

}  // namespace rpcw::test
