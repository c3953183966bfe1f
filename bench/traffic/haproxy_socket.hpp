#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>
#include <vector>

namespace rpcw::bench {

namespace asio = boost::asio;

/// One line of commands to HAProxy's stats socket, and all of the reply; empty if HAProxy does not answer. The
/// contestants' own: a script has no better.
asio::awaitable<std::string> ask_haproxy(std::string path, std::string line);

/// `set weight` for the servers of backend `rpc` in the order of providers(). Weights in [0, 256].
asio::awaitable<void> set_weights(std::string path, std::vector<unsigned> weights);

/// What HAProxy goes by: the servers' weights in the order of providers(), 0 for those that it holds to be down. Absent
/// if it does not answer.
asio::awaitable<std::optional<std::vector<unsigned>>> effective_weights(std::string path);

}  // namespace rpcw::bench
