#include "weighter/judge/judge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.hpp"
#include "weighter/constants.hpp"
#include "weighter/judge/ejection.hpp"
#include "weighter/judge/faults.hpp"
#include "weighter/judge/silence.hpp"

namespace rpcw {
namespace {

using std::chrono::duration_cast;

class Judge {
 public:
  Judge(BackendHistory& history, const config::Backend& backend, const config::Probe& probe, Now now, Requests requests)
      : history_(history),
        backend_(backend),
        probe_(probe),
        now_(now),
        requests_(requests),
        heads_(scan_heads(history, backend, probe, now)),
        block_time_(block_time_for_lag(history.block_time, backend.chain)),
        at_{backend, probe, heads_, history.block_time, block_time_, now},
        blind_(is_blind(history)),
        ejections_(history, backend, probe, now.mono, blind_) {}

  BackendVerdict run() {
    out_.head = heads_.agreed;
    out_.halted = heads_.halted;
    out_.blind = blind_;
    if (heads_.no_quorum)
      note(
          "no_quorum",
          "operators are more than max_lag apart, and no head has a majority; a third one, or a [[backend.reference]], "
          "would decide");
    if (!history_.forks.tie.empty()) note("fork_tie", history_.forks.tie);
    if (heads_.halted)
      note("halted", "all heads are too old and agree: the chain stands still, or this machine's clock is wrong");

    if (heads_.clock_ahead)
      note("halted", "all heads are too old, but they rise: this machine's clock is ahead, or blocks are dated late");

    note_unverified(heads_.agreed || heads_.no_quorum);
    if (heads_.clock_behind)
      note("halted", "most operators date their heads in the future: this machine's clock is behind");

    out_.servers.resize(history_.servers.size());
    if (backend_.live) live_ = scan_live(history_.servers, now_.mono, requests_);
    sum_up_ratios();
    if (heads_.clock_found_behind) forgive_dates();
    for (std::size_t i = 0; i < history_.servers.size(); ++i) judge_server(i);
    for (std::size_t i = 0; i < history_.references.size(); ++i) judge_reference(i);
    if (blind_) ejections_.forgive_outage();
    if (std::ranges::none_of(out_.servers, may_serve, &ServerVerdict::state)) waive_time_outs();
    for (std::size_t i = 0; i < out_.servers.size(); ++i)
      if (ServerVerdict& v = out_.servers[i]; v.state == State::kEjected && v.reasons.empty())
        v.reasons.push_back(ejections_.describe_return(i));
    return std::move(out_);
  }

 private:
  static bool is_blind(const BackendHistory& history) {
    const auto no_answer = [](const TargetHistory& t) {
      return t.probes.failure && is_transport(t.probes.failure->code);
    };
    return !history.servers.empty() && std::ranges::all_of(history.servers, no_answer) &&
           std::ranges::all_of(history.references, no_answer);
  }

  void note(std::string_view code, std::string detail) { out_.notes.push_back({code, std::move(detail)}); }

  /// Notes servers that show heads and do not tell their chain id: they are neither trusted nor disqualified.
  void note_unverified(bool any_vote) {
    if (backend_.chain.identity.empty()) return;
    NameList names;
    for (std::size_t i = 0; i < history_.servers.size(); ++i) {
      const TargetHistory& t = history_.servers[i];
      if (t.identity.status != IdentityHistory::Status::kUnknown || !t.identity.untold || !t.heads.newest ||
          t.probes.failure)
        continue;
      names.add(backend_.servers[i].name);
    }
    const std::size_t count = names.count();
    if (count == 0) return;
    note("unverified", fmt::format("server{} {} do{} not tell {} chain id, so {} no vote on the agreed head{}",
                                   count == 1 ? "" : "s", names.text(), count == 1 ? "es" : "",
                                   count == 1 ? "its" : "their", count == 1 ? "it has" : "they have",
                                   any_vote ? "" : "; no server has one, so only the age of blocks is judged"));
  }

  /// Readmits the servers that only the dates of their heads have ejected.
  void forgive_dates() {
    for (std::size_t i = 0; i < history_.servers.size(); ++i) {
      TargetHistory& t = history_.servers[i];
      const MonoTime window =
          constants::kVoteIntervals * config::interval_of(backend_.servers[i].target, probe_) + probe_.timeout;
      if (!t.ejection.is_out || !came_from_future(t.heads) || t.probes.failure || t.health.bad_in_row > 0 ||
          now_.mono - t.ejection.since > window)
        continue;
      t.ejection.is_out = false;
      t.ejection.until = now_.mono;
      t.ejection.count -= std::min(t.ejection.count, 1U);
    }
  }

