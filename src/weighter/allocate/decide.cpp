#include "weighter/allocate/decide.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <utility>

#include "base/text.hpp"
#include "weighter/allocate/scale.hpp"
#include "weighter/constants.hpp"
#include "weighter/schedule/agenda.hpp"
#include "weighter/state/decay.hpp"
#include "weighter/strategy/leader.hpp"
#include "weighter/strategy/strategy.hpp"

namespace rpcw {
namespace {

using Members = std::vector<std::size_t>;

/// A part of the traffic that is more than rounding.
constexpr double kVisible = 1e-6;

class Decider {
 public:
  Decider(BackendHistory& history, const config::Backend& backend, const config::Probe& probe, const BackendView& view,
          std::span<const unsigned> applied, Now now)
      : history_(history),
        backend_(backend),
        strategy_(strategy_named(backend.strategy)),
        probe_(probe),
        view_(view),
        applied_(applied),
        now_(now),
        was_read_(std::ranges::any_of(view.servers, [](const auto& s) { return s.has_value(); })) {}

  BackendDecision run(BackendVerdict&& verdict) {
    out_.head = verdict.head;
    out_.blind = verdict.blind;
    out_.notes = std::move(verdict.notes);
    out_.servers.resize(verdict.servers.size());
    disqualified_.resize(verdict.servers.size());
    steady_.resize(verdict.servers.size());
    plan_shares_.resize(verdict.servers.size());
    for (std::size_t i = 0; i < verdict.servers.size(); ++i) describe(i, std::move(verdict.servers[i]));

    const Members active = members(false);
    const Members backups = members(true);
    const std::size_t healthy_active = healthy(active);
    const std::size_t healthy_backups = healthy(backups);
    out_.healthy = static_cast<unsigned>(healthy_active + healthy_backups);
    const bool backup_takes_over = healthy_active == 0 && (healthy_backups > 0 || view_.usable_foreign_backup);

    targets_.assign(out_.servers.size(), 0);
    shares_.assign(out_.servers.size(), 0.0);
    choose_tier(active);
    const bool falls_back = out_.healthy < backend_.min_healthy && !backup_takes_over;
    if (!falls_back) history_.shares.kept.clear();
    if (falls_back) {
      fall_back(active, backups);
    } else if (strategy_.single_leader) {
      LeaderMemory among_active{history_.leader.server, history_.leader.challenger, history_.leader.challenger_since};
      lead(active, among_active, backend_.switch_back);
      history_.leader.server = among_active.leader;
      history_.leader.challenger = among_active.challenger;
      history_.leader.challenger_since = among_active.challenger_since;
      // A memory of its own: a leader among the backups must not unseat the active one, which has the traffic.
      LeaderMemory among_backups{history_.leader.backup, std::nullopt, {}};
      lead(backups, among_backups, false);
      history_.leader.backup = among_backups.leader;
      history_.leader.looked_up = !view_.servers.empty();
    } else {
      share(active);
      share(backups);
    }
    const bool leads = strategy_.single_leader;
    if (falls_back || leads) shares_from_targets(active, backups);
    if (!leads) {
      keep_shares(active);
      keep_shares(backups);
    }
    if (out_.any_verdict) {
      history_.shares.last = std::move(shares_);
      history_.shares.scores = steady_;
      history_.shares.at = now_.mono;
    }
    // What is applied may be a dead band away from the targets; but not for good where a return has just ended.
    const bool arrived = history_.shares.converging && !converging();
    history_.shares.converging = converging();
    const bool over_plan = !falls_back && !leads && (exceeds_plan(active) || exceeds_plan(backups));
    // Ages grow all the time, so a fallback by age has the dead band of scores.
    const bool exact_fallback = falls_back && out_.fallback != config::Fallback::kLeastBad;
    // Under a hash even the last step of a return would move clients.
    const bool hashed = hashes(view_.algorithm);
    settle(std::exchange(history_.shares.fell_back, falls_back) != falls_back || exact_fallback ||
               (arrived && !hashed) || over_plan,
           hashed ? backend_.hash_dead_band : 0);
    return std::move(out_);
  }

 private:
  const ServerView* view(std::size_t i) const {
    return i < view_.servers.size() && view_.servers[i] ? &*view_.servers[i] : nullptr;
  }

