#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "config/config.hpp"
#include "weighter/constants.hpp"
#include "weighter/state/observation.hpp"

/// What is remembered between two decisions. Plain values: they can be copied, compared and stored. A new field that a
/// later decision needs is also a line in src/store/history_fields.hpp.
namespace rpcw {

/// When a check besides the head is sent.
struct CheckState {
  /// In the past: with the next probe.
  MonoTime due{};
  MonoTime sent_at{};
  /// It was sent, and the answer is not there yet.
  bool waiting = false;
  /// kIdentity: answers in a row that did not tell it. Others: how often in a row the method was said not to exist
  /// while heads came. 0: the newest answer was none of these.
  unsigned refusals = 0;
};

struct CanaryHistory {
  CheckState check;
  /// Why its newest request failed; absent: it did not, or there was none.
  std::optional<ProbeFailure> failure;
};

/// A block that a target has shown, by a fingerprint of its hash.
struct SeenBlock {
  std::uint64_t number = 0;
  std::uint64_t fingerprint = 0;

  friend bool operator==(const SeenBlock&, const SeenBlock&) = default;
};

/// Counts of requests, which fade.
struct LiveCounts {
  /// Requests sent to the server; those of them that were answered or failed, at least `failures`.
  double requests = 0;
  double ended = 0;
  double failures = 0;
  /// 4xx, among them 429.
  double client_errors = 0;
};

/// A test for a change of level (see constants.hpp, "latency") of something measured again and again, as logarithms.
struct LevelTest {
  /// Standard deviation from one sample to the next.
  double spread = constants::kLevelSpread;
  /// Mean of the newest samples, and of how many: at most kLevelSamples; 0: none.
  double centre = 0;
  double count = 0;
  /// Evidence for a change down and up: the log-likelihood ratio, at least 0.
  double down = 0;
  double up = 0;
};

/// Takes a sample in. `previous`: the one before; absent: there was none. `learned`: the part that their difference has
/// in the spread, [0, 1]. True: the level has changed.
bool level_has_changed(LevelTest& test, double sample, std::optional<double> previous, double learned);

/// A change of the size of a server's answers, beside that of the others'. All as logarithms.
struct SizeChange {
  /// The level that it had before.
  double usual = 0;
  /// Samples of the other servers since, with a half-life of kLiveMinute, and the sum of their distances from their own
  /// usual level.
  double others = 0;
  double others_off = 0;
  MonoTime began{};
};

/// How large the answers of live traffic are.
struct AnswerSizes {
  /// Answers and their bytes that are too few for a sample yet.
  double answers = 0;
  double bytes = 0;
  /// The test of the mean size, and its newest sample, as logarithms.
  LevelTest level;
  double newest = 0;
  /// When it changed; absent: it has not since the newest probe began.
  std::optional<MonoTime> changed_at;
  /// Absent: they are as large as usual, or it is not known what that is.
  std::optional<SizeChange> change;
};

/// How a server answers while requests wait there. A server at its limit answers at one pace, whatever it is sent. A
/// slow server answers as many as it was sent some time ago, and one that hangs none.
struct Saturation {
  /// The newest read has shown more open requests than its usual time for an answer explains.
  bool waiting = false;
  /// That time, in ms: the least since the first one waited, as waiting makes it longer.
  double usual_ms = 0;
  /// Reads between which requests waited all the time, their seconds, and the sums of their rates of answers (1/s) and
  /// of the squares; with a half-life of kLiveMinute.
  double reads = 0;
  double seconds = 0;
  double rates = 0;
  double squares = 0;
  /// The same of the rates of what was sent.
  double sent = 0;
  double sent_squares = 0;
};

/// Clients that left before they had a whole answer. Half-life: kLiveRecent.
struct Aborts {
  double count = 0;
  /// Seconds that requests beyond the usual number were open.
  double waited_s = 0;
};

/// The traffic of one server, as HAProxy has counted it (see live.hpp).
struct LiveHistory {
  /// Half-lives: kLiveNewest, kLiveRecent and kLiveMinute. The first two find a fault, the last one remembers it.
  LiveCounts newest;
  LiveCounts recent;
  LiveCounts minute;
  MonoTime counted_at{};
  /// The seconds in which `recent` was counted, fading alike: their quotient is the rate, from the first read on.
  double measured_s = 0;
  /// Answers whose latency is known, and the sum of their latencies in ms, with a half-life of kLiveRecent as of
  /// `counted_at`.
  double timed = 0;
  double timed_ms = 0;
  /// Their mean, in ms, when the newest of them came; absent: none came since the latency last changed its level.
  std::optional<double> latency_ms;
  AnswerSizes sizes;
  /// How long answers usually take, in ms: HAProxy's long average, which is followed up with kUsualRise, as a pile that
  /// grows slowly takes it along; absent: there was none.
  std::optional<double> average_ms;
  /// How long its open requests have been waiting, in ms, as far as their number tells; absent: no longer than usual.
  std::optional<double> waiting_ms;
  /// Since when they have been; absent: they have not.
  std::optional<MonoTime> waiting_since;
  /// Absent: no client has left of late.
  std::optional<Aborts> aborts;
  /// Absent: no requests have waited of late.
  std::optional<Saturation> saturation;
  /// The rate that its quota carries, in requests a second, as found out so far; absent: no limit was met.
  std::optional<double> quota_per_s;
  /// When the quota was changed last, and how long it stays before more is tried.
  MonoTime quota_at{};
  milliseconds quota_hold{};
  /// By what part of itself the quota is raised next.
  double quota_step = 0;
  /// Why live traffic alone has ejected the server; empty: it has not.
  std::string ejected_because;
};

/// The chain that a target says it is on.
struct IdentityHistory {
  enum class Status : std::uint8_t { kUnknown, kVerified, kWrong };

