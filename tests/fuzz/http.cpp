#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <string>

#include "fuzz/targets.hpp"
#include "observe/http_server.hpp"

namespace rpcw::fuzz {
namespace {

namespace asio = boost::asio;
using Local = asio::local::stream_protocol;

/// The server itself on a Unix socket.
struct Server {
  Server()
      : path(fmt::format("/tmp/rpcw-fuzz-{}.sock", ::getpid())),
        server(io.get_executor(), [](const observe::HttpRequest& request) {
          must(request.path.starts_with('/') || request.path.empty(), "a path begins with /");
          observe::HttpAnswer out;
          out.body = std::string(request.query.size() * 600, 'x');
          out.compress = true;
          return out;
        }) {
    rpcw::config::Http http;
    http.listen = {{.address = path, .port = 0, .text = "unix:" + path}};
    must(server.configure(http).has_value(), "the server listens");
  }
  ~Server() { ::unlink(path.c_str()); }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  asio::io_context io{1};
  std::string path;
  observe::HttpServer server;
};

}  // namespace

/// The bytes of a client that then waits for the end.
void http(std::string_view bytes) {
  static Server server;
  server.io.restart();
  Local::socket client(server.io);
  boost::system::error_code ec;
  client.connect(Local::endpoint(server.path), ec);
  must(!ec, "the server takes connections");
  std::string answer;
  bool over = false;
  asio::async_write(client, asio::buffer(bytes.data(), bytes.size()), [&](auto, auto) {
    boost::system::error_code ignored;
    client.shutdown(Local::socket::shutdown_send, ignored);
  });
  std::array<char, 4096> piece{};
  const auto read = [&](const auto& self) -> void {
    client.async_read_some(asio::buffer(piece), [&](const boost::system::error_code& error, std::size_t n) {
      answer.append(piece.data(), n);
      over = static_cast<bool>(error);
      if (!over) self(self);
    });
  };
  read(read);
  // No more than a slow machine needs: the server's own limits are in seconds.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{20};
  while (!over && std::chrono::steady_clock::now() < deadline) server.io.run_one_for(std::chrono::seconds{1});
  must(over, "each connection ends");
  must(answer.empty() || answer.starts_with("HTTP/1.1 "), "an answer is HTTP");
  must(answer.find(kKey) == std::string::npos, "nothing of a request is sent back");
  client.close();
  // The server learns that the client has gone.
  server.io.poll();
}

}  // namespace rpcw::fuzz
