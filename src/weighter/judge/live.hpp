#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/time.hpp"
#include "weighter/state/history.hpp"

/// Evidence from the traffic that HAProxy has counted: real methods, real load, real quotas. Pure, as judging is.
namespace rpcw {

/// What HAProxy counted of one server between two reads. All 0: it had no traffic, or nothing is known.
struct LiveDelta {
  /// Times the balancer chose it (`lbtot`).
  std::uint64_t requests = 0;
  /// Failed connects, broken answers and 5xx (`econ`, `eresp`, `hrsp_5xx`, which do not overlap).
  std::uint64_t failures = 0;
  /// 4xx, among them 429.
  std::uint64_t client_errors = 0;
  /// HAProxy's average over its last 1024 requests (`rtime`), in ms; absent: there was none.
  std::optional<double> latency_ms;
  /// Requests open or waiting for it at the second read (`scur`, `qcur`).
  std::uint64_t open = 0;

  friend bool operator==(const LiveDelta&, const LiveDelta&) = default;
};

/// Folds what one HAProxy has counted of a backend's servers in; deltas of several HAProxys add up. Returns the servers
/// of which a probe and a read at once would tell more: sudden failures, or open requests that pile up. `open` counts
/// as the whole backend's: with several HAProxys a pile shows a little later.
std::vector<std::size_t> fold_live(std::span<TargetHistory> servers, std::span<const LiveDelta> deltas, MonoTime now);

/// A probe met a rate limit: the quota that live traffic has found is a little too high. Without live traffic nothing.
void probe_was_limited(TargetHistory& target, MonoTime now);

/// What a backend's live traffic says of one of its servers.
struct LiveView {
  /// Requests and failed ones, faded, of the memory that shows the higher rate.
  double attempts = 0;
  double failures = 0;
  /// The others' rate of failures, which few requests are shrunk toward.
  double peers_rate = 0;
  /// (failures + 10 × peers_rate) ÷ (attempts + 10)
  double error_rate = 0;
  /// Its rate of failures lies so far above the others' that its probes' word does not count any more.
  bool out = false;
  /// Enough of it to speak of errors at all.
  bool failing = false;
  /// ms; absent: too little traffic of late.
  std::optional<double> latency_ms;
  /// How long its open requests have been waiting, in ms; absent: no longer than usual.
  std::optional<double> waiting_ms;
  /// The part of the backend's traffic that its quota carries; absent: no limit is known.
  std::optional<double> quota_share;
};

/// As of `now`, for all servers of a backend together.
std::vector<LiveView> look_at_live(std::span<const TargetHistory> servers, MonoTime now);

}  // namespace rpcw