  // ---- one server

  void judge_server(std::size_t i) {
    TargetHistory& t = history_.servers[i];
    ServerVerdict& v = out_.servers[i];
    measure(i);
    const bool news = t.health.judged != t.probes.observations;
    if (news && has_new_head(t)) take_head(i);
    if (auto why = disqualification(t, at_)) {
      v.disqualified = true;
      v.state = State::kEjected;
      v.reasons.push_back(std::move(*why));
      if (news) t.health.good_in_row = 0;
      t.health.judged = t.probes.observations;
      ejections_.eject(i);
      return;
    }
    if (t.probes.observations == 0) {
      if (t.probes.not_sent) v.reasons.push_back({t.probes.not_sent->code, t.probes.not_sent->detail});
      return;
    }
    v.reasons = faults(t, backend_.servers[i].target, at_);
    const bool stands_still_with_all =
        out_.halted && !v.reasons.empty() &&
        std::ranges::all_of(v.reasons, [](const ReasonNote& n) { return n.code == Reason::kBlockTooOld; });
    count_news(i, news, stands_still_with_all);
    if (t.ejection.is_out || stands_still_with_all)
      v.state = State::kEjected;
    else
      conclude(i);
  }

  /// Latency, errors and the age of its head, as they are now.
  void measure(std::size_t i) {
    const TargetHistory& t = history_.servers[i];
    ServerVerdict& v = out_.servers[i];
    v.latency = median_latency(t.latency);
    v.smoothed_latency_ms = t.latency.smoothed_ms;
    if (backend_.live) v.live_latency_ms = live_[i].latency_ms;
    if (v.smoothed_latency_ms && v.live_latency_ms)
      *v.smoothed_latency_ms += (*v.live_latency_ms - *v.smoothed_latency_ms) * constants::kLiveLatencyPart;
    const double waiting_ms = backend_.live ? live_[i].waiting_ms.value_or(0.0) : 0.0;
    use_latency(t, waiting_ms, v);
    v.counts = counts_at(t.errors, now_.mono);
    v.error_rate = v.counts.failures / (v.counts.attempts + constants::kErrorPrior);
    if (backend_.live && live_[i].error_rate > v.error_rate) {
      v.counts = {live_[i].attempts, live_[i].failures};
      v.peers_error_rate = live_[i].peers_rate;
      v.error_rate = live_[i].error_rate;
    }
    v.head_age = head_age(t);
  }

  void take_head(std::size_t i) {
    TargetHistory& t = history_.servers[i];
    compare_with_agreed(t);
    t.heads.level_with_others = t.heads.lag_blocks &&
                                lag_time(*t.heads.lag_blocks, block_time_) <= backend_.chain.max_lag &&
                                heads_.others_near(backend_.servers[i].target.operator_name);
    notice_fall(t);
  }

  /// Counts what has come since the last judgement toward fall and rise.
  void count_news(std::size_t i, bool news, bool stands_still_with_all) {
    TargetHistory& t = history_.servers[i];
    ServerVerdict& v = out_.servers[i];
    const bool bad = !v.reasons.empty();
    // Sync state and canaries count once for each answer, not again with each head.
    const bool only_slow = bad && std::ranges::all_of(v.reasons, [](const ReasonNote& n) {
                             return n.code == Reason::kSyncing || n.code == Reason::kCanaryFailed;
                           });
    const bool counts = only_slow ? t.health.node_judged != t.node.observations : news;
    const bool was_out = t.ejection.is_out;
    if (counts && !t.probes.limited && !stands_still_with_all) ejections_.count(i, bad);
    if (stands_still_with_all) {
      t.heads.stood_still = true;
    } else if (std::exchange(t.heads.stood_still, t.heads.stood_still && bad) && bad) {
      // Another server has moved on, and this one has not: it has been bad for long enough already.
      ejections_.eject(i, true);
    }
    if (!stands_still_with_all && limited_for_too_long(i)) {
      v.reasons.push_back({Reason::kRateLimited, t.probes.limited->detail});
      ejections_.eject(i);
    }
    // The traffic counted until now shows the fault that it was out for.
    if (backend_.live && was_out && !t.ejection.is_out) live_[i] = {};
    t.health.judged = t.probes.observations;
    t.health.node_judged = t.node.observations;
    if (news && t.probes.limited && backend_.live) probe_was_limited(t, now_.mono);
    if (backend_.live && !t.ejection.is_out && (live_[i].out || hangs(i)) && ejections_.traffic_may_eject(requests_)) {
      t.live.ejected_because = live_[i].out ? live_errors_text(i) : hang_text(t);
      ejections_.eject(i);
    }
  }

