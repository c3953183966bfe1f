#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace rpcw::haproxy {

/// One name look-up in a thread of its own. Asio's resolver can neither give up on a getaddrinfo that hangs nor be
/// destroyed while it does; this can be left behind at any time, and waited for again by a later exchange.
class Lookup {
 public:
  using Addresses = std::vector<boost::asio::ip::tcp::endpoint>;
  /// From a host name to numeric addresses, IPv6 without brackets, or a sentence why there are none. Runs in a thread
  /// of its own.
  using Function = std::function<std::expected<std::vector<std::string>, std::string>(const std::string& host)>;
  /// getaddrinfo.
  static Function system();

  /// Starts it. `host` may be an address too. Throws std::system_error when the system has no thread or descriptor
  /// left.
  static std::shared_ptr<Lookup> start(const std::string& host, std::uint16_t port,
                                       const Function& function = system());

  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;
  ~Lookup();

  /// Whether the answer, good or bad, is there.
  bool done() const;

  /// Returns when the answer is there or `deadline` has passed; `done` tells which.
  boost::asio::awaitable<void> wait(std::chrono::steady_clock::time_point deadline);

  /// Never empty; the error is the function's text. Only after `done`.
  std::expected<Addresses, std::string> result() const;

 private:
  struct Shared;
  explicit Lookup(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  std::shared_ptr<Shared> shared_;
};

}  // namespace rpcw::haproxy
