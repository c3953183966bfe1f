#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "weighter/state/topology.hpp"

namespace rpcw::bench::model {

/// HAProxy's `balance roundrobin` for providers(), and what it counts.
class Balancer {
 public:
  struct Server {
    unsigned weight = 100;
    double current = 0;
    std::uint64_t requests = 0;
    std::uint64_t redispatched = 0;
    std::uint64_t connect_failures = 0;
    std::uint64_t time_outs = 0;
    std::uint64_t aborted = 0;
    std::uint64_t good = 0;
    std::uint64_t client_errors = 0;
    std::uint64_t server_errors = 0;
    std::uint64_t open = 0;
    std::uint64_t bytes = 0;
    double rtime_ms = 0;

    [[nodiscard]] std::uint64_t answers() const { return good + client_errors + server_errors; }
  };

  Balancer();

  /// Absent: no server has a weight. `without`: one that was just tried.
  std::optional<std::size_t> choose(std::optional<std::size_t> without = {});
  /// An answer of server `i` came after so long, and was so long.
  void answered(std::size_t i, double seconds, std::uint64_t bytes);
  /// As `show info` and `show stat` would have it, so long after HAProxy's start.
  [[nodiscard]] haproxy::Instance instance(double uptime_s) const;

  std::vector<Server> servers;
};

}  // namespace rpcw::bench::model