  /// The state and the factors of a server that is not out; its faults are in the verdict.
  void conclude(std::size_t i) {
    TargetHistory& t = history_.servers[i];
    ServerVerdict& v = out_.servers[i];
    if (!t.heads.newest && t.probes.limited) {
      // The server answers, but has never shown a head: there is nothing to judge.
      v.reasons.push_back({Reason::kRateLimited, t.probes.limited->detail});
      return;
    }
    v.state = State::kHealthy;
    if (!v.reasons.empty()) {
      v.state = State::kDegraded;
      v.failure_penalty = constants::kFailurePenalty;
    }
    apply_factors(t, v);
    if (backend_.live) note_live(i);
  }

  void judge_reference(std::size_t i) {
    TargetHistory& t = history_.references[i];
    ReferenceVerdict& v = out_.references.emplace_back();
    if (t.health.judged != t.probes.observations && has_new_head(t)) compare_with_agreed(t);
    t.health.judged = t.probes.observations;
    if (auto why = disqualification(t, at_))
      v.reasons.push_back(std::move(*why));
    else
      v.reasons = faults(t, backend_.references[i], at_);
    for (const auto& trouble : {t.probes.limited, t.probes.not_sent})
      if (trouble) v.reasons.push_back({trouble->code, trouble->detail});
    v.head = t.heads.newest;
    v.head_age = head_age(t);
    v.lag_blocks = t.heads.lag_blocks;
    v.latency = median_latency(t.latency);
  }

  std::optional<milliseconds> head_age(const TargetHistory& t) const {
    if (!t.heads.newest) return std::nullopt;
    return std::max(now_.wall - t.heads.newest->timestamp, milliseconds{0});
  }

  static bool has_new_head(const TargetHistory& t) { return t.heads.newest && !t.probes.failure && !t.probes.limited; }

  /// The lag is fixed at the moment of the answer: a target must not seem to fall behind because others were probed
  /// after it.
  void compare_with_agreed(TargetHistory& t) const {
    t.heads.lag_blocks.reset();
    if (heads_.agreed)
      t.heads.lag_blocks = heads_.agreed->number - std::min(heads_.agreed->number, t.heads.newest->number);
  }

  /// A node that is restored from a backup falls back once. A head that does so again and again comes from two pools of
  /// nodes behind one address, and clients meet both.
  void notice_fall(TargetHistory& t) const {
    if (!t.heads.previous) return;
    const std::uint64_t before = t.heads.previous->number;
    if (before > t.heads.newest->number &&
        lag_time(before - t.heads.newest->number, block_time_) > backend_.chain.max_lag) {
      t.heads.falls = std::min(t.heads.falls + 1, constants::kHeadFallsRecur);
      t.heads.steady = 0;
      distrust_identity(t, now_.mono);
    } else if (t.heads.falls > 0 && ++t.heads.steady >= constants::kSteadyHeads) {
      t.heads.falls = t.heads.steady = 0;
    }
  }

  /// A rate limit is no failure, and the last head stays valid: until it has been too old for as long as failures take
  /// to eject.
  bool limited_for_too_long(std::size_t i) const {
    const TargetHistory& t = history_.servers[i];
    if (!t.probes.limited || !t.heads.newest) return false;
    const MonoTime since = now_.mono - t.heads.received.mono;
    if (!backend_.chain.max_block_age) return since > constants::kLimitedLongest;
    const auto age = heads_.clock_ahead ? since : now_.wall - t.heads.newest->timestamp;
    return age > *backend_.chain.max_block_age + probe_.fall * config::interval_of(backend_.servers[i].target, probe_);
  }

  // ---- live traffic

