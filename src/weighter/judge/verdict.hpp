#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "weighter/judge/heads.hpp"
#include "weighter/state/history.hpp"
#include "weighter/state/reason.hpp"

/// The verdicts on the servers of a backend at one moment.
namespace rpcw {

enum class State : std::uint8_t {
  kHealthy,
  kDegraded,  ///< counts for less
  kEjected,   ///< weight 0
  kUnknown,   ///< no verdict yet
  kDisabled,  ///< MAINT or DRAIN by an operator of HAProxy
};
std::string_view to_string(State state);
/// It has a verdict and is not out.
constexpr bool may_serve(State state) {
  return state == State::kHealthy || state == State::kDegraded;
}

struct ServerVerdict {
  State state = State::kUnknown;
  std::vector<ReasonNote> reasons;
  /// Wrong chain, forked, or a head that cannot be: gets nothing, whatever else holds.
  bool disqualified = false;

  // Factors of the score, each in [0, 1].
  /// 0.5 after a failure that has not yet ejected it.
  double failure_penalty = 1.0;
  /// 0.25 while it limits our rate.
  double rate_limit_factor = 1.0;
  /// 0.5 with too few peers.
  double peers_factor = 1.0;
  /// 1 up to one block and 2 s behind the agreed head, then linear down to 0 at max_lag.
  double freshness = 1.0;
  /// From 0.1 to 1 over `ramp` after a return.
  double ramp = 1.0;

  /// Smoothed, of probes that were answered; absent: not known.
  std::optional<double> smoothed_latency_ms;
  /// The latency that scores use: the same, or more while a probe should have been answered.
  std::optional<double> latency_used_ms;
  /// How long a probe, or live requests, have been waiting, where that makes it more; absent: it does not.
  std::optional<double> unanswered_ms;
  /// Median of the newest probes; absent: not known.
  std::optional<std::chrono::microseconds> latency;
  /// Of probes; of live traffic where that shows a higher rate of errors. Decayed as of now.
  Counts counts;
  /// In [0, 1], from `counts`.
  double error_rate = 0;
  /// The rate of the other servers, by which `error_rate` was corrected; 0 where `counts` are of probes.
  double peers_error_rate = 0;
  /// HAProxy's, averaged; absent: too little traffic.
  std::optional<double> live_latency_ms;
  /// The part of the backend's traffic that its quota carries; absent: no limit is known.
  std::optional<double> quota_share;
  /// The part of the backend's traffic that its configured max_rate is; absent: none is configured, or there is too
  /// little traffic to tell. At most 1.
  std::optional<double> plan_share;
  /// Wall clock minus the head's timestamp, at least 0; absent: no head.
  std::optional<milliseconds> head_age;
};

/// Makes the server degraded, for this reason unless it has one of this code.
void degrade(ServerVerdict& verdict, Reason reason, std::string detail);

/// A reference only serves to compare servers with: it has no weight, and so no state.
struct ReferenceVerdict {
  /// Why it would be no healthy server; empty: it would be one.
  std::vector<ReasonNote> reasons;
  /// Its newest block; absent: it has shown none yet.
  std::optional<Head> head;
  /// As of a server.
  std::optional<milliseconds> head_age;
  std::optional<std::uint64_t> lag_blocks;
  std::optional<std::chrono::microseconds> latency;
};

struct BackendVerdict {
  std::vector<ServerVerdict> servers;
  /// In the order of the file.
  std::vector<ReferenceVerdict> references{};
  std::optional<AgreedHead> head;
  std::vector<BackendNote> notes;
  /// Every server's newest probe failed before any HTTP answer, and there is at least one server.
  bool blind = false;
  /// All heads are too old at once and agree.
  bool halted = false;
};

}  // namespace rpcw