  void describe(std::size_t i, ServerVerdict&& verdict) {
    const TargetHistory& history = history_.servers[i];
    ServerDecision& s = out_.servers[i];
    s.state = verdict.state;
    s.reasons = std::move(verdict.reasons);
    s.head = history.heads.newest;
    s.head_age = verdict.head_age;
    s.lag_blocks = history.heads.lag_blocks;
    s.latency = verdict.latency;
    s.inputs.preference = backend_.servers[i].preference;
    s.inputs.failure_penalty = verdict.failure_penalty;
    s.inputs.peers_factor = verdict.peers_factor;
    s.inputs.rate_limit_factor = verdict.rate_limit_factor;
    s.inputs.ramp = verdict.ramp;
    s.inputs.quota_share = verdict.quota_share;
    plan_shares_[i] = verdict.plan_share;
    if (verdict.plan_share) s.inputs.quota_share = std::min(verdict.quota_share.value_or(1.0), *verdict.plan_share);
    disqualified_[i] = verdict.disqualified;
    if (s.state != State::kUnknown) out_.any_verdict = true;
    if (eligible(i)) {
      const StrategyScore score = strategy_.score(backend_, verdict, view_.algorithm, s.inputs);
      const double factors = s.inputs.preference * s.inputs.peers_factor * s.inputs.rate_limit_factor * s.inputs.ramp;
      s.score = score.now * factors * s.inputs.failure_penalty;
      steady_[i] = score.steady * factors;
    }
    if (const ServerView* v = view(i); v != nullptr && v->disabled) s.state = State::kDisabled;
  }

  bool eligible(std::size_t i) const {
    const State state = out_.servers[i].state;
    return state == State::kHealthy || state == State::kDegraded;
  }

  /// HAProxy has no such server, or one that it never gives anything: its part would be nobody's.
  bool out_of_reach(std::size_t i) const {
    const ServerView* v = view(i);
    return v != nullptr ? v->stuck : was_read_;
  }

  /// HAProxy would give it requests now, if it had a weight.
  bool can_serve(std::size_t i) const {
    const ServerView* v = view(i);
    return !out_of_reach(i) && (v == nullptr || (!v->disabled && !v->down));
  }

  Members members(bool backup) const {
    Members out;
    for (std::size_t i = 0; i < out_.servers.size(); ++i) {
      const ServerView* v = view(i);
      if ((v != nullptr && v->backup) == backup && !out_of_reach(i)) out.push_back(i);
    }
    return out;
  }

  std::size_t healthy(const Members& group) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(group, [&](std::size_t i) { return eligible(i) && can_serve(i); }));
  }

  /// Keeps disabled servers as they are and returns those that share.
  Members sharing(const Members& group) {
    Members out;
    for (const std::size_t i : group) {
      if (out_.servers[i].state == State::kDisabled) targets_[i] = disabled_weight(i);
      if (!eligible(i)) continue;
      if (waits_for_lower_tiers(i))
        out_.servers[i].reasons.push_back(
            {Reason::kStandby, fmt::format("tier {}: servers of lower tiers are enough", backend_.servers[i].tier)});
      else
        out.push_back(i);
    }
    return out;
  }

  // ---- tiers

  /// The lowest tiers with min_healthy healthy servers between them serve; a higher one joins at once and leaves late.
  void choose_tier(const Members& active) {
    std::map<unsigned, std::size_t> healthy_in;
    for (const std::size_t i : active) healthy_in[backend_.servers[i].tier] += eligible(i) && can_serve(i) ? 1U : 0U;
    TierHistory& tiers = history_.tiers;
    if (healthy_in.size() < 2) {
      tiers = {};
      return;
    }
    const unsigned lowest = healthy_in.begin()->first;
    unsigned wanted = healthy_in.rbegin()->first;
    std::size_t sum = 0;
    for (const auto& [tier, count] : healthy_in) {
      sum += count;
      if (sum < backend_.min_healthy) continue;
      wanted = tier;
      break;
    }
    const unsigned before = std::min(tiers.serving.value_or(lowest), healthy_in.rbegin()->first);
    if (wanted >= before) {
      tiers.spare_since.reset();
    } else {
      if (!tiers.spare_since) tiers.spare_since = now_.mono;
      if (now_.mono - *tiers.spare_since < constants::kTierSpareFor)
        wanted = before;
      else
        tiers.spare_since.reset();
    }
    serving_tier_ = wanted;
    tier_joined_ = wanted > before;
    tiers.serving = wanted > lowest ? std::optional(wanted) : std::nullopt;
  }

