#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <type_traits>
#include <utility>

#include "base/tuple_token.hpp"

/// Listening sockets on an Asio loop.
namespace rpcw {

/// Opens the acceptor and listens at `endpoint`. An IPv6 socket takes no IPv4 connections, so 0.0.0.0 and [::] may both
/// be given.
template <typename Protocol>
boost::system::error_code listen_at(boost::asio::basic_socket_acceptor<Protocol>& acceptor,
                                    const typename Protocol::endpoint& endpoint) {
  boost::system::error_code ec;
  acceptor.open(endpoint.protocol(), ec);
  if constexpr (std::is_same_v<Protocol, boost::asio::ip::tcp>) {
    if (!ec) acceptor.set_option(boost::asio::socket_base::reuse_address(true), ec);
    if (!ec && endpoint.address().is_v6()) acceptor.set_option(boost::asio::ip::v6_only(true), ec);
  }
  if (!ec) acceptor.bind(endpoint, ec);
  if (!ec) acceptor.listen(boost::asio::socket_base::max_listen_connections, ec);
  return ec;
}

/// Gives each connection to `take` until the acceptor is closed. When no descriptor is left, connections wait in the
/// kernel's queue for the next attempt. Cancel `pause` when the acceptor is closed. The references must stay until it
/// returns.
template <typename Protocol, typename Take>
boost::asio::awaitable<void> accept_all(boost::asio::basic_socket_acceptor<Protocol>& acceptor,
                                        boost::asio::steady_timer& pause, Take take) {
  constexpr std::chrono::milliseconds kNextAttempt{100};
  while (acceptor.is_open()) {
    auto [ec, socket] = co_await acceptor.async_accept(kTuple);
    if (!acceptor.is_open()) co_return;
    if (!ec) {
      take(std::move(socket));
    } else if (ec != boost::asio::error::connection_aborted) {
      pause.expires_after(kNextAttempt);
      co_await pause.async_wait(kTuple);
    }
  }
}

}  // namespace rpcw
