#pragma once

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "haproxy/client.hpp"

/// haproxy::Client for tests that read like blocking calls.
namespace rpcw::test {

inline config::Endpoint unix_endpoint(const std::string& path) {
  return {.kind = config::Endpoint::Kind::kUnix, .address = path, .port = 0, .text = "unix:" + path};
}
inline config::Endpoint master_endpoint(const std::string& path) {
  return {.kind = config::Endpoint::Kind::kMaster, .address = path, .port = 0, .text = "master:unix:" + path};
}
inline config::Endpoint tcp_endpoint(const std::string& host, std::uint16_t port) {
  return {.kind = config::Endpoint::Kind::kTcp,
          .address = host,
          .port = port,
          .text = "tcp:" + host + ":" + std::to_string(port)};
}

/// A client with a loop of its own, so that tests read like blocking calls.
class Blocking {
 public:
  explicit Blocking(config::Endpoint endpoint, milliseconds timeout = std::chrono::seconds(3),
                    const config::TlsFiles& tls = {})
      : client(io.get_executor(), std::move(endpoint), haproxy::tls_context(tls), timeout) {}

  template <class T>
  T wait(boost::asio::awaitable<T> what) {
    std::optional<T> result;
    std::exception_ptr thrown;
    boost::asio::co_spawn(io, std::move(what), [&](std::exception_ptr error, T value) {
      thrown = error;
      if (!error) result = std::move(value);
    });
    io.restart();
    const auto start = std::chrono::steady_clock::now();
    io.run();
    took = std::chrono::steady_clock::now() - start;
    if (thrown) std::rethrow_exception(thrown);
    return std::move(*result);
  }

  haproxy::Instance read(std::vector<std::string> only = {}) {
    auto result = wait(client.read(only));
    if (!result) throw std::runtime_error(result.error().detail);
    return std::move(*result);
  }
  haproxy::Failure failed_read() {
    auto result = wait(client.read());
    if (result) throw std::runtime_error("the read has not failed");
    return result.error();
  }
  /// Tries for ten seconds.
  bool reads_in_the_end() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < deadline)
      if (wait(client.read())) return true;
    return false;
  }
  std::vector<haproxy::Outcome> push(std::vector<haproxy::WeightCommand> pushes) {
    return wait(client.push(std::move(pushes)));
  }
  std::vector<std::string> run(std::vector<std::string> commands) {
    auto result = wait(client.run(std::move(commands)));
    if (!result) throw std::runtime_error(result.error().detail);
    return std::move(*result);
  }

  boost::asio::io_context io;
  haproxy::Client client;
  std::chrono::steady_clock::duration took{};
};

inline haproxy::WeightCommand weight(std::string backend, std::string server, unsigned value) {
  return {.backend = std::move(backend), .server = std::move(server), .percent = false, .weight = value};
}
inline haproxy::WeightCommand percent(std::string backend, std::string server, unsigned value) {
  return {.backend = std::move(backend), .server = std::move(server), .percent = true, .weight = value};
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

inline std::size_t count_kind(const std::vector<haproxy::Outcome>& outcomes, haproxy::Outcome::Kind kind) {
  return static_cast<std::size_t>(std::ranges::count(outcomes, kind, &haproxy::Outcome::kind));
}

}  // namespace rpcw::test