  bool waits_for_lower_tiers(std::size_t i) const {
    const ServerView* v = view(i);
    return serving_tier_ && backend_.servers[i].tier > *serving_tier_ && (v == nullptr || !v->backup);
  }

  void share(const Members& group) {
    const Members who = sharing(group);
    std::vector<double> scores;
    // Doubt and silence are for a moment: they take their part of a share at once and give it back at once, and growth
    // knows nothing of them.
    for (const std::size_t i : who) scores.push_back(steady_[i]);
    const std::vector<double> shares = grow(who, scores);
    std::vector<double> penalised = shares;
    for (std::size_t k = 0; k < who.size(); ++k)
      if (steady_[who[k]] > 0) penalised[k] *= out_.servers[who[k]].score / steady_[who[k]];
    mark_cut(who, penalised);
    keep_to_plans(who, penalised);
    const bool peak = backend_.scale == config::Scale::kPeak || backend_.servers.size() > kMostServersForShares;
    const std::vector<unsigned> weights =
        peak ? scale_peak(penalised, backend_.max_share) : scale_share(penalised, backend_.max_share);
    for (std::size_t k = 0; k < who.size(); ++k) {
      targets_[who[k]] = weights[k];
      shares_[who[k]] = shares[k];
    }
  }

  /// A failure penalty on one server raises the parts of the others: not beyond what a plan carries, if another server
  /// can take the rest.
  void keep_to_plans(const Members& who, std::vector<double>& shares) const {
    std::vector<double> caps;
    for (const std::size_t i : who) caps.push_back(std::min(plan_shares_[i].value_or(1.0), backend_.max_share));
    const bool planned = std::ranges::any_of(who, [&](std::size_t i) { return plan_shares_[i].has_value(); });
    if (planned && std::accumulate(shares.begin(), shares.end(), 0.0) > 0) shares = shares_below(shares, caps);
  }

  /// A server has more than its plan carries, by more than rounding, and can have less.
  bool exceeds_plan(const Members& group) const {
    if (applied_.size() != targets_.size()) return false;
    double sum = 0;
    for (const std::size_t i : group) sum += out_.servers[i].state == State::kDisabled ? 0 : applied_[i];
    return std::ranges::any_of(group, [&](std::size_t i) {
      return plan_shares_[i] && targets_[i] < applied_[i] && applied_[i] - 1 > *plan_shares_[i] * sum;
    });
  }

  /// Whom max_share keeps below its part. Where growth does as well, the lower of the two limits is the one that
  /// counts.
  void mark_cut(const Members& who, const std::vector<double>& shares) {
    const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
    // Too few servers cannot hold everything between them below a small max_share: it then gives way.
    const double most = std::max(backend_.max_share, 1.0 / static_cast<double>(who.size()));
    for (std::size_t k = 0; k < who.size(); ++k)
      if (shares[k] > (most + kVisible) * sum) out_.servers[who[k]].inputs.limited_by = "max_share";
  }

  // ---- growth

  /// What each server of the group had before; empty: nothing that growth could be measured from.
  /// A server's own fall is taken from it first: else the others, which may grow only so fast, would leave with it what
  /// it has lost the right to.
  std::vector<double> shares_before(const Members& who) const {
    std::vector<double> out;
    double sum = 0;
    const bool from_haproxy = history_.shares.last.empty();
    if (from_haproxy && view_.worker_age < constants::kWorkerSettled) return out;
    // A tier that joins has lost nothing that it would have to earn again.
    if (tier_joined_) return out;
    for (const std::size_t i : who) {
      const ServerView* v = view(i);
      double before = 0;
      if (!from_haproxy)
        before = history_.shares.last[i] * part_left(i);
      else if (v != nullptr)
        before = v->weight;
      out.push_back(before);
      sum += before;
    }
    if (sum <= 0) return {};
    for (double& part : out) part /= sum;
    return out;
  }

  /// What of its score before a server still has, at most 1.
  double part_left(std::size_t i) const {
    const bool fell = i < history_.shares.scores.size() && steady_[i] < history_.shares.scores[i];
    return fell ? steady_[i] / history_.shares.scores[i] : 1.0;
  }

