#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "traffic/answer.hpp"
#include "traffic/http.hpp"

namespace sim {
class Chain;
}

namespace rpcw::bench {

/// One request of the load and what became of it.
struct Shot {
  /// Seconds since the scenario's start; negative while warming up.
  double scheduled_s = 0;
  /// From the moment that it was scheduled for, not that it was sent at: a client does not wait less because the
  /// generator was late.
  double latency_ms = 0;
  /// How late it was sent.
  double late_ms = 0;
  Verdict verdict = Verdict::kError;
  /// Index into providers(), or -1: no provider's answer.
  int provider = -1;
};

/// Requests at a constant rate, whether or not earlier ones have been answered.
class Load {
 public:
  struct Plan {
    std::uint16_t port = 0;
    Clock::time_point start{};
    /// Of the first and behind the last request, in seconds from `start`.
    double from_s = 0;
    double to_s = 0;
    /// A request that has no answer so long after it was due counts as timed out, and its connection is closed.
    double patience_s = 0;
    /// Part of the distance between two requests by which this load's are shifted, in [0, 1): several loads must not
    /// fire at the same moments.
    double phase = 0;
    std::uint64_t seed = 1;
  };

  Load(asio::io_context& io, const sim::Chain& chain, const Plan& plan);

  /// Ends when the last answer is in or has timed out.
  asio::awaitable<void> run();

  /// Every request so far that has ended, in the order of their ends.
  const std::vector<Shot>& shots() const { return shots_; }

 private:
  asio::awaitable<void> shoot(double scheduled_s, std::string body);
  std::string draw_request();

  asio::io_context& io_;
  const sim::Chain& chain_;
  const Plan plan_;
  HttpClient client_;
  std::mt19937_64 random_;
  std::size_t under_way_ = 0;
  std::uint64_t next_id_ = 1;
  std::vector<Shot> shots_;
};

}  // namespace rpcw::bench
