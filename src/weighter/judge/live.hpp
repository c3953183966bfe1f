#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/time.hpp"
#include "weighter/state/history.hpp"
#include "weighter/state/live_delta.hpp"

/// Evidence from the traffic that HAProxy has counted: real methods, real load, real quotas. Pure, as judging is.
namespace rpcw {

/// Which requests a server gets: a part of all clients', or all of some clients' (a hash). Then a client whose requests
/// are wrong has all its errors at one server: its 4xx say nothing of quotas, and its 5xx little of the server.
enum class Requests : std::uint8_t { kOfAll, kOfSome };

/// Folds what one HAProxy has counted of a backend's servers in; deltas of several HAProxys add up. Returns the servers
/// of which a probe and a read at once would tell more: sudden failures, or open requests that pile up. `open` is that
/// of all HAProxys together.
std::vector<std::size_t> fold_live(std::span<TargetHistory> servers, std::span<const LiveDelta> deltas, MonoTime now,
                                   Requests requests = Requests::kOfAll);

/// The server returns after an ejection: what its traffic was like before says nothing any more. What its quota carries
/// stays.
void restart_live(LiveHistory& live);

/// A probe met a rate limit: the quota that live traffic has found is a little too high, or much where HAProxy counts
/// no refusals. Without live traffic nothing.
void probe_was_limited(TargetHistory& target, MonoTime now);

/// What a backend's live traffic says of one of its servers.
struct LiveView {
  /// Requests that ended and failed ones among them, faded, of the memory that shows the higher rate.
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
  /// Of the answers of the last seconds, in ms; absent: too few.
  std::optional<double> latency_ms;
  /// How long its open requests have been waiting, in ms; absent: no longer than usual.
  std::optional<double> waiting_ms;
  /// Its answers alone have changed their size: they may be errors that come with status 200.
  bool sizes_differ = false;
  /// The part of the backend's traffic that its quota carries; absent: no limit is known.
  std::optional<double> quota_share;
  /// Requests a second that the whole backend was sent of late; 0: too few to steer by.
  double backend_per_s = 0;
};

/// As of `now`, for all servers of a backend together.
std::vector<LiveView> scan_live(std::span<const TargetHistory> servers, MonoTime now,
                                Requests requests = Requests::kOfAll);

}  // namespace rpcw
