#pragma once

#include <boost/asio/awaitable.hpp>
#include <expected>
#include <memory>
#include <vector>

#include "config/config.hpp"
#include "haproxy/client.hpp"
#include "haproxy/lookup.hpp"

namespace rpcw::haproxy {

/// Finds the HAProxys of an endpoint: itself, but every address behind the name of a dns: one.
class Discovery {
 public:
  explicit Discovery(config::Endpoint endpoint, Lookup::Function lookup = Lookup::system())
      : endpoint_(std::move(endpoint)), lookup_(std::move(lookup)) {}

  /// Never empty, each once, sorted by address. One that has not ended within `timeout` is waited for by the next call,
  /// so that a name server that hangs has one thread. One call at a time.
  boost::asio::awaitable<std::expected<std::vector<config::Endpoint>, Failure>> find(milliseconds timeout);

 private:
  config::Endpoint endpoint_;
  Lookup::Function lookup_;
  std::shared_ptr<Lookup> under_way_;
};

}  // namespace rpcw::haproxy