  /// Servers that were verified and do not tell their chain id now keep at most the share that they had: it becomes
  /// their cap. None is marked where there is no other server to trust instead.
  std::vector<bool> must_not_grow(const Members& who, const std::vector<double>& before,
                                  std::vector<double>& caps) const {
    std::vector<bool> out(who.size());
    if (before.empty()) return out;
    for (std::size_t k = 0; k < who.size(); ++k) out[k] = must_tell_identity(history_.servers[who[k]]);
    if (std::ranges::find(out, false) == out.end()) return std::vector<bool>(who.size());
    // Not `before`, which grows when others fall.
    for (std::size_t k = 0; k < who.size(); ++k)
      if (out[k]) caps[k] = history_.shares.last.empty() ? before[k] : history_.shares.last[who[k]];
    return out;
  }

  /// What sets quota_share: the plan in the file, or the quota that live traffic has met.
  std::string_view limit_name(std::size_t i) const {
    return plan_shares_[i] && plan_shares_[i] == out_.servers[i].inputs.quota_share ? "max_rate" : "quota";
  }

  /// The most that one of `who` may carry now; at least 1: no limit. What is ejected for good says nothing about the
  /// next minute, so it counts as long as its time-out lasts.
  double most_while_uneasy(const Members& who) const {
    if (!strategy_.limits_growth) return 1.0;
    const bool uneasy = std::ranges::any_of(history_.servers, [&](const TargetHistory& t) {
      const EjectionHistory& e = t.ejection;
      return e.is_out ? now_.mono < std::max(e.until, e.since + constants::kUneasyFor) : e.returned_at.has_value();
    });
    return uneasy ? std::max(constants::kUneasyShare, constants::kUneasyParts / static_cast<double>(who.size())) : 1.0;
  }

  /// Parts by score, none grown faster than allowed since the decision before.
  std::vector<double> grow(const Members& who, const std::vector<double>& scores) {
    const std::vector<double> free = shares_below(scores, std::vector<double>(who.size(), 2.0));
    const std::vector<double> before = shares_before(who);
    const double most = most_while_uneasy(who);
    const double no_limit = most < 1.0 ? most : 2.0;
    std::vector<double> caps(who.size(), no_limit);
    if (!before.empty() && strategy_.limits_growth) {
      // Without a decision before, one interval's growth: what a single pass may do.
      const MonoTime interval = probe_.interval;
      const MonoTime elapsed = history_.shares.last.empty() ? interval : now_.mono - history_.shares.at;
      const double intervals =
          std::max(0.0, static_cast<double>(elapsed.count()) / static_cast<double>(interval.count()));
      for (std::size_t k = 0; k < who.size(); ++k)
        caps[k] = std::min(no_limit, std::max(before[k] * (1.0 + constants::kShareGrowth * intervals),
                                              before[k] + constants::kShareStep * intervals));
    }
    const std::vector<bool> by_identity = must_not_grow(who, before, caps);
    std::vector<bool> by_quota(who.size());
    for (std::size_t k = 0; k < who.size(); ++k) {
      const auto quota = out_.servers[who[k]].inputs.quota_share;
      by_quota[k] = quota && *quota < caps[k];
      if (by_quota[k]) caps[k] = *quota;
    }
    // Rather than scale up a share that must not grow, let the others grow faster.
    const bool everybody_capped = std::accumulate(caps.begin(), caps.end(), 0.0) <= 1.0;
    const bool any_strict = std::ranges::find(by_identity, true) != by_identity.end() ||
                            (most < 1.0 && std::ranges::find(by_quota, true) != by_quota.end()) ||
                            std::ranges::any_of(who, [&](std::size_t i) { return plan_shares_[i].has_value(); });
    if (everybody_capped && any_strict)
      for (std::size_t k = 0; k < who.size(); ++k)
        if (!by_identity[k] && !by_quota[k]) caps[k] = 2.0;
    std::vector<double> shares = shares_below(scores, caps);
    for (std::size_t k = 0; k < who.size(); ++k) {
      const bool by_exposure = shares[k] + kVisible >= most;
      if (shares[k] + kVisible < free[k])
        out_.servers[who[k]].inputs.limited_by = by_quota[k]      ? limit_name(who[k])
                                                 : by_identity[k] ? "identity"
                                                 : by_exposure    ? "exposure"
                                                                  : "growth";
      const bool far = !by_quota[k] && !by_exposure && shares[k] < 0.5 * free[k];
      if (!before.empty() && (before[k] <= 0 || far)) far_from_share_ = true;
    }
    return shares;
  }