  /// Requests pile up, and a probe has had no answer for half of its time-out: it is ejected now. Strategies without
  /// latency would send it traffic until the time-out.
  bool hangs(std::size_t i) const {
    const TargetHistory& t = history_.servers[i];
    if (!live_[i].waiting_ms || !t.probes.sent_at) return false;
    const MonoTime silent = now_.mono - *t.probes.sent_at;
    return silent >= constants::kHangPart * probe_.timeout &&
           silent >= no_answer_noticed(t.latency.smoothed_ms.value_or(0.0));
  }

  std::string hang_text(const TargetHistory& t) const {
    return fmt::format("requests pile up, and a probe has had no answer for {}",
                       span_text(duration_cast<milliseconds>(now_.mono - *t.probes.sent_at)));
  }

  std::string live_errors_text(std::size_t i) const {
    const LiveView& l = live_[i];
    return fmt::format("{:.0f} % of its requests failed of late, {:.1f} % of the others'",
                       100.0 * l.failures / std::max(l.attempts, 1.0), 100.0 * l.peers_rate);
  }

  /// The reasons that live traffic gives. Its effect on the score is counted in `measure`.
  void note_live(std::size_t i) {
    ServerVerdict& v = out_.servers[i];
    const LiveView& l = live_[i];
    if (l.failing) degrade(v, Reason::kLiveErrors, live_errors_text(i));
    if (l.sizes_differ) {
      v.failure_penalty = std::min(v.failure_penalty, constants::kSizePenalty);
      degrade(v, Reason::kLiveErrors, "its answers have another size than before, and the others' have not");
    }
    if (left_behind(i))
      degrade(v, Reason::kLiveLatency,
              fmt::format("{:.0f} ms in live traffic, {:.0f} ms in probes", *l.latency_ms,
                          history_.servers[i].latency.smoothed_ms.value_or(0)));
    v.quota_share = l.quota_share;
    if (const double plan = backend_.servers[i].max_rate; plan > 0 && l.backend_per_s > 0)
      v.plan_share = std::min(1.0, plan / l.backend_per_s);
    if (l.quota_share && *l.quota_share < 1.0)
      degrade(v, Reason::kRateLimited,
              fmt::format("live traffic: its quota carries about {:.0f} requests a second",
                          history_.servers[i].live.quota_per_s.value_or(0)));
  }

  /// How many times as long as probes real requests take; absent: not known.
  std::optional<double> latency_ratio(std::size_t i) const {
    const auto& probes = history_.servers[i].latency.smoothed_ms;
    if (!live_[i].latency_ms || !probes) return std::nullopt;
    return *live_[i].latency_ms / std::max(*probes, constants::kLatencyFloorMs);
  }

  void sum_up_ratios() {
    for (std::size_t i = 0; i < live_.size(); ++i)
      if (const auto s = latency_ratio(i)) {
        ratios_ += *s;
        ++rated_;
      }
  }

  /// Live latency is compared with the probes', and that with the others': real requests are heavier everywhere.
  bool left_behind(std::size_t i) const {
    const auto own = latency_ratio(i);
    if (!own || *own < constants::kLiveLeftBehind || rated_ < 2) return false;
    return *own > constants::kLiveLeftBehind * (ratios_ - *own) / (rated_ - 1);
  }

  /// What lowers a score without being a failure.
  void apply_factors(TargetHistory& t, ServerVerdict& v) const {
    const auto lower = [&v](double& factor, double to, Reason reason, std::string detail) {
      factor = to;
      degrade(v, reason, std::move(detail));
    };
    // No factor of the score: this machine is to blame, and all servers suffer alike.
    if (t.probes.not_sent) {
      v.state = State::kDegraded;
      v.reasons.push_back({t.probes.not_sent->code, t.probes.not_sent->detail});
    }
    // Where live traffic has found the quota, the share stays at what that carries; a factor on top would make it
    // swing.
    if (t.probes.limited)
      lower(v.rate_limit_factor, backend_.live && t.live.quota_per_s ? 1.0 : constants::kRateLimitFactor,
            Reason::kRateLimited, t.probes.limited->detail);
    t.heads.slipping = false;
    if (t.heads.lag_blocks) {
      const double fresh = freshness(lag_time(*t.heads.lag_blocks, block_time_), block_time_, backend_.chain.max_lag);
      if (fresh < 1.0) lower(v.freshness, fresh, Reason::kBlockLag, lag_text(t, at_));
      t.heads.slipping = fresh < 1.0 && t.heads.previous && t.heads.previous->number >= t.heads.newest->number;
    }
    if (const auto behind = behind_by_date(t)) {
      const double fresh = freshness(*behind, block_time_, backend_.chain.max_lag);
      if (fresh < v.freshness) {
        lower(v.freshness, fresh, Reason::kBlockLag,
              fmt::format("block {} is {} older than {}, which another provider shows", t.heads.newest->number,
                          span_text(*behind), heads_.furthest->number));
        t.heads.slipping = true;
      }
    }
    if (backend_.min_peers > 0 && t.node.peers && *t.node.peers < backend_.min_peers)
      lower(v.peers_factor, constants::kFewPeersFactor, Reason::kTooFewPeers,
            fmt::format("{} peers, min_peers {}", *t.node.peers, backend_.min_peers));
    apply_ramp(t.ejection, backend_, now_.mono, v);
  }

