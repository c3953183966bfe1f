#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "weighter/observation.hpp"
#include "weighter/reason.hpp"
#include "weighter/time.hpp"

/// From observations to verdicts. No I/O, no clock, no randomness: the time is an argument, and the same calls give the
/// same verdicts.
namespace rpcw {

/// What is remembered of one probed target: a server, or a reference.
struct TargetHistory {
  enum class Identity : std::uint8_t { kUnknown, kVerified, kWrong };

  Identity identity = Identity::kUnknown;
  /// The chain id that a wrong one answered.
  std::uint64_t seen_chain_id = 0;

  /// The last good head and when it came; absent: there was none yet.
  std::optional<Head> head;
  Now head_received;
  /// Blocks behind the agreed head at the moment the last head was judged; absent: not known.
  std::optional<std::uint64_t> lag_blocks;

  /// Why the newest probe failed; absent: it did not, or there was none.
  std::optional<ProbeFailure> failure;
  /// The newest probe met a rate limit: neither a success nor a failure, and the last head stays valid.
  std::optional<ProbeFailure> limited;
  /// The newest good latencies, oldest first; `latency_count` of them are valid.
  std::array<std::chrono::microseconds, 3> latencies{};
  unsigned latency_count = 0;

  /// Answers and failures folded in so far; 0: nothing is known.
  std::uint64_t observations = 0;
  /// How many of them the judge has already counted.
  std::uint64_t judged = 0;
  unsigned good_in_row = 0;
  unsigned bad_in_row = 0;
  bool ejected = false;

  [[nodiscard]] bool ever_answered() const { return head.has_value(); }
  /// Median of the newest latencies (the mean of two); absent: none is known.
  [[nodiscard]] std::optional<std::chrono::microseconds> median_latency() const;
};

/// What is remembered of one backend. Sized once from the configuration.
struct BackendHistory {
  std::vector<TargetHistory> servers;
  std::vector<TargetHistory> references;

  explicit BackendHistory(const config::Backend& backend)
      : servers(backend.servers.size()), references(backend.references.size()) {}
};

void fold(TargetHistory& history, HeadObservation&& observation);
/// A failed identity probe changes nothing: what was verified stays so, and the prober asks again.
void fold(TargetHistory& history, const IdentityObservation& observation, const Chain& chain);

struct AgreedHead {
  std::uint64_t number = 0;
  /// Operators that have reached it.
  unsigned agreed_by = 0;

  friend bool operator==(const AgreedHead&, const AgreedHead&) = default;
};

/// An operator's opinion on the head. Two keys at one vendor are one voice.
struct Voice {
  std::string_view operator_name;
  std::uint64_t number = 0;
};

/// Three operators or more: the highest number that at least two have reached, so that one liar cannot move it. Two:
/// the higher one, unless they are more than `max_lag_blocks` apart, when nobody can tell who is right (absent). One:
/// its own. None: absent.
std::optional<AgreedHead> agree_on_head(std::span<const Voice> voices, double max_lag_blocks);

enum class State : std::uint8_t {
  kHealthy,
  kDegraded,  ///< counts for less
  kEjected,   ///< weight 0
  kUnknown,   ///< no verdict yet
  kDisabled,  ///< MAINT or DRAIN by an operator of HAProxy
};
std::string_view to_string(State state);

struct ServerVerdict {
  State state = State::kUnknown;
  std::vector<ReasonNote> reasons;
  /// Wrong chain, or a head that cannot be: gets nothing, whatever else holds.
  bool never = false;
  /// 1, or 0.5 after a failure that has not yet taken it out.
  double doubt = 1.0;
  /// 1, or 0.25 while it limits our rate.
  double rate_limit_factor = 1.0;
  /// Median of the newest probes; absent: not known.
  std::optional<std::chrono::microseconds> latency;
  /// Wall clock minus the head's timestamp, at least 0; absent: no head.
  std::optional<milliseconds> head_age;
};

struct BackendVerdict {
  std::vector<ServerVerdict> servers;
  std::optional<AgreedHead> head;
  std::vector<BackendNote> notes;
  /// Every server's newest probe failed before any HTTP answer, and there is at least one server.
  bool blind = false;
};

/// Judges a backend's targets as they stand and counts the observations that came since the last call toward fall and
/// rise.
BackendVerdict judge(BackendHistory& history, const config::Backend& backend, const config::Probe& probe, Now now);

/// "850 ms", "24 s", "12 min", "3 h": rounded to what a person needs.
std::string span_text(milliseconds span);

}  // namespace rpcw