  /// After an outage of everybody's somebody is back first and carries everything for a moment. That must not make the
  /// others begin from nothing: for a while they keep the part that they had, and who is back has the rest.
  void keep_shares(const Members& group) {
    if (history_.shares.last.empty()) return;
    const double left = decay(now_.mono - history_.shares.at, constants::kKeptShareHalfLife);
    double kept = 0;
    for (const std::size_t i : group) {
      const TargetHistory& t = history_.servers[i];
      if (!t.ejection.is_out || !t.ejection.forgiven || disqualified_[i] || targets_[i] > 0) continue;
      shares_[i] = history_.shares.last[i] * left;
      kept += shares_[i];
    }
    if (kept <= 0 || kept >= 1) return;
    for (const std::size_t i : group)
      if (targets_[i] > 0) shares_[i] *= 1.0 - kept;
  }

  /// Begins with a server that is far from its share, and ends when nobody is kept below it any more.
  bool converging() const {
    return std::ranges::any_of(out_.servers, [&](const ServerDecision& s) {
      return s.inputs.ramp < 1.0 ||
             (s.inputs.limited_by == "growth" && (far_from_share_ || history_.shares.converging));
    });
  }

  void shares_from_targets(const Members& active, const Members& backups) {
    for (const Members* group : {&active, &backups}) {
      double sum = 0;
      for (const std::size_t i : *group)
        if (out_.servers[i].state != State::kDisabled) sum += targets_[i];
      if (sum <= 0) continue;
      for (const std::size_t i : *group)
        if (out_.servers[i].state != State::kDisabled) shares_[i] = targets_[i] / sum;
    }
  }

  // ---- leader

  void lead(const Members& group, LeaderMemory& memory, bool switch_back) {
    const Members who = sharing(group);
    if (who.empty()) return;
    // One that HAProxy's own check has DOWN would lead nobody.
    Members able;
    std::ranges::copy_if(who, std::back_inserter(able), [&](std::size_t i) { return can_serve(i); });
    if (able.empty()) able = who;
    // One that has just returned keeps the lead, but is not given it either: a fault is often followed by another.
    Members steady;
    std::ranges::copy_if(able, std::back_inserter(steady), [&](std::size_t i) {
      return i == memory.leader || !history_.servers[i].ejection.returned_at;
    });
    if (!steady.empty()) able = std::move(steady);
    // One that may be another chain by now keeps the lead, but is not given it while there is another choice.
    Members trusted;
    std::ranges::copy_if(able, std::back_inserter(trusted),
                         [&](std::size_t i) { return i == memory.leader || !must_tell_identity(history_.servers[i]); });
    if (!trusted.empty()) able = std::move(trusted);
    std::vector<Candidate> candidates;
    for (const std::size_t i : able)
      candidates.push_back({static_cast<std::uint32_t>(i), out_.servers[i].score, backend_.servers[i].preference});
    // Whoever was chosen before HAProxy was read has led nobody yet.
    if (!history_.leader.looked_up)
      if (const auto shown = shown_leader(able)) memory.leader = shown;
    const std::uint32_t leader = choose_leader(memory, candidates, switch_back, now_.mono);
    for (const std::size_t i : who) {
      if (i == leader) {
        targets_[i] = kFullWeight;
        continue;
      }
      out_.servers[i].reasons.push_back({Reason::kStandby, fmt::format("{} leads", backend_.servers[leader].name)});
    }
  }

  /// After a restart: the one server to which HAProxy gives everything.
  std::optional<std::uint32_t> shown_leader(const Members& who) const {
    std::optional<std::uint32_t> out;
    for (const std::size_t i : who) {
      const ServerView* v = view(i);
      if (v == nullptr || v->weight == 0) continue;
      if (out) return std::nullopt;
      out = static_cast<std::uint32_t>(i);
    }
    return out;
  }

  // ---- fallback

  /// A server that an operator took out keeps the weight it has: it gets no traffic, and returns with that.
  unsigned disabled_weight(std::size_t i) const {
    const ServerView* v = view(i);
    return v != nullptr ? v->weight : 0;
  }