  Status status = Status::kUnknown;
  /// The newest identity that it told; empty: none.
  std::string seen;
  CheckState check;
  /// The newest check was answered with something else than a chain id.
  bool untold = false;
  /// The newest check had no answer that tells the chain id, whatever the reason but a rate limit.
  bool in_doubt = false;
};

/// The heads that a target has shown.
struct HeadHistory {
  /// The last good head and when it came; absent: there was none yet.
  std::optional<Head> newest;
  Now received;
  /// When the last head came that was dated in the future; absent: none was.
  std::optional<MonoTime> dated_ahead_at;
  /// The good head before `newest`.
  std::optional<Head> previous;
  /// The head rose further than time explains, and no other operator has confirmed it since.
  bool jumped = false;
  /// Blocks behind the agreed head at the moment the last head was judged; absent: not known.
  std::optional<std::uint64_t> lag_blocks;
  /// At that moment another operator's vote was within max_lag of the agreed head, and so was its own head.
  bool level_with_others = false;
  /// How often the head fell back by more than max_lag, and how many heads in a row have not since; both are 0 again
  /// after constants::kSteadyHeads heads that did not.
  unsigned falls = 0;
  unsigned steady = 0;
  /// It lags, and its last two heads were the same: it is about to be too far behind.
  bool slipping = false;
  /// All heads stood still or stand still, and it has shown no younger block since.
  bool stood_still = false;
};

/// How a target's head probes fared.
struct ProbeHistory {
  /// Why the newest probe failed; absent: it did not, or there was none.
  std::optional<ProbeFailure> failure;
  /// The newest probe met a rate limit: neither a success nor a failure, and the last head stays valid.
  std::optional<ProbeFailure> limited;
  /// Why this machine could not send the last probe; absent: it could. Everything else is as it was before that.
  std::optional<ProbeFailure> not_sent;
  /// Rate limits in a row; 0: the newest probe met none.
  unsigned limited_in_row = 0;
  /// When the probe without an answer left our queue; absent: none is under way, or it has not left yet.
  std::optional<MonoTime> sent_at;
  /// How long the newest probe had no answer before it failed; 0 after a good one.
  std::chrono::microseconds unanswered_for{0};
  /// Answers and failures folded in so far; 0: nothing is known.
  std::uint64_t observations = 0;
};

/// Probes and failed probes, decayed as of `counted_at`.
struct ErrorHistory {
  double attempts = 0;
  double failures = 0;
  MonoTime counted_at{};
};

/// What a node says of itself, and how it does real work.
struct NodeHistory {
  /// Blocks that it says it lacks: 0 is up to date, kUnknownGap an unknown number. Absent: it was not asked, or does
  /// not offer it.
  std::optional<std::uint64_t> blocks_missing;
  std::optional<std::uint64_t> peers;
  CheckState syncing_check;
  CheckState peers_check;
  /// One for each canary of the backend; empty before the first was asked.
  std::vector<CanaryHistory> canaries;
  /// Answers on syncing and canaries folded in so far.
  std::uint64_t observations = 0;
};

/// The blocks of a target, to tell forks by.
struct ForkHistory {
  /// The newest blocks that it has shown, oldest first; `seen_count` of them are valid.
  std::array<SeenBlock, 8> seen{};
  unsigned seen_count = 0;
  /// Its chain was compared with the others' since its last failure.
  bool compared = false;
  /// It was in the minority then: why, for a person; empty: it was not.
  std::string minority;
};

/// The latency of a target's good probes.
struct LatencyHistory {
  /// The newest ones, oldest first; `count` of them are valid.
  std::array<std::chrono::microseconds, 3> newest{};
  unsigned count = 0;
  /// Median of `newest`, smoothed over time, in ms; absent: no good probe yet.
  std::optional<double> smoothed_ms;
  MonoTime smoothed_at{};
  LevelTest level;
};

/// What the judge counts from one verdict to the next.
struct HealthHistory {
  /// How many observations of its probes and of its node the judge has already counted.
  std::uint64_t judged = 0;
  std::uint64_t node_judged = 0;
  unsigned good_in_row = 0;
  unsigned bad_in_row = 0;
  /// An operator had it in MAINT or DRAIN at the last decision.
  bool was_disabled = false;
};

/// When a target was taken out, and how it comes back.
struct EjectionHistory {
  bool is_out = false;
  MonoTime since{};
  /// Before that it does not return, whatever its probes say.
  MonoTime until{};
  /// Ejections that are not yet forgiven; each doubles the time-out.
  unsigned count = 0;
  /// The present ejection belongs to an outage of all servers: no time-out, no ramp.
  bool forgiven = false;
  /// Since when it has had no failure; forgiving counts from here.
  MonoTime quiet_since{};
  /// When it returned from its last ejection, or from MAINT or DRAIN; absent: it never was out, or its ramp is over.
  std::optional<MonoTime> returned_at;
};

/// All that is remembered of one probed target: a server, or a reference.
struct TargetHistory {
  IdentityHistory identity;
  HeadHistory heads;
  ProbeHistory probes;
  ErrorHistory errors;
  NodeHistory node;
  ForkHistory forks;
  LatencyHistory latency;
  LiveHistory live;
  HealthHistory health;
  EjectionHistory ejection;
};

/// Median of the newest latencies (the mean of two); absent: none is known.
std::optional<std::chrono::microseconds> median_latency(const LatencyHistory& latency);

/// Restarts the latency from the newest `probes` good probes, at most the 3 that are kept. 0: no change.
void restart_latency(LatencyHistory& latency, unsigned probes);
/// Forgets the latency of live traffic.
void restart_live_latency(LiveHistory& live);

/// Whether the head was dated further into the future, when it came, than a clock may be off. It stays so while it
/// ages. False: there is no head.
bool came_from_future(const HeadHistory& heads);

/// The history of a target that another process has left, and that was not probed for `slept`. Unchanged, unless that
/// is longer than kSleepLongest or its head lies in the future: then as `outlasting`, and not ejected any more.
/// `clock_behind`: this machine's clock was known to be behind, so that dates in the future say nothing.
TargetHistory awoken(TargetHistory&& history, milliseconds slept, Now now, bool clock_behind);

/// What stays valid of a target after minutes without probes: latency, errors, traffic and ejections; not head, chain
/// id or the node's state.
TargetHistory outlasting(TargetHistory&& history);

/// The chain's pace, measured from agreed heads.
struct BlockTime {
  /// Where the measurement under way began; absent: not begun.
  std::optional<Head> anchor;
  /// Absent: not measured yet.
  std::optional<milliseconds> measured;
};

/// What the dates of heads say about this machine's clock.
struct ClockHistory {
  /// Most operators have shown heads that were dated in the future when they came.
  bool behind = false;
  /// The highest agreed head since all heads are too old; absent: one is not.
  std::optional<std::uint64_t> too_old_head;
  /// When the agreed head last rose to a block that was too old already when it came; absent: it never did.
  std::optional<MonoTime> late_rise_at;
};

/// Which target has which block at one height: the comparison under way, and when the next is due.
struct ForkCheck {
  /// Targets that have shown the same blocks: one of them is asked for all.
  struct Group {
    enum class State : std::uint8_t { kWanted, kAsked, kAnswered, kSilent };
    /// Servers count from 0, references on from there. The first one is asked.
    std::vector<std::uint32_t> members;
    State state = State::kWanted;
    std::string hash;
  };

