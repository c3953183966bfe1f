#pragma once

#include <boost/asio/awaitable.hpp>
#include <expected>
#include <memory>
#include <vector>

#include "config/config.hpp"
#include "haproxy/client.hpp"
#include "haproxy/lookup.hpp"

namespace rpcw::haproxy {

/// Finds the HAProxys of an endpoint: one for each address behind the name of a dns: endpoint, else the endpoint
/// itself.
class Discovery {
 public:
  explicit Discovery(config::Endpoint endpoint, Lookup::Function lookup = Lookup::system())
      : endpoint_(std::move(endpoint)), lookup_(std::move(lookup)) {}

  /// Never empty, each address once, sorted. A look-up that has not ended within `timeout` is a failure, and the next
  /// call waits for it: a name server that hangs takes one thread. One call at a time.
  boost::asio::awaitable<std::expected<std::vector<config::Endpoint>, Failure>> find(milliseconds timeout);

 private:
  config::Endpoint endpoint_;
  Lookup::Function lookup_;
  std::shared_ptr<Lookup> under_way_;
};

}  // namespace rpcw::haproxy