  unsigned last_weight(std::size_t i) const {
    if (i < applied_.size()) return applied_[i];
    const ServerView* v = view(i);
    return v != nullptr ? v->weight : 0;
  }

  void fall_back(const Members& active, const Members& backups) {
    out_.fallback = backend_.fallback;
    const Standing worst = worst_served();
    if (backend_.fallback == config::Fallback::kKeep) {
      if (history_.shares.kept.size() != targets_.size()) {
        history_.shares.kept.resize(targets_.size());
        for (std::size_t i = 0; i < targets_.size(); ++i) history_.shares.kept[i] = last_weight(i);
      }
      bool any = false;
      for (std::size_t i = 0; i < targets_.size(); ++i) {
        const bool served = out_.servers[i].state == State::kDisabled || standing_of(out_.servers[i]) <= worst;
        targets_[i] = served ? history_.shares.kept[i] : 0;
        if (targets_[i] > 0 && can_serve(i)) any = true;
      }
      if (any) return;
      out_.fallback = config::Fallback::kEqual;
    }
    share_among(active, worst);
    share_among(backups, worst);
  }

  /// The worst standing that gets traffic: the best one of all servers that HAProxy can use, backups included. A
  /// fallback must not feed a dead server while another one answers.
  Standing worst_served() const {
    std::optional<Standing> of_serving;
    std::optional<Standing> of_any;
    const auto better = [](std::optional<Standing>& best, Standing standing) {
      if (!best || standing < *best) best = standing;
    };
    for (std::size_t i = 0; i < out_.servers.size(); ++i) {
      if (out_of_reach(i) || out_.servers[i].state == State::kDisabled) continue;
      const Standing standing = standing_of(out_.servers[i]);
      better(of_any, standing);
      if (can_serve(i)) better(of_serving, standing);
    }
    return of_serving.value_or(of_any.value_or(Standing::kDisqualified));
  }

  /// 1 / seconds: how much a server is worth by the age of its newest block, which no chain makes younger than its
  /// block time. 0: it has shown none.
  double freshness_worth(std::size_t i) const {
    const std::optional<milliseconds> age = out_.servers[i].head_age;
    if (!age) return 0;
    return 1000.0 / static_cast<double>(std::max({*age, backend_.chain.block_time, milliseconds{1}}).count());
  }

  /// To those of the group that are no worse: by the age of their blocks, or equal parts.
  void share_among(const Members& group, Standing worst) {
    Members served;
    for (const std::size_t i : group) {
      targets_[i] = 0;
      if (out_.servers[i].state == State::kDisabled)
        targets_[i] = disabled_weight(i);
      else if (standing_of(out_.servers[i]) <= worst)
        served.push_back(i);
    }
    if (served.empty()) return;
    if (out_.fallback == config::Fallback::kLeastBad) {
      std::vector<double> worth;
      for (const std::size_t i : served) worth.push_back(freshness_worth(i));
      const std::vector<unsigned> weights =
          served.size() > kMostServersForShares ? scale_peak(worth, 1.0) : scale_share(worth, 1.0);
      for (std::size_t k = 0; k < served.size(); ++k) targets_[served[k]] = weights[k];
      return;
    }
    const unsigned each = std::max(1U, kFullWeight / static_cast<unsigned>(served.size()));
    for (const std::size_t i : served) targets_[i] = each;
  }

  void settle(bool exact, double dead_band) {
    const bool take = exact || applied_.size() != targets_.size() || worth_pushing(applied_, targets_, dead_band);
    for (std::size_t i = 0; i < targets_.size(); ++i) out_.servers[i].weight = take ? targets_[i] : applied_[i];
  }

  BackendHistory& history_;
  const config::Backend& backend_;
  const Strategy& strategy_;
  const config::Probe& probe_;
  const BackendView& view_;
  std::span<const unsigned> applied_;
  const Now now_;
  const bool was_read_;
  BackendDecision out_;
  std::vector<bool> disqualified_;
  /// Scores without what is for a moment.
  std::vector<double> steady_;
  /// The part of the traffic that max_rate allows each server; absent: any.
  std::vector<std::optional<double>> plan_shares_;
  std::vector<unsigned> targets_;
  /// Each server's part of its group, before it is rounded to a weight: growth is smaller than a weight's step.
  std::vector<double> shares_;
  /// The highest tier that serves; absent: there is only one.
  std::optional<unsigned> serving_tier_;
  /// It serves since this decision.
  bool tier_joined_ = false;
  /// A server comes from nothing, or has less than half of what its score would give, as shares grow only so fast.
  bool far_from_share_ = false;
};

}  // namespace

