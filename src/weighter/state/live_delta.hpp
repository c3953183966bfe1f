#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "weighter/state/topology.hpp"

/// From HAProxy's counters to what they say of the present. Pure.
namespace rpcw {

/// The traffic of one server between two reads of one HAProxy. All 0: there was none, or nothing is known.
struct LiveDelta {
  /// Requests handed to it; in mode tcp connections.
  std::uint64_t requests = 0;
  /// Requests that ended with an answer or failed, at least `failures`. Without those sent before it last had weight 0.
  std::uint64_t ended = 0;
  /// Among them failed connects, broken answers and 5xx (`econ`, `eresp`, `hrsp_5xx`, which do not overlap), and what
  /// HAProxy repeated there or elsewhere (`wretr`, `wredis`).
  std::uint64_t failures = 0;
  /// Requests whose client left before their answer had ended (`cli_abrt`), without streams; not among `ended`. 0 in
  /// mode tcp.
  std::uint64_t aborted = 0;
  /// 4xx, among them 429.
  std::uint64_t client_errors = 0;
  /// Mean of the `timed` newest answers, in ms; absent: too few for HAProxy's whole milliseconds to tell, or mode tcp.
  std::optional<double> latency_ms{};
  std::uint64_t timed = 0;
  /// HAProxy's average over its last 512 answers (`rtime`), in ms: how long an answer usually takes; absent: none yet.
  std::optional<double> average_ms{};
  /// Answers of any kind and their bytes; both 0: not known, or mode tcp.
  std::uint64_t sized = 0;
  std::uint64_t bytes = 0;
  /// Requests without a whole answer at the second read that were sent since it last had weight 0, those in its queue
  /// included; without streams (Backlog::streams). 0 in mode tcp, where requests cannot be told from connections that
  /// stay.
  std::uint64_t open = 0;
  /// The time that all this was counted in; 0: nothing was counted, as at the first read of a worker.
  MonoTime elapsed{};

  friend bool operator==(const LiveDelta&, const LiveDelta&) = default;
};

/// Adds the traffic that reached the same server by another backend. Latency and bytes stay those of `to`, since other
/// methods may take other times and have other answers; how long an answer usually takes is the mean of both, weighed
/// by requests.
void add(LiveDelta& to, const LiveDelta& more);

/// Counts what came between two reads of one worker, `elapsed` apart, and carries the backlogs over into `after`.
/// `before` is nullptr at the first read of a worker: then the backlogs begin, and nothing is counted. One delta for
/// each of `names`; a server that `before` lacks begins as well.
std::vector<LiveDelta> count_traffic(const haproxy::BackendRow* before, haproxy::BackendRow& after,
                                     const std::vector<std::string_view>& names, MonoTime elapsed);

}  // namespace rpcw
