#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "haproxy/client.hpp"
#include "weighter/state/topology.hpp"

namespace rpcw {

/// A HAProxy that has answered.
struct Haproxy {
  std::unique_ptr<haproxy::Client> client;
  haproxy::Instance instance;

  /// The endpoint's text, with the address where a name has several.
  [[nodiscard]] const std::string& name() const { return client->endpoint().text; }
};

struct Haproxys {
  /// In the order of the file.
  std::vector<Haproxy> reached;
  /// Why the others did not answer, each a sentence.
  std::vector<std::string> failures;
};

/// Reads these backends (none: all) from all endpoints at the same time, each for as long as its time-out. `where` must
/// stay until it returns.
boost::asio::awaitable<Haproxys> reach_haproxys(boost::asio::io_context& io, const config::Haproxy& where,
                                                std::vector<std::string> backends);

/// Calls `talk` with each at the same time, and returns when all have ended. All references must stay until then.
boost::asio::awaitable<void> for_each(boost::asio::io_context& io, std::vector<Haproxy>& haproxys,
                                      const std::function<boost::asio::awaitable<void>(Haproxy&)>& talk);

}  // namespace rpcw