Standing standing_of(const ServerDecision& server) {
  if (server.state == State::kHealthy || server.state == State::kDegraded) return Standing::kAnswers;
  const bool unheard = server.state == State::kUnknown && server.reasons.empty();
  Standing out = unheard ? Standing::kNoAnswer : Standing::kAnswers;
  for (const ReasonNote& note : server.reasons) {
    switch (note.code) {
      case Reason::kWrongChain:
      case Reason::kForked:
      case Reason::kBlockAhead:
        return Standing::kDisqualified;
      case Reason::kConnectFailed:
      case Reason::kTlsFailed:
      case Reason::kDnsFailed:
      case Reason::kTimeout:
      case Reason::kHttpStatus:
      case Reason::kRpcError:
      case Reason::kBadAnswer:
      case Reason::kTooLarge:
        out = std::max(out, Standing::kNoAnswer);
        break;
      case Reason::kRateLimited:
      case Reason::kCanaryFailed:
      case Reason::kLiveErrors:
        out = std::max(out, Standing::kWorkFails);
        break;
      case Reason::kLatencyTooHigh:
      case Reason::kBlockTooOld:
      case Reason::kBlockLag:
      case Reason::kSyncing:
      case Reason::kTooFewPeers:
      case Reason::kLiveLatency:
      case Reason::kWarmingUp:
      case Reason::kStandby:
      case Reason::kBlind:
        break;
    }
  }
  return out;
}

std::string slowness_text(const ServerDecision& server) {
  if (!server.latency || !server.inputs.latency_used_ms) return {};
  const double median = std::chrono::duration<double, std::milli>(*server.latency).count();
  const double used = *server.inputs.latency_used_ms;
  // As much as makes silence count in the first place.
  if (used < static_cast<double>(no_answer_noticed(median).count())) return {};
  return fmt::format("silent or slow of late: counts with {}, its answers took {}",
                     span_text(milliseconds{static_cast<std::int64_t>(used)}),
                     span_text(milliseconds{static_cast<std::int64_t>(median)}));
}

bool hashes(std::string_view algorithm) {
  // As backend_lb_algo_str in HAProxy's backend.c shows them.
  constexpr std::array<std::string_view, 6> kHashes{"source", "uri", "url_param", "hdr", "rdp-cookie", "hash"};
  return std::ranges::find(kHashes, algorithm) != kHashes.end();
}

bool worth_pushing(std::span<const unsigned> applied, std::span<const unsigned> targets, double dead_band) {
  const double band = std::max(constants::kDeadBand, dead_band);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (applied[i] == targets[i]) continue;
    if (applied[i] == 0 || targets[i] == 0) return true;
    const unsigned step = applied[i] > targets[i] ? applied[i] - targets[i] : targets[i] - applied[i];
    const double part = static_cast<double>(step) / static_cast<double>(applied[i]);
    if (part >= band && (step >= constants::kDeadStep || part >= constants::kDeadStepWaived)) return true;
  }
  return false;
}

void note_returns(BackendHistory& history, const config::Backend& backend, const BackendView& view, MonoTime now) {
  for (std::size_t i = 0; i < view.servers.size() && i < history.servers.size(); ++i) {
    TargetHistory& t = history.servers[i];
    const bool disabled = view.servers[i] && view.servers[i]->disabled;
    if (std::exchange(t.health.was_disabled, disabled) && !disabled && !t.ejection.is_out &&
        backend.ramp > milliseconds{0})
      t.ejection.returned_at = now;
  }
}

BackendDecision weigh(BackendHistory& history, const config::Backend& backend, const config::Probe& probe,
                      const BackendView& view, BackendVerdict&& verdict, std::span<const unsigned> applied, Now now) {
  return Decider(history, backend, probe, view, applied, now).run(std::move(verdict));
}

BackendDecision decide(BackendHistory& history, const config::Backend& backend, const config::Probe& probe,
                       const BackendView& view, std::span<const unsigned> applied, Now now) {
  note_returns(history, backend, view, now.mono);
  return weigh(history, backend, probe, view, judge(history, backend, probe, now), applied, now);
}

}  // namespace rpcw
