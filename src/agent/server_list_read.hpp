#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "weighter/state/topology.hpp"

namespace rpcw {

/// What the configured HAProxys have, read once.
struct Lists {
  /// Of those that answered, in the order of the file.
  std::vector<haproxy::Instance> instances;
  /// Where each of them was: the endpoint's text, with the address where a name has several.
  std::vector<std::string> endpoints;
  /// Why the others did not, each a sentence.
  std::vector<std::string> failures;

  [[nodiscard]] std::vector<const haproxy::Instance*> pointers() const;
};

/// Asks all endpoints at the same time, each for as long as its time-out. `config` must stay.
boost::asio::awaitable<Lists> read_lists(boost::asio::io_context& io, const config::Config& config);

}  // namespace rpcw
