#include "weighter/allocate/decide.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/text.hpp"
#include "weighter/allocate/allocation.hpp"
#include "weighter/allocate/fallback.hpp"
#include "weighter/allocate/growth.hpp"
#include "weighter/allocate/lead.hpp"
#include "weighter/allocate/scale.hpp"
#include "weighter/allocate/tiers.hpp"
#include "weighter/constants.hpp"
#include "weighter/judge/silence.hpp"
#include "weighter/state/decay.hpp"

namespace rpcw {
namespace {

/// A failure penalty on one server raises the parts of the others. A plan still limits them where another server can
/// take the rest.
void keep_to_plans(const Allocation& a, const Members& sharing, std::vector<double>& shares) {
  std::vector<double> caps;
  for (const std::size_t i : sharing) caps.push_back(std::min(a.plan_shares[i].value_or(1.0), a.backend.max_share));
  const bool planned = std::ranges::any_of(sharing, [&](std::size_t i) { return a.plan_shares[i].has_value(); });
  if (planned && std::accumulate(shares.begin(), shares.end(), 0.0) > 0) shares = shares_below(shares, caps);
}

/// A server has more than its plan carries, by more than rounding, and can have less.
bool exceeds_plan(const Allocation& a, const Members& group) {
  if (a.applied.size() != a.targets.size()) return false;
  double sum = 0;
  for (const std::size_t i : group) sum += a.disabled(i) ? 0 : a.applied[i];
  return std::ranges::any_of(group, [&](std::size_t i) {
    return a.plan_shares[i] && a.targets[i] < a.applied[i] && a.applied[i] - 1 > *a.plan_shares[i] * sum;
  });
}

/// Other servers share than before: their applied weights no longer add up as their targets do. Each change may be too
/// small for the dead band, and a server that returns from MAINT brings its old weight along.
bool sum_changed(const Allocation& a, const Members& group) {
  if (a.applied.size() != a.targets.size()) return false;
  unsigned applied = 0;
  unsigned targets = 0;
  for (const std::size_t i : group) {
    if (a.disabled(i)) continue;
    applied += a.applied[i];
    targets += a.targets[i];
  }
  return applied != targets;
}

/// `peak`: the best server has 256, and the sum means nothing.
bool scales_to_peak(const Allocation& a) {
  return a.backend.scale == config::Scale::kPeak || a.backend.servers.size() > kMostServersForShares;
}

/// Marks the servers that max_share keeps below their part. Where growth does as well, the lower limit counts.
void mark_cut(Allocation& a, const Members& sharing, const std::vector<double>& shares) {
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  // Too few servers cannot hold everything between them below a small max_share: it then gives way.
  const double most = std::max(a.backend.max_share, 1.0 / static_cast<double>(sharing.size()));
  for (std::size_t k = 0; k < sharing.size(); ++k)
    if (shares[k] > (most + kVisible) * sum) a.out.servers[sharing[k]].inputs.limited_by = "max_share";
}

/// Shares the group's traffic by score, within limits.
void share(Allocation& a, const Members& group) {
  const Members sharing = a.sharing(group);
  std::vector<double> scores;
  // Growth limits use the steady scores. Failure penalties and missing answers are applied afterwards, so they take
  // effect and end at once.
  for (const std::size_t i : sharing) scores.push_back(a.steady[i]);
  const std::vector<double> shares = grown_shares(a, sharing, scores);
  std::vector<double> penalised = shares;
  for (std::size_t k = 0; k < sharing.size(); ++k)
    if (scores[k] > 0) penalised[k] *= a.out.servers[sharing[k]].score / scores[k];
  mark_cut(a, sharing, penalised);
  keep_to_plans(a, sharing, penalised);
  const std::vector<unsigned> weights =
      scales_to_peak(a) ? scale_peak(penalised, a.backend.max_share) : scale_share(penalised, a.backend.max_share);
  for (std::size_t k = 0; k < sharing.size(); ++k) {
    a.targets[sharing[k]] = weights[k];
    a.shares[sharing[k]] = shares[k];
  }
}

/// After an outage of all servers one is back first and carries everything for a moment. The others must not begin from
/// nothing then: for a while they keep the part that they had, and those that are back have the rest.
void keep_shares(Allocation& a, const Members& group) {
  const ShareHistory& before = a.history.shares;
  if (before.last.empty()) return;
  const double left = decay(a.now.mono - before.at, constants::kKeptShareHalfLife);
  double kept = 0;
  for (const std::size_t i : group) {
    const EjectionHistory& ejection = a.history.servers[i].ejection;
    if (!ejection.is_out || !ejection.forgiven || a.disqualified[i] || a.targets[i] > 0) continue;
    a.shares[i] = before.last[i] * left;
    kept += a.shares[i];
  }
  if (kept <= 0 || kept >= 1) return;
  for (const std::size_t i : group)
    if (a.targets[i] > 0) a.shares[i] *= 1.0 - kept;
}

void shares_from_targets(Allocation& a, const Members& group) {
  double sum = 0;
  for (const std::size_t i : group)
    if (!a.disabled(i)) sum += a.targets[i];
  if (sum <= 0) return;
  for (const std::size_t i : group)
    if (!a.disabled(i)) a.shares[i] = a.targets[i] / sum;
}

/// Whether more growth is to come: from a server that is far from its share on, until growth limits no server.
bool converging(const Allocation& a) {
  return std::ranges::any_of(a.out.servers, [&](const ServerDecision& s) {
    return s.inputs.ramp < 1.0 ||
           (s.inputs.limited_by == "growth" && (a.far_from_share || a.history.shares.converging));
  });
}

/// The weights that HAProxy has; empty: it was not read, or lacks a server.
std::vector<unsigned> weights_shown(const Allocation& a) {
  std::vector<unsigned> out;
  for (std::size_t i = 0; i < a.targets.size(); ++i) {
    const ServerView* v = a.shown(i);
    if (v == nullptr) return {};
    out.push_back(v->weight);
  }
  return out;
}

/// The targets, or what is applied while they differ too little from that.
void settle(Allocation& a, bool exact, bool hashed) {
  // Under a hash each change moves clients: what HAProxy has counts where nothing was decided before.
  std::vector<unsigned> applied(a.applied.begin(), a.applied.end());
  if (hashed && applied.size() != a.targets.size()) applied = weights_shown(a);
  const double dead_band = hashed ? a.backend.hash_dead_band : 0;
  const bool take = exact || applied.size() != a.targets.size() || worth_pushing(applied, a.targets, dead_band);
  for (std::size_t i = 0; i < a.targets.size(); ++i) a.out.servers[i].weight = take ? a.targets[i] : applied[i];
}

BackendDecision allocate(Allocation& a) {
  // Nothing is known of any server, as when all are rate-limited from the start: HAProxy keeps what it has.
  if (!a.out.any_verdict)
    if (const std::vector<unsigned> shown = weights_shown(a); !shown.empty()) {
      for (std::size_t i = 0; i < shown.size(); ++i) a.out.servers[i].weight = shown[i];
      return std::move(a.out);
    }
  ShareHistory& known = a.history.shares;
  const Members active = a.members(false);
  const Members backups = a.members(true);
  const std::size_t healthy_active = a.healthy(active);
  const std::size_t healthy_backups = a.healthy(backups);
  a.out.healthy = static_cast<unsigned>(healthy_active + healthy_backups);
  const bool backup_takes_over = healthy_active == 0 && (healthy_backups > 0 || a.view.usable_foreign_backup);

  choose_tier(a, active);
  const bool falls_back = a.out.healthy < a.backend.min_healthy && !backup_takes_over;
  const bool leads = a.strategy.single_leader;
  if (!falls_back) known.kept.clear();
  if (falls_back) {
    fall_back(a, active, backups);
  } else if (leads) {
    lead(a, active, backups);
  } else {
    share(a, active);
    share(a, backups);
  }
  for (const Members* group : {&active, &backups}) {
    if (falls_back || leads) shares_from_targets(a, *group);
    if (!leads) keep_shares(a, *group);
  }
  if (a.out.any_verdict) {
    known.last = std::move(a.shares);
    known.scores = a.steady;
    known.at = a.now.mono;
  }
  // What is applied may be a dead band away from the targets; but not for good where a return has just ended.
  const bool arrived = known.converging && !converging(a);
  known.converging = converging(a);
  const bool over_plan = !falls_back && !leads && (exceeds_plan(a, active) || exceeds_plan(a, backups));
  // Ages grow all the time, so a fallback by age has the dead band of scores.
  const bool exact_fallback = falls_back && a.out.fallback != config::Fallback::kLeastBad;
  // Under a hash even the last step of a return would move clients.
  const bool hashed = hashes(a.view.algorithm);
  const bool turned = std::exchange(known.fell_back, falls_back) != falls_back;
  // HAProxy moves the clients of a hash itself when a server leaves or returns: do not move more of them.
  const bool regrouped =
      !falls_back && !hashed && !scales_to_peak(a) && (sum_changed(a, active) || sum_changed(a, backups));
  settle(a, turned || exact_fallback || (arrived && !hashed) || over_plan || regrouped, hashed);
  return std::move(a.out);
}

}  // namespace

std::string slowness_text(const ServerDecision& server) {
  if (!server.latency || !server.inputs.latency_used_ms) return {};
  const double median = std::chrono::duration<double, std::milli>(*server.latency).count();
  const double used = *server.inputs.latency_used_ms;
  // As much as makes silence count in the first place.
  if (used < static_cast<double>(no_answer_noticed(median).count())) return {};
  return fmt::format("no answer yet or slow: scored with {}, its usual latency is {}",
                     span_text(milliseconds{static_cast<std::int64_t>(used)}),
                     span_text(milliseconds{static_cast<std::int64_t>(median)}));
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
  Allocation allocation(history, backend, probe, view, applied, now, std::move(verdict));
  return allocate(allocation);
}

BackendDecision decide(BackendHistory& history, const config::Backend& backend, const config::Probe& probe,
                       const BackendView& view, std::span<const unsigned> applied, Now now) {
  note_returns(history, backend, view, now.mono);
  return weigh(history, backend, probe, view, judge(history, backend, probe, now, requests_under(view.algorithm)),
               applied, now);
}

}  // namespace rpcw
