#include "integration/http_get.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <system_error>
#include <utility>

namespace rpcw::test {

using Clock = std::chrono::steady_clock;

RawConnection::RawConnection(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd_ < 0 || ::connect(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) {
    const int error = errno;
    if (fd_ >= 0) ::close(fd_);
    throw std::system_error(error, std::generic_category(), "connect");
  }
}

RawConnection::~RawConnection() {
  if (fd_ >= 0) ::close(fd_);
}

RawConnection::RawConnection(RawConnection&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

bool RawConnection::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

namespace {

/// Reads on until `enough`. True: the other end has closed.
template <typename Enough>
bool read(int fd, std::string& out, std::chrono::milliseconds limit, Enough enough) {
  const auto deadline = Clock::now() + limit;
  std::array<char, 65536> piece{};
  while (!enough()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || ::poll(&ready, 1, static_cast<int>(left.count())) <= 0) return false;
    const ssize_t n = ::recv(fd, piece.data(), piece.size(), 0);
    if (n <= 0) return true;
    out.append(piece.data(), static_cast<std::size_t>(n));
  }
  return false;
}

}  // namespace

std::string RawConnection::read_to_end(std::chrono::milliseconds limit) const {
  std::string out;
  read(fd_, out, limit, [] { return false; });
  return out;
}

std::string RawConnection::read_until(std::string_view text, std::chrono::milliseconds limit) const {
  std::string out;
  read(fd_, out, limit, [&] { return out.find(text) != std::string::npos; });
  return out;
}

bool RawConnection::is_closed(std::chrono::milliseconds limit) const {
  std::string ignored;
  return read(fd_, ignored, limit, [] { return false; });
}

HttpReply parse_reply(std::string_view bytes) {
  HttpReply out;
  const std::size_t head_end = bytes.find("\r\n\r\n");
  if (!bytes.starts_with("HTTP/1.1 ") || head_end == std::string_view::npos) return out;
  std::from_chars(bytes.data() + 9, bytes.data() + 12, out.status);
  std::string_view head = bytes.substr(0, head_end + 2);
  head.remove_prefix(head.find("\r\n") + 2);
  while (!head.empty()) {
    const std::size_t end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    const std::size_t colon = line.find(": ");
    std::string name(line.substr(0, colon));
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    out.headers[name] = colon == std::string_view::npos ? "" : std::string(line.substr(colon + 2));
    head.remove_prefix(end + 2);
  }
  bytes.remove_prefix(head_end + 4);
  if (!out.headers.contains("transfer-encoding")) {
    out.body = bytes;
    return out;
  }
  while (!bytes.empty()) {
    std::size_t size = 0;
    std::from_chars(bytes.data(), bytes.data() + bytes.size(), size, 16);
    const std::size_t begin = bytes.find("\r\n");
    if (size == 0 || begin == std::string_view::npos) break;
    out.body += bytes.substr(begin + 2, size);
    bytes.remove_prefix(std::min(bytes.size(), begin + 2 + size + 2));
  }
  return out;
}

HttpReply http_get(std::uint16_t port, std::string_view target, const std::vector<std::string>& headers,
                   std::string_view method) {
  std::string request = fmt::format("{} {} HTTP/1.1\r\nConnection: close\r\n", method, target);
  if (std::ranges::none_of(headers, [](const std::string& h) { return h.starts_with("Host:"); }))
    request += fmt::format("Host: 127.0.0.1:{}\r\n", port);
  for (const std::string& h : headers) request += h + "\r\n";
  try {
    const RawConnection connection(port);
    connection.send(request + "\r\n");
    return parse_reply(connection.read_to_end());
  } catch (const std::system_error&) {
    return {};
  }
}

}  // namespace rpcw::test
