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

#include "traffic/answer.hpp"

namespace rpcw::bench {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

/// POSTs JSON to one port of 127.0.0.1 over connections that are kept, as many as there are requests at a time. Lives
/// on one io_context's thread and must outlive its requests.
class HttpClient {
 public:
  HttpClient(asio::io_context& io, std::uint16_t port) : io_(io), port_(port) {}

  /// Never throws for what the network does. The answer is kTimeout from `deadline` on.
  asio::awaitable<Answer> post(std::string body, Clock::time_point deadline);

 private:
  struct Connection {
    explicit Connection(asio::io_context& io) : stream(io) {}
    boost::beast::tcp_stream stream;
    boost::beast::flat_buffer buffer;
    bool used = false;
  };
  /// What one attempt came to.
  struct Attempt {
    Answer answer;
    bool keep = false;
    /// The connection had been closed before the request reached anybody, so that it may be sent again.
    bool unheard = false;
  };

  asio::awaitable<Attempt> exchange(Connection& connection, const std::string& body, Clock::time_point deadline);

  asio::io_context& io_;
  const std::uint16_t port_;
  std::vector<std::unique_ptr<Connection>> idle_;
};

}  // namespace rpcw::bench
