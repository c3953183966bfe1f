#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstddef>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "config/config.hpp"
#include "observe/http.hpp"

namespace rpcw::observe {

/// An HTTP/1.1 server for GET and HEAD on the loop of its executor. No client can hold it up: heads, connections and
/// times are limited, and bodies are written in pieces.
class HttpServer {
 public:
  using Handler = std::function<HttpAnswer(const HttpRequest&)>;

  struct Limits {
    std::size_t head_bytes = 8192;
    /// Further ones get 503.
    std::size_t connections = 64;
    /// From the first byte of a request, or from the connection's start, to the end of the head.
    std::chrono::milliseconds head_time{5000};
    /// For the client to take a whole answer; of a stream without end, each piece.
    std::chrono::milliseconds write_time{10000};
    /// Between two requests.
    std::chrono::milliseconds idle_time{30000};
  };

  HttpServer(boost::asio::any_io_executor executor, Handler handler)
      : HttpServer(std::move(executor), std::move(handler), {}) {}
  HttpServer(boost::asio::any_io_executor executor, Handler handler, Limits limits);
  /// Closes all connections.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Listens there and nowhere else; addresses that it listens on already go on without a gap. On failure everything
  /// stays as it was, and the error is a sentence.
  std::expected<void, std::string> configure(const config::Http& http);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace rpcw::observe