  /// Absent: none is under way.
  std::optional<std::uint64_t> height;
  std::vector<Group> groups;
  MonoTime begun{};
  bool ever = false;
  /// The height at which heads contradict each other, and that the next comparison waits for; absent: none.
  std::optional<std::uint64_t> disputed;
  /// When a comparison last reached such a height; absent: none has.
  std::optional<MonoTime> settled_at;
  /// When heads are looked at next, and when the chains are compared though nothing is suspicious.
  MonoTime next_scan{};
  MonoTime due{};
  /// The last comparison had no majority: what stood against what; empty: it had one.
  std::string tie;
  /// A head named a block as its parent that another target has shown. Some APIs write hashes and parents differently;
  /// until this is set, a parent that differs says nothing.
  bool parents_hold = false;
};

/// How a backend's traffic was shared by its last decision.
struct ShareHistory {
  /// Each server's part of the traffic, in [0, 1], and when it was decided; empty: nothing was decided.
  std::vector<double> last;
  MonoTime at{};
  /// The scores then, without what is for a moment; as long as `last`.
  std::vector<double> scores;
  /// The last decision was the fallback, whose weights are no shares.
  bool fell_back = false;
  /// `fallback = "keep"`: the weights when the fallback began, [0, 256] each; empty: none is on. A server that fails
  /// meanwhile gets nothing, and has its weight again once it answers.
  std::vector<unsigned> kept;
  /// The applied weights are not final: a share was limited in its growth or on its ramp.
  bool converging = false;
};

/// One group's leader. Servers are indices in the file.
struct Lead {
  /// Absent: none yet.
  std::optional<std::uint32_t> leader;
  /// The server that has been better than the leader, and since when; absent: none is.
  std::optional<std::uint32_t> challenger;
  MonoTime challenger_since{};
};

/// Strategy `leader`.
struct LeaderHistory {
  /// Among the active servers.
  Lead active;
  /// HAProxy has been read and shown its leader, so that a restart changes no leader.
  bool looked_up = false;
  /// The leader if the backup servers had to take over; absent: none yet.
  std::optional<std::uint32_t> backup;
};

/// The tiers of a backend's active servers.
struct TierHistory {
  /// The highest tier that serves; absent: the lowest one alone, or there is only one.
  std::optional<unsigned> serving;
  /// Since when lower tiers could do without it; absent: they cannot.
  std::optional<MonoTime> spare_since;
};

/// Of one backend. Sized once from the configuration.
struct BackendHistory {
  std::vector<TargetHistory> servers;
  std::vector<TargetHistory> references;
  BlockTime block_time;
  ClockHistory clock;
  ForkCheck forks;
  ShareHistory shares;
  LeaderHistory leader;
  TierHistory tiers;

