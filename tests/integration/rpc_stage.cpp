#include "rpc_stage.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "process.hpp"

namespace rpcw::test {
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  out.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return out;
}

int listen_on_loopback(int backlog, std::uint16_t& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd, backlog) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::system_error(errno, std::generic_category(), "listen");
  port = ntohs(address.sin_port);
  return fd;
}

int connect_to(std::uint16_t port, int flags = 0) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  const sockaddr_in address = loopback(port);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS) {
    ::close(fd);
    return -1;
  }
  return fd;
}

}  // namespace

config::Target target(std::string url) {
  config::Target out;
  out.url = std::move(url);
  return out;
}

config::Probe settings() {
  config::Probe out;
  out.timeout = 500ms;
  return out;
}

bool run_until(boost::asio::io_context& io, const std::function<bool()>& condition) {
  const auto deadline = Clock::now() + kLimit;
  while (!condition()) {
    if (Clock::now() > deadline) return false;
    if (io.stopped()) io.restart();
    // A loop without work returns at once.
    if (io.run_one_for(20ms) == 0) std::this_thread::sleep_for(1ms);
  }
  return true;
}

Stage::Stage(std::vector<config::Target> targets, const config::Probe& probe, Resolver::Lookup lookup,
             std::vector<config::Canary> canaries, const Chain* chain)
    : canaries_(std::move(canaries)), targets_(std::move(targets)) {
  std::vector<rpc::Prober::Subject> subjects;
  for (const config::Target& t : targets_) subjects.push_back({&t, canaries_, chain});
  prober_ = std::make_unique<rpc::Prober>(io, probe, std::move(subjects), std::move(lookup));
}

HeadObservation Stage::head(std::size_t target) {
  std::optional<HeadObservation> out;
  prober_->head(target, [&](HeadObservation o) { out = std::move(o); });
  REQUIRE(run_until(io, [&] { return out.has_value(); }));
  return std::move(*out);
}

Answer Stage::check(const Check& kind, std::size_t target) {
  std::optional<Answer> out;
  prober_->check(target, kind, [&](Answer a) { out = std::move(a); });
  REQUIRE(run_until(io, [&] { return out.has_value(); }));
  return std::move(*out);
}

Stage::Round Stage::head_and_checks(const std::vector<Check>& checks, rpc::Afterwards afterwards, std::size_t target) {
  std::optional<HeadObservation> head;
  Round out;
  prober_->head_and_checks(
      target, checks, afterwards,
      [&](HeadObservation o) {
        CHECK_FALSE(head.has_value());
        head = std::move(o);
      },
      [&](Answer a) { out.answers.push_back(std::move(a)); });
  REQUIRE(run_until(io, [&] { return head && out.answers.size() == checks.size(); }));
  out.head = std::move(*head);
  return out;
}

Stage::Pair Stage::head_beside_healthy() {
  Pair out;
  bool subject_done = false;
  bool witness_done = false;
  const auto since = Clock::now();
  std::function<void()> witness = [&] {
    prober_->head(1, [&](HeadObservation o) {
      out.witness.push_back(std::move(o));
      if (subject_done)
        witness_done = true;
      else
        witness();
    });
  };
  prober_->head(0, [&](HeadObservation o) {
    out.subject = std::move(o);
    out.took = Clock::now() - since;
    subject_done = true;
  });
  witness();
  REQUIRE(run_until(io, [&] { return subject_done && witness_done; }));
  return out;
}

bool undisturbed(const std::vector<HeadObservation>& heads) {
  std::vector<std::chrono::microseconds> latencies;
  for (const HeadObservation& o : heads) {
    if (!o.head) return false;
    latencies.push_back(o.latency);
  }
  if (latencies.empty()) return false;
  std::ranges::sort(latencies);
  return latencies[latencies.size() / 2] < kUndisturbed;
}

std::string Wire::request() {
  for (;;) {
    if (const std::size_t end = buffer_.find("\r\n\r\n"); end != std::string::npos) {
      std::size_t length = 0;
      if (const std::size_t at = buffer_.find("Content-Length: "); at < end)
        std::from_chars(buffer_.data() + at + 16, buffer_.data() + end, length);
      if (buffer_.size() >= end + 4 + length) {
        std::string out = buffer_.substr(0, end + 4 + length);
        buffer_.erase(0, end + 4 + length);
        return out;
      }
    }
    std::array<char, 4096> chunk{};
    const ssize_t n = ::recv(fd_, chunk.data(), chunk.size(), 0);
    if (n <= 0) return {};
    buffer_.append(chunk.data(), static_cast<std::size_t>(n));
  }
}

bool Wire::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool Wire::answer(std::string_view body, std::string_view status, std::string_view headers) {
  return send(fmt::format("HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n{}", status,
                          body.size(), headers, body));
}

void Wire::wait_closed() {
  std::array<char, 4096> chunk{};
  while (::recv(fd_, chunk.data(), chunk.size(), 0) > 0) {
  }
}

void Wire::reset() {
  const linger now{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

ByteServer::ByteServer(Session session) : session_(std::move(session)) {
  listener_ = listen_on_loopback(128, port_);
  thread_ = std::thread([this] { accept(); });
}

ByteServer::~ByteServer() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
  }
  ::shutdown(listener_, SHUT_RDWR);
  thread_.join();
  for (std::thread& t : sessions_) t.join();
  ::close(listener_);
}

std::string ByteServer::url(std::string_view path) const {
  return fmt::format("http://127.0.0.1:{}{}", port_, path);
}

void ByteServer::accept() {
  for (;;) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    const std::lock_guard lock(mutex_);
    if (closing_) {
      ::close(fd);
      return;
    }
    ++accepted_;
    open_.push_back(fd);
    sessions_.emplace_back([this, fd] {
      Wire wire(fd);
      session_(wire);
      const std::lock_guard again(mutex_);
      std::erase(open_, fd);
      ::close(fd);
    });
  }
}

Relay::Relay(std::uint16_t to)
    : server_([this, to](Wire& wire) {
        const unsigned number = count_++;
        const int other = connect_to(to);
        if (other < 0) return;
        std::array<char, 16384> chunk{};
        bool open = true;
        while (open) {
          // A forgotten connection only waits for its end.
          std::array<pollfd, 2> fds{pollfd{wire.fd(), POLLIN, 0}, pollfd{other, POLLIN, 0}};
          if (number < forgotten_) fds[1].fd = -1;
          ::poll(fds.data(), fds.size(), 10);
          for (std::size_t i = 0; i < fds.size() && open; ++i) {
            if ((fds[i].revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
            const ssize_t n = ::recv(fds[i].fd, chunk.data(), chunk.size(), 0);
            open = n > 0;
            if (open && number >= forgotten_)
              ::send(i == 0 ? other : wire.fd(), chunk.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL);
          }
        }
        ::close(other);
      }) {}

void Relay::forget() {
  forgotten_ = count_.load();
}

FullPort::FullPort() {
  fds_.push_back(listen_on_loopback(0, port_));
  // The kernel queues one connection more than asked for; the last of these is left without an answer.
  for (int i = 0; i < 4; ++i) fds_.push_back(connect_to(port_, SOCK_NONBLOCK));
}

FullPort::~FullPort() {
  for (const int fd : fds_) ::close(fd);
}

std::string head_answer(std::uint64_t number) {
  return fmt::format(
      R"({{"jsonrpc":"2.0","id":1,"result":{{"number":"{:#x}","hash":"0x{}","timestamp":"{:#x}","transactions":[]}}}})",
      number, std::string(64, 'a'), 1'700'000'000);
}

}  // namespace rpcw::test
