#include "agent/agent_check_server.hpp"

#include <fmt/format.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <optional>
#include <utility>

#include "base/listening.hpp"
#include "base/tuple_token.hpp"
#include "base/wait_group.hpp"

namespace rpcw {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

/// HAProxy opens one connection for each server and `agent-inter`; further ones are closed, and try again then.
constexpr std::size_t kConnections = 1024;
/// For the line and for the answer; HAProxy itself waits for `timeout check` or `agent-inter`.
constexpr std::chrono::seconds kTime{2};
/// Two names of HAProxy's and a slash: at most 1000 bytes each (haproxy::valid_name).
constexpr std::size_t kLongestLine = 2002;

}  // namespace

class AgentCheckServer::Impl : public std::enable_shared_from_this<AgentCheckServer::Impl> {
 public:
  Impl(asio::any_io_executor executor, Handler handler)
      : executor_(std::move(executor)), handler_(std::move(handler)) {}

  std::expected<void, std::string> configure(const config::AgentCheck& wanted) {
    if (listener_ ? wanted.listen == listener_->at : !wanted.listen) return {};
    std::shared_ptr<Listener> next;
    if (wanted.listen) {
      next =
          std::make_shared<Listener>(Listener{*wanted.listen, tcp::acceptor(executor_), asio::steady_timer(executor_)});
      if (const error_code ec = open(*next); ec)
        return std::unexpected(
            fmt::format("agent_check.listen {}: {}{}", wanted.listen->text, ec.message(),
                        ec == asio::error::address_in_use ? "; `ss -ltnp` shows which process has it" : ""));
    }
    close();
    listener_ = std::move(next);
    if (listener_) asio::co_spawn(executor_, accept(shared_from_this(), listener_), rethrow);
    return {};
  }

  void close() {
    if (!listener_) return;
    error_code ignored;
    listener_->acceptor.close(ignored);
    listener_->pause.cancel();
    listener_.reset();
  }

 private:
  struct Listener {
    config::Listen at;
    tcp::acceptor acceptor;
    /// Between two attempts to accept.
    asio::steady_timer pause;
  };

  static error_code open(Listener& listener) {
    error_code ec;
    const asio::ip::address address = asio::ip::make_address(listener.at.address, ec);
    return ec ? ec : listen_at(listener.acceptor, tcp::endpoint(address, listener.at.port));
  }

  static asio::awaitable<void> accept(std::shared_ptr<Impl> self, std::shared_ptr<Listener> listener) {
    const auto take = [&self](tcp::socket socket) {
      if (self->connections_ < kConnections)
        asio::co_spawn(self->executor_, serve(self, std::make_shared<tcp::socket>(std::move(socket))), rethrow);
    };
    co_await accept_all(listener->acceptor, listener->pause, take);
  }

  static asio::awaitable<void> serve(std::shared_ptr<Impl> self, std::shared_ptr<tcp::socket> socket) {
    ++self->connections_;
    asio::steady_timer deadline(self->executor_, kTime);
    deadline.async_wait([weak = std::weak_ptr(socket)](const error_code& cancelled) {
      error_code ignored;
      if (const auto s = weak.lock(); s && !cancelled) s->close(ignored);
    });
    std::string line;
    std::array<char, 512> piece{};
    error_code ec;
    std::size_t end = std::string::npos;
    while (!ec && end == std::string::npos && line.size() <= kLongestLine) {
      const auto [error, bytes] = co_await socket->async_read_some(asio::buffer(piece), kTuple);
      ec = error;
      line.append(piece.data(), bytes);
      end = line.find('\n');
    }
    if (end != std::string::npos) {
      line.resize(end > 0 && line[end - 1] == '\r' ? end - 1 : end);
      const std::string answer = self->handler_(line);
      co_await asio::async_write(*socket, asio::buffer(answer), kTuple);
      // A socket that is closed with unread bytes makes the kernel throw away the answer.
      socket->shutdown(tcp::socket::shutdown_send, ec);
      while (!ec) std::tie(ec, std::ignore) = co_await socket->async_read_some(asio::buffer(piece), kTuple);
    } else {
      // Nothing was asked: the handler says so, once.
      static_cast<void>(self->handler_({}));
    }
    deadline.cancel();
    --self->connections_;
  }

  asio::any_io_executor executor_;
  Handler handler_;
  std::shared_ptr<Listener> listener_;
  std::size_t connections_ = 0;
};

AgentCheckServer::AgentCheckServer(asio::any_io_executor executor, Handler handler)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(handler))) {}

AgentCheckServer::~AgentCheckServer() {
  impl_->close();
}

std::expected<void, std::string> AgentCheckServer::configure(const config::AgentCheck& wanted) {
  return impl_->configure(wanted);
}

}  // namespace rpcw
