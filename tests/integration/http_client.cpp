#include "integration/http_client.hpp"

#include <fmt/format.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <utility>

namespace rpcw::test {

namespace asio = boost::asio;

namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

HttpAnswer failed(const error_code& ec) {
  HttpAnswer out;
  out.end = ec == beast::error::timeout ? HttpAnswer::End::kTimeout : HttpAnswer::End::kBroken;
  return out;
}

std::string header(const http::response<http::string_body>& response, std::string_view name) {
  const auto it = response.find(beast::string_view(name.data(), name.size()));
  return it == response.end() ? std::string() : std::string(it->value());
}

}  // namespace

asio::awaitable<HttpClient::Attempt> HttpClient::exchange(Connection& connection, const std::string& body,
                                                          std::chrono::steady_clock::time_point deadline) {
  Attempt out;
  error_code ec;
  auto token = asio::redirect_error(asio::use_awaitable, ec);
  const bool reused = std::exchange(connection.used, true);
  connection.stream.expires_at(deadline);
  if (!reused) {
    co_await connection.stream.async_connect({asio::ip::address_v4::loopback(), port_}, token);
    if (ec) {
      out.answer = failed(ec);
      co_return out;
    }
    connection.stream.socket().set_option(asio::ip::tcp::no_delay(true), ec);
  }
  const std::string request = fmt::format(
      "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
      body.size(), body);
  co_await asio::async_write(connection.stream, asio::buffer(request), token);
  http::response_parser<http::string_body> parser;
  if (!ec) co_await http::async_read(connection.stream, connection.buffer, parser, token);
  if (ec) {
    out.answer = failed(ec);
    out.unheard = reused && out.answer.end == HttpAnswer::End::kBroken && !parser.got_some();
    co_return out;
  }
  connection.stream.expires_never();
  auto response = parser.release();
  out.keep = response.keep_alive();
  out.answer = {HttpAnswer::End::kComplete, response.result_int(), std::move(response.body()),
                header(response, "X-Head"), header(response, "X-Provider")};
  co_return out;
}

asio::awaitable<HttpAnswer> HttpClient::post(std::string body, std::chrono::steady_clock::time_point deadline) {
  for (;;) {
    std::unique_ptr<Connection> connection;
    if (idle_.empty()) {
      connection = std::make_unique<Connection>(io_);
    } else {
      connection = std::move(idle_.back());
      idle_.pop_back();
    }
    Attempt attempt = co_await exchange(*connection, body, deadline);
    // Any HTTP client does so: the server closes idle connections as it likes.
    if (attempt.unheard) continue;
    if (attempt.keep) idle_.push_back(std::move(connection));
    co_return std::move(attempt.answer);
  }
}

}  // namespace rpcw::test
