#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "integration/http_client.hpp"
#include "integration/process.hpp"

namespace rpcw::test {

/// Clients of a HAProxy: eth_call at a constant rate, whether or not earlier ones have been answered, for as long as
/// the object lives. Everything may be called from any thread.
class Load {
 public:
  /// What is asked for, which is no method that a probe uses.
  static constexpr std::string_view kMethod = "eth_call";

  /// A client leaves when it has waited for `patience`.
  Load(std::uint16_t port, unsigned per_second, Clock::duration patience = kPatience);
  /// Requests without an answer are dropped.
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  /// Answers so far, by the provider's name (empty: HAProxy's own) and HTTP status. A request without an answer, or
  /// whose connection broke, counts as status 0.
  using Counts = std::map<std::pair<std::string, unsigned>, std::uint64_t>;
  [[nodiscard]] Counts counts() const;
  /// Of all providers and statuses.
  [[nodiscard]] std::uint64_t answers() const;
  /// Of all providers.
  [[nodiscard]] std::uint64_t with_status(unsigned status) const;
  /// Of all statuses.
  [[nodiscard]] std::uint64_t of(std::string_view provider) const;

 private:
  template <typename Which>
  [[nodiscard]] std::uint64_t count(Which which) const;
  boost::asio::awaitable<void> run(unsigned per_second);
  boost::asio::awaitable<void> shoot();

  boost::asio::io_context io_;
  HttpClient client_;
  const Clock::duration patience_;
  mutable std::mutex mutex_;
  Counts counts_;
  std::thread thread_;
};

}  // namespace rpcw::test
