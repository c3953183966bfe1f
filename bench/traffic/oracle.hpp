#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <string>
#include <vector>

#include "traffic/http.hpp"
#include "traffic/scenario.hpp"

namespace rpcw::bench {

/// The best weights at a time of a scenario: 1/latency among those that are well now and for the next moment, none
/// above nine tenths of its quota. All equal when none is well, or when all quotas together are too small.
std::vector<unsigned> oracle_weights(const Scenario& scenario, double at_s);

/// Sets them, a moment before they are needed.
class Oracle {
 public:
  Oracle(asio::io_context& io, const Scenario& scenario, Clock::time_point start, std::string admin_socket);

  asio::awaitable<void> run();

 private:
  asio::io_context& io_;
  const Scenario& scenario_;
  const Clock::time_point start_;
  const std::string admin_socket_;
};

}  // namespace rpcw::bench
