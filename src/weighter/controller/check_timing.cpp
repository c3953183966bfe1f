// CheckSchedule: when the next check of a target is due, and which targets are worth a check before that.

#include <algorithm>
#include <chrono>
#include <numeric>

#include "weighter/cadence.hpp"
#include "weighter/controller/check_schedule.hpp"
#include "weighter/schedule/agenda.hpp"
#include "weighter/schedule/pace.hpp"

namespace rpcw::control {
namespace {

/// Checks are spread by this part of the interval, so that many agents, or many targets of one, do not fall into step.
constexpr double kJitter = 0.1;

/// However bad a server's traffic looks, its heads are asked for at least this far apart.
constexpr milliseconds kLeastBetweenHeads{200};

/// An extra check is worth its cost from this part on of the most that regular ones leave unnoticed.
constexpr double kWorthAnExtra = 0.5;

/// In [0, 1]. Not by <random>'s distributions: a schedule replays the same with every standard library, and only the
/// engines' numbers are laid down.
double random_part(std::minstd_rand& random) {
  constexpr double kNumbers = std::minstd_rand::max() - std::minstd_rand::min() + 1.0;
  const double low = static_cast<double>(random() - std::minstd_rand::min());
  const double high = static_cast<double>(random() - std::minstd_rand::min());
  return (low + high * kNumbers) / (kNumbers * kNumbers);
}

}  // namespace

void CheckSchedule::check_now(std::span<const std::size_t> targets) {
  for (const std::size_t i : targets)
    if (may_check_now(probes_[i])) check_early(probes_[i]);
}

void CheckSchedule::check_exposed() {
  if (!all_answered() || c_.stopping) return;
  struct ByBackend {
    double requests = 0;
    /// ByBackend any server: its exposure right before a regular check.
    double most = 0;
    std::vector<std::size_t> targets;
    std::vector<Exposure> exposures;
  };
  std::vector<ByBackend> backends(c_.config.backends.size());
  for (std::size_t i = 0; i < probes_.size(); ++i) {
    const SystemState::Target& t = c_.state.targets()[i];
    const TargetHistory& h = c_.state.history(i);
    ByBackend& of = backends[t.backend];
    if (t.reference) continue;
    of.requests += h.live.recent.requests;
    const milliseconds interval = interval_of(probes_[i]);
    of.most = std::max(of.most, unnoticed({h.live.recent.requests, interval, interval}));
    if (h.live.recent.requests <= 0 || h.ejection.is_out || interval < kExtraFrom) continue;
    const MonoTime age = c_.mono() - probes_[i].last_start;
    // With half an interval between any two checks there is one extra for each interval, at most.
    if (age < interval / 2 || !may_check_now(probes_[i])) continue;
    of.targets.push_back(i);
    of.exposures.push_back({h.live.recent.requests, age, interval});
  }
  for (std::size_t b = 0; b < backends.size(); ++b) {
    ByBackend& of = backends[b];
    extra_[b].earn(c_.mono());
    for (Exposure& e : of.exposures) e.share /= of.requests;
    // The one that needs it most is waited for: tokens for the others would be taken from it.
    const auto most = most_exposed(of.exposures, kWorthAnExtra * of.most / of.requests);
    if (!most || extra_cost(of.exposures[*most]) > extra_[b].tokens()) continue;
    extra_[b].spend(extra_cost(of.exposures[*most]));
    check_early(probes_[of.targets[*most]]);
  }
}

void CheckSchedule::set_allowances() {
  extra_.resize(c_.config.backends.size(), Allowance(0, kExtraSaved));
  std::vector<double> per_s(extra_.size(), 0.0);
  for (std::size_t i = 0; i < probes_.size(); ++i) {
    constexpr double kSecondsADay = 86'400;
    Probe& p = probes_[i];
    const SystemState::Target& where = c_.state.targets()[i];
    const config::Backend& backend = c_.config.backends[where.backend];
    // Own nodes, which cost nothing, earn nothing for hosted ones.
    if (const milliseconds interval = interval_of(p); interval >= kExtraFrom)
      per_s[where.backend] += kExtraPart * static_cast<double>(bill_of(backend, where.reference, interval).sum()) /
                              (kSecondsADay * backend.chain.offers.head_requests);
    const double a_day = c_.state.target_config(i).pace.budget * kBudgetKept;
    if (p.kept || a_day <= 0) continue;
    const double saved =
        std::max(kExtraSaved, a_day / kSecondsADay * std::chrono::duration<double>(kBudgetSavedFor).count());
    p.kept.emplace(a_day / kSecondsADay, saved, std::min(p.kept_before.value_or(saved), saved));
  }
  for (std::size_t b = 0; b < extra_.size(); ++b) extra_[b].set_rate(per_s[b]);
}

milliseconds CheckSchedule::interval_of(const Probe& p) const {
  return config::interval_of(c_.state.target_config(index(p)), c_.config.probe);
}

bool CheckSchedule::may_check_now(Probe& p) {
  if (p.head_under_way || c_.state.history(index(p)).probes.limited || c_.mono() - p.last_start < kLeastBetweenHeads)
    return false;
  return can_pay(p);
}

bool CheckSchedule::can_pay(Probe& p) {
  if (!p.kept) return true;
  p.kept->earn(c_.mono());
  return p.kept->tokens() >= 1;
}

bool CheckSchedule::had_extra(const Probe& p) const {
  return p.last_extra && c_.mono() - *p.last_extra < interval_of(p);
}

void CheckSchedule::check_early(Probe& p) {
  const std::size_t only = index(p);
  pay_early(p);
  check(std::span(&only, 1));
}

void CheckSchedule::pay_early(Probe& p) {
  if (p.kept)
    p.kept->spend(extra_cost({1, c_.mono() - p.last_start, interval_of(p)}) *
                  c_.config.backends[c_.state.targets()[index(p)].backend].chain.offers.head_requests);
}

void CheckSchedule::check_all() {
  std::vector<std::size_t> all(probes_.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  check_now(all);
}

void CheckSchedule::send_urgent() {
  for (const SystemState::TargetCheck& q : c_.state.urgent_checks()) send_check(probes_[q.target], q.check);
  if (!c_.runs() || c_.stopping) return;
  for (std::size_t i = 0; i < probes_.size(); ++i) {
    Probe& p = probes_[i];
    const SystemState::Target& where = c_.state.targets()[i];
    const TargetHistory& history = c_.state.history(i);
    if (where.reference || (!identity_suspect(history, c_.mono()) && !answers_changed(history))) continue;
    // Traffic says the same as the probe that failed: the next one need not be long after it to count.
    if (history.probes.failure) {
      if (answers_changed(history) && may_check_now(p)) check_early(p);
      continue;
    }
    const milliseconds interval = interval_of(p);
    Allowance& allowance = extra_[where.backend];
    // As much again may be borrowed: what may be a fault must not wait for the next probe.
    const bool afforded = interval < kExtraFrom || allowance.tokens() > -kExtraSaved;
    if (had_extra(p) || !afforded || !may_check_now(p)) continue;
    p.last_extra = c_.mono();
    // Servers that are probed more often earn nothing for extra probes either.
    if (interval >= kExtraFrom) allowance.spend(extra_cost({1, c_.mono() - p.last_start, interval}));
    check_early(p);
  }
}

void CheckSchedule::follow_outages() {
  outage_since_.resize(c_.config.backends.size());
  std::vector<bool> began(outage_since_.size(), false);
  for (std::size_t b = 0; b < outage_since_.size(); ++b) {
    std::optional<MonoTime>& since = outage_since_[b];
    if (!c_.state.decision(b).fallback)
      since.reset();
    else if (!since) {
      since = c_.mono();
      began[b] = true;
    }
  }
  if (!c_.runs() || std::ranges::find(began, true) == began.end()) return;
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < probes_.size(); ++i)
    if (const SystemState::Target& t = c_.state.targets()[i]; began[t.backend] && !t.reference) out.push_back(i);
  check_now(out);
}

void CheckSchedule::schedule_answered() {
  for (const TargetId id : std::exchange(to_schedule_, {}))
    if (Probe* p = find(id); p != nullptr && p->to_schedule) schedule(*p);
}

void CheckSchedule::schedule(Probe& p) {
  p.to_schedule = false;
  p.wait = Wait::kNextCheck;
  const TargetHistory& history = c_.state.history(index(p));
  const config::Target& target = c_.state.target_config(index(p));
  const SystemState::Target& where = c_.state.targets()[index(p)];
  const config::Backend& backend = c_.config.backends[where.backend];
  const milliseconds usual = interval_of(p);
  std::optional<MonoTime> outage;
  if (!where.reference && where.backend < outage_since_.size())
    if (const auto& since = outage_since_[where.backend]) outage = c_.mono() - *since;
  milliseconds interval = probe_interval(history, target, c_.config.probe, c_.mono(), outage);
  // A head that lags is asked for once more, soon: it may stand still.
  if (interval == usual && !where.reference && usual >= kExtraFrom &&
      lags_unexplained(history, c_.state.backend(where.backend).history.block_time, backend) && !had_extra(p)) {
    interval = config::fast_interval_of(target, c_.config.probe);
    p.last_extra = c_.mono();
    extra_[where.backend].spend(extra_cost({1, interval, usual}));
  }
  // As in send_urgent.
  if (history.probes.failure && answers_changed(history)) interval = std::min(interval, kLeastBetweenHeads);
  if (interval < usual) {
    const double cost = extra_cost({1, interval, usual}) * backend.chain.offers.head_requests;
    // However much is in doubt, a budget is kept.
    if (!can_pay(p))
      interval = usual;
    else if (p.kept)
      p.kept->spend(cost);
  }
  constexpr double kLeast = 1.0 - kJitter;
  const double spread = kLeast + (1.0 + kJitter - kLeast) * random_part(random_);
  c_.timers.set({Timers::Kind::kProbe, p.id}, p.last_start + std::chrono::duration_cast<MonoTime>(interval * spread));
}

}  // namespace rpcw::control