  /// How much older the server's newest block is than the furthest one, where that is some blocks ahead and at the
  /// chain's pace. Dates tell where votes do not: two servers that fall behind together may be the majority. Absent:
  /// the furthest head makes this one no older.
  std::optional<milliseconds> behind_by_date(const TargetHistory& t) const {
    if (!heads_.furthest || !t.heads.newest) return std::nullopt;
    const Head& own = *t.heads.newest;
    const Head& furthest = *heads_.furthest;
    if (furthest.number < own.number + constants::kBehindBlocks) return std::nullopt;
    const milliseconds dated = furthest.timestamp - own.timestamp;
    if (!rise_explained(furthest.number - own.number, dated, block_time_, backend_.chain.max_lag)) return std::nullopt;
    // At most the age that the block had when it came: a server must not fall behind because others were probed after
    // it, and a date in the near future must make no block older.
    return std::min(dated, t.heads.received.wall - own.timestamp);
  }

  /// The latency that scores use: the smoothed one, or more while an answer is missing. The excess grows with the
  /// square of the wait, since an answer becomes ever less likely. `waiting_ms`: how long live requests have been
  /// waiting.
  void use_latency(const TargetHistory& t, double waiting_ms, ServerVerdict& v) const {
    v.latency_used_ms = v.smoothed_latency_ms;
    if (!v.smoothed_latency_ms) return;
    double silence_ms = std::max(waiting_ms, static_cast<double>(t.probes.unanswered_for.count()) / 1000.0);
    if (t.probes.sent_at)
      silence_ms = std::max(silence_ms, static_cast<double>((now_.mono - *t.probes.sent_at).count()) / 1000.0);
    const auto noticed = static_cast<double>(no_answer_noticed(*v.smoothed_latency_ms).count());
    if (silence_ms <= noticed) return;
    v.unanswered_ms = silence_ms;
    v.latency_used_ms = silence_ms * silence_ms / noticed;
  }

  /// No server may serve, so the fallback gives traffic to all. Each is readmitted as soon as it answers well: a
  /// time-out is for a server that fails while others do not.
  void waive_time_outs() {
    for (std::size_t i = 0; i < out_.servers.size(); ++i) {
      ServerVerdict& v = out_.servers[i];
      if (v.disqualified || !ejections_.waive_time_out(i)) continue;
      v.state = State::kHealthy;
      v.reasons.clear();
      apply_factors(history_.servers[i], v);
    }
  }

  BackendHistory& history_;
  const config::Backend& backend_;
  const config::Probe& probe_;
  const Now now_;
  const Requests requests_;
  const HeadView heads_;
  const milliseconds block_time_;
  const Moment at_;
  const bool blind_;
  Ejections ejections_;
  BackendVerdict out_;
  /// Empty: not used.
  std::vector<LiveView> live_;
  /// Sum and number of the servers' latency ratios.
  double ratios_ = 0;
  unsigned rated_ = 0;
};

}  // namespace

BackendVerdict judge(BackendHistory& history, const config::Backend& backend, const config::Probe& probe, Now now,
                     Requests requests) {
  return Judge(history, backend, probe, now, requests).run();
}

double freshness(milliseconds lag, milliseconds block_time, milliseconds max_lag) {
  const milliseconds full = block_time + constants::kFreshSlack;
  if (lag <= full) return 1.0;
  if (lag >= max_lag) return 0.0;
  return static_cast<double>((max_lag - lag).count()) / static_cast<double>((max_lag - full).count());
}

}  // namespace rpcw
