#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "weighter/judge/judge.hpp"
#include "weighter/state/haproxy_view.hpp"
#include "weighter/strategy/score_inputs.hpp"

/// From verdicts to weights: score, scale, fall back. Pure, as judging is.
namespace rpcw {

struct ServerDecision {
  State state = State::kUnknown;
  std::vector<ReasonNote> reasons;
  ScoreInputs inputs;
  /// The strategy's product; 0: not eligible.
  double score = 0;
  /// The applied weight, 0..256.
  unsigned weight = 0;
  /// The newest head that it has shown; absent: none.
  std::optional<Head> head;
  /// Absent: there is no head, or its chain's heads have no time.
  std::optional<milliseconds> head_age;
  /// Blocks behind the agreed head; absent: one of the two is not there.
  std::optional<std::uint64_t> lag_blocks;
  /// Median of the newest probes; absent: none has succeeded.
  std::optional<std::chrono::microseconds> latency;
};

/// Why a score is low without a reason: it uses a much higher latency than the newest answers had, since a probe has no
/// answer yet or was slow a moment ago. A sentence for a person; empty: it does not.
std::string slowness_text(const ServerDecision& server);

/// How much a server is worth in a fallback, best first. Only servers of the best standing that HAProxy can use get
/// traffic.
enum class Standing : std::uint8_t {
  kAnswers,       ///< healthy, or its answers are only old, slow or behind
  kWorkFails,     ///< shows heads, but its real work fails: canaries, live traffic, a rate limit that stays
  kNoAnswer,      ///< its newest probe failed, or there is no answer yet
  kDisqualified,  ///< wrong chain, forked, or a head that cannot be
};
Standing standing_of(const ServerDecision& server);

struct BackendDecision {
  std::vector<ServerDecision> servers;
  std::vector<ReferenceVerdict> references{};
  std::optional<AgreedHead> head;
  std::vector<BackendNote> notes;
  /// The rule that gives the weights, as fewer than min_healthy are healthy; absent: the scores give them.
  std::optional<config::Fallback> fallback;
  /// Servers that may get traffic by our verdict, backups included, disabled ones not.
  unsigned healthy = 0;
  /// Whether any server has a verdict. Without one, nothing should be pushed.
  bool any_verdict = false;
  /// No provider of the backend gave any HTTP answer.
  bool blind = false;
};

/// One decision for one backend.
/// `applied`: the weights of the decision before, in the order of the file; empty: there was none. Small changes
/// against them are not made (see worth_pushing). `view`: empty servers: HAProxy was not read; then every server counts
/// as active and enabled.
BackendDecision decide(BackendHistory& history, const config::Backend& backend, const config::Probe& probe,
                       const BackendView& view, std::span<const unsigned> applied, Now now);

/// The two halves of `decide` around `judge`. `note_returns` begins the ramp of servers that an operator has put back.
/// `weigh` makes weights of the verdict.
void note_returns(BackendHistory& history, const config::Backend& backend, const BackendView& view, MonoTime now);
BackendDecision weigh(BackendHistory& history, const config::Backend& backend, const config::Probe& probe,
                      const BackendView& view, BackendVerdict&& verdict, std::span<const unsigned> applied, Now now);

/// Whether targets differ enough from what is applied to be worth pushing: some server crosses zero, or would move by
/// at least 25 % of its weight and at least 8 (or half of its weight). Then all targets are taken, else all applied
/// weights stay. `dead_band`: a larger part than these 25 %; 0: those.
bool worth_pushing(std::span<const unsigned> applied, std::span<const unsigned> targets, double dead_band = 0);

/// Whether HAProxy's `algorithm` chooses a server by a hash of the request, so that each change of a weight moves
/// clients to other servers.
bool hashes(std::string_view algorithm);
/// Which requests a server gets under it.
Requests requests_under(std::string_view algorithm);

}  // namespace rpcw
