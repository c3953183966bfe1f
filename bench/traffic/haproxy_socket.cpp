#include "traffic/haproxy_socket.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <sstream>
#include <string_view>

#include "traffic/scenario.hpp"

namespace rpcw::bench {
namespace {

std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> out;
  std::istringstream text(line);
  for (std::string field; std::getline(text, field, ',');) out.push_back(field);
  return out;
}

}  // namespace

asio::awaitable<std::string> ask_haproxy(std::string path, std::string line) {
  boost::system::error_code ec;
  auto token = asio::redirect_error(asio::use_awaitable, ec);
  asio::local::stream_protocol::socket socket(co_await asio::this_coro::executor);
  co_await socket.async_connect({path}, token);
  if (ec) co_return std::string();
  line += '\n';
  co_await asio::async_write(socket, asio::buffer(line), token);
  std::string reply;
  if (!ec) co_await asio::async_read(socket, asio::dynamic_buffer(reply), token);
  co_return ec == asio::error::eof ? reply : std::string();
}

asio::awaitable<void> set_weights(std::string path, std::vector<unsigned> weights) {
  std::string line;
  for (std::size_t i = 0; i < weights.size(); ++i)
    line += fmt::format("{}set weight rpc/{} {}", i == 0 ? "" : ";", providers()[i].name, weights[i]);
  co_await ask_haproxy(std::move(path), std::move(line));
}

asio::awaitable<std::optional<std::vector<unsigned>>> effective_weights(std::string path) {
  constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  // 4: servers, of any id.
  std::istringstream text(co_await ask_haproxy(std::move(path), "show stat rpc 4 -1"));
  std::vector<unsigned> out(providers().size(), 0);
  std::size_t status = kNone;
  std::size_t weight = kNone;
  bool any = false;
  for (std::string line; std::getline(text, line);) {
    const std::vector<std::string> fields = fields_of(line);
    if (line.starts_with('#')) {
      const auto column = [&](std::string_view name) {
        return static_cast<std::size_t>(std::ranges::find(fields, name) - fields.begin());
      };
      status = column("status");
      weight = column("weight");
      continue;
    }
    if (fields.size() < 2 || std::max(status, weight) >= fields.size()) continue;
    const auto it = std::ranges::find(providers(), fields[1], &ProviderSpec::name);
    if (it == providers().end()) continue;
    any = true;
    unsigned& w = out[static_cast<std::size_t>(it - providers().begin())];
    const bool up = fields[status].starts_with("UP") || fields[status] == "no check";
    if (up) std::from_chars(fields[weight].data(), fields[weight].data() + fields[weight].size(), w);
  }
  if (!any) co_return std::nullopt;
  co_return out;
}

}  // namespace rpcw::bench
