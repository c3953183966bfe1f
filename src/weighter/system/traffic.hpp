#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "config/config.hpp"
#include "weighter/state/live_delta.hpp"
#include "weighter/system/system_state.hpp"

namespace rpcw {

/// What one HAProxy has counted between two reads.
struct Traffic {
  /// As long as the file's backends. By the backend that judges its servers: what came to them by itself and by those
  /// that follow it, in the order of its servers; empty: nothing was counted.
  std::vector<std::vector<LiveDelta>> by_judge;
  /// Of all of them together.
  std::uint64_t requests = 0;
};

/// Counts the backends with `live` between two reads of one worker, `elapsed` apart, and carries the backlogs over into
/// `after`. `before` is nullptr at the first read of a worker: then nothing is counted.
Traffic count_traffic(const config::Config& config, const SystemState& state, const haproxy::Instance* before,
                      haproxy::Instance& after, MonoTime elapsed);

/// The open requests that each HAProxy has shown last. They are added up: a HAProxy that is idle must not hide requests
/// that pile up at another one.
class OpenRequests {
 public:
  /// `traffic`: what this HAProxy has shown just now. Adds the open requests that the others have shown within
  /// kOpenShownFor.
  void sum_up(std::uint32_t haproxy, Traffic& traffic, MonoTime now);
  /// Forgets everything: the servers have other indices.
  void clear() { shown_.clear(); }

 private:
  struct Shown {
    MonoTime at{};
    /// As Traffic::by_judge.
    std::vector<std::vector<std::uint64_t>> open;
  };
  std::map<std::uint32_t, Shown> shown_;
};

}  // namespace rpcw