  /// Servers count from 0, references on from there.
  [[nodiscard]] TargetHistory& member(std::size_t i) {
    return i < servers.size() ? servers[i] : references[i - servers.size()];
  }
};
/// Nothing is known yet of so many targets, or of the targets of `backend`.
BackendHistory empty_history(std::size_t servers, std::size_t references);
BackendHistory empty_history(const config::Backend& backend);

/// The history of a backend whose list of targets has changed. `from`: by server of the new list, its index in `was`;
/// absent: it is new, and begins with no share. Per-server values are mapped here and nowhere else.
BackendHistory with_servers(BackendHistory&& was, std::vector<TargetHistory>&& servers,
                            std::vector<TargetHistory>&& references, std::span<const std::optional<std::size_t>> from);

/// Folds an answer, or its absence, in. A failure that is `ours` sets `probes.not_sent`, ends `sent_at`, and
/// changes nothing else.
void fold(TargetHistory& history, HeadObservation&& observation);
/// A check without an answer changes nothing that is known, and is sent again. One whose method does not
/// exist, by two answers in a row that came while heads did, is dropped for a day; identity never is. Answers about
/// blocks belong to `fold_block` (forks.hpp).
void fold(TargetHistory& history, const Answer& answer, const Chain& chain);

/// The URL may serve another chain by now: the chain id is checked with the next probe.
void distrust_identity(TargetHistory& history, MonoTime now);
/// It was verified before, and does not tell its chain id now: its share must not grow until it does.
bool must_tell_identity(const TargetHistory& history);

/// Whether its head falls back again and again, as with two pools of nodes behind one address.
bool heads_contradict(const TargetHistory& history);

/// Stops waiting for answers: the checks under way are sent again with the next probe.
void forget_checks(TargetHistory& history);
/// Ends the comparison under way without a result: it begins anew when the next one is due.
void forget_checks(ForkCheck& forks);

/// Probes, or requests, and those of them that failed; decayed as of now.
struct Counts {
  double attempts = 0;
  double failures = 0;
};
Counts counts_at(const ErrorHistory& errors, MonoTime now);

/// How much time a block of lag counts for: the measured block time, at most kMostOfNominalBlockTime times the nominal
/// one, which counts where nothing is measured.
milliseconds block_time_for_lag(const BlockTime& block_time, const Chain& chain);

}  // namespace rpcw
