#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rpcw::test {

/// What became of an HTTP request.
struct HttpAnswer {
  enum class End : std::uint8_t { kComplete, kBroken, kTimeout };
  End end = End::kBroken;
  /// The rest is of a complete answer.
  unsigned status = 0;
  std::string body{};
  /// X-Head and X-Provider; empty if absent, as in HAProxy's own answers.
  std::string head{};
  std::string provider{};
};

/// POSTs JSON to one port of 127.0.0.1 over connections that are kept, as many as there are requests at a time. Lives
/// on one io_context's thread and must outlive its requests.
class HttpClient {
 public:
  HttpClient(boost::asio::io_context& io, std::uint16_t port) : io_(io), port_(port) {}

  /// Never throws for what the network does. The answer is kTimeout from `deadline` on.
  boost::asio::awaitable<HttpAnswer> post(std::string body, std::chrono::steady_clock::time_point deadline);

 private:
  struct Connection {
    explicit Connection(boost::asio::io_context& io) : stream(io) {}
    boost::beast::tcp_stream stream;
    boost::beast::flat_buffer buffer;
    bool used = false;
  };
  /// What one attempt came to.
  struct Attempt {
    HttpAnswer answer;
    bool keep = false;
    /// The connection had been closed before the request arrived, so that it may be sent again.
    bool unheard = false;
  };

  boost::asio::awaitable<Attempt> exchange(Connection& connection, const std::string& body,
                                           std::chrono::steady_clock::time_point deadline);

  boost::asio::io_context& io_;
  const std::uint16_t port_;
  std::vector<std::unique_ptr<Connection>> idle_;
};

}  // namespace rpcw::test
