#include "weighter/controller/check_schedule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>

#include "weighter/cadence.hpp"
#include "weighter/judge/silence.hpp"
#include "weighter/schedule/agenda.hpp"
#include "weighter/schedule/pace.hpp"

namespace rpcw::control {
namespace {

constexpr std::size_t kGone = SIZE_MAX;

/// Checks are spread by this part of the interval, so that many agents, or many targets of one, do not fall into step.
constexpr double kJitter = 0.1;

/// However bad a server's traffic looks, its heads are asked for at least this far apart.
constexpr milliseconds kLeastBetweenHeads{200};

/// An extra check is worth its cost from this part on of the most that regular ones leave unnoticed.
constexpr double kWorthAnExtra = 0.5;

/// A single pass asks again for a head that is older than this part of max_lag. Heads would seem to lag by their age.
constexpr int kOldPart = 4;

/// Combined first rounds handed over beyond those that can be under way: 10,000 waiting ones would take 10 MB.
constexpr std::size_t kQueuedAhead = 512;

/// In [0, 1]. Not by <random>'s distributions: a schedule replays the same with every standard library, and only the
/// engines' numbers are laid down.
double random_part(std::minstd_rand& random) {
  constexpr double kNumbers = std::minstd_rand::max() - std::minstd_rand::min() + 1.0;
  const double low = static_cast<double>(random() - std::minstd_rand::min());
  const double high = static_cast<double>(random() - std::minstd_rand::min());
  return (low + high * kNumbers) / (kNumbers * kNumbers);
}

}  // namespace

CheckSchedule::CheckSchedule(Context& context, const config::Config& file, ChecksBefore before)
    : c_(context), file_(file), before_(std::move(before)), random_(context.options.seed) {}

CheckSchedule::Probe* CheckSchedule::find(TargetId target) {
  return target < index_of_.size() && index_of_[target] != kGone ? &probes_[index_of_[target]] : nullptr;
}

CheckSchedule::Probe CheckSchedule::new_probe(std::size_t target) {
  Probe out;
  out.id = static_cast<TargetId>(index_of_.size());
  out.samples_left = c_.options.samples;
  out.has_history = c_.state.history(target).probes.observations > 0;
  index_of_.push_back(target);
  const auto& where = c_.state.targets()[target];
  const config::Backend& backend = c_.config.backends[where.backend];
  const config::Backend& in_file = file_.backends[where.backend];
  c_.act(action::AddTarget{out.id, &c_.state.target_config(target), in_file.canaries, &in_file.chain, backend.name,
                           where.reference ? std::string{} : backend.servers[where.index].name});
  return out;
}

void CheckSchedule::start() {
  probes_.reserve(c_.state.targets().size());
  const std::vector<std::string> names = before_.empty() ? std::vector<std::string>{} : keys();
  for (std::size_t i = 0; i < c_.state.targets().size(); ++i) {
    probes_.push_back(new_probe(i));
    // The answers that an earlier controller has had are enough for a first decision.
    if (c_.runs() && probes_[i].has_history && !c_.state.cold()) mark_answered(probes_[i]);
    if (!names.empty()) go_on(probes_[i], names[i]);
  }
  count_blockers();
  set_allowances();
  std::vector<std::size_t> now;
  for (std::size_t i = 0; i < probes_.size(); ++i) {
    Probe& p = probes_[i];
    const bool known = p.last_start != MonoTime{};
    if (known && (c_.state.history(i).probes.limited || !can_pay(p))) {
      mark_answered(p);
      schedule(p);
      continue;
    }
    if (known) pay_early(p);
    now.push_back(i);
  }
  check(now);
}

/// A reload gives no target more time for its first answer, and no provider more requests, than there would be without.
void CheckSchedule::go_on(Probe& p, const std::string& key) {
  const auto it = before_.find(key);
  if (it == before_.end()) return;
  const CheckedBefore& before = it->second;
  p.last_start = before.last_start;
  p.kept_before = before.budget_left;
  p.blocks_backend = before.blocks_backend && !c_.state.decided(c_.state.targets()[index(p)].backend);
  if (before.answered) mark_answered(p);
  if (p.answered) return;
  p.first_due = before.first_due;
  c_.timers.set({Timers::Kind::kFirstAnswer, p.id}, *p.first_due + c_.config.probe.timeout);
}

void CheckSchedule::on_first_answer_timer(TargetId target) {
  Probe* p = find(target);
  if (p == nullptr || p->answered) return;
  mark_answered(*p);
  if (all_answered()) c_.decision_wanted = true;
}

ChecksBefore CheckSchedule::checked() const {
  ChecksBefore out;
  const std::vector<std::string> names = keys();
  for (std::size_t i = 0; i < probes_.size(); ++i) {
    const Probe& p = probes_[i];
    if (p.last_start == MonoTime{}) continue;
    CheckedBefore& known = out[names[i]];
    known = {p.first_due.value_or(p.last_start), p.last_start, p.answered, p.blocks_backend, {}};
    if (!p.kept) continue;
    Allowance kept = *p.kept;
    kept.earn(c_.mono());
    known.budget_left = kept.tokens();
  }
  return out;
}

// ---- changes of the server list

std::vector<std::string> CheckSchedule::keys() const {
  std::vector<std::string> out;
  out.reserve(c_.state.targets().size());
  for (const SystemState::Target& t : c_.state.targets()) {
    const config::Backend& b = c_.config.backends[t.backend];
    // By names: another controller's list may have another order.
    out.push_back(t.reference
                      ? fmt::format("{}\n{}", b.name, b.references[t.index].url)
                      : fmt::format("{}\n{}\n{}", b.name, b.servers[t.index].name, b.servers[t.index].target.url));
  }
  return out;
}

void CheckSchedule::targets_changed(const std::vector<std::string>& before) {
  const bool deciding = all_answered();
  std::map<std::string_view, std::size_t> known;
  for (std::size_t i = 0; i < before.size(); ++i) known.emplace(before[i], i);
  std::vector<Probe> were = std::exchange(probes_, {});
  std::vector<std::size_t> newcomers;
  const std::vector<std::string> now = keys();
  probes_.reserve(now.size());
  for (std::size_t i = 0; i < now.size(); ++i) {
    const auto it = known.find(now[i]);
    if (it != known.end()) {
      probes_.push_back(std::move(were[it->second]));
      index_of_[probes_.back().id] = i;
      known.erase(it);
      continue;
    }
    Probe& fresh = probes_.emplace_back(new_probe(i));
    newcomers.push_back(i);
    // Once decisions are made, no other target waits for a new one: it has weight 0 until it has answered. A backend
    // with new servers alone waits for all of them, since the first answer would draw all its traffic.
    if (!deciding) continue;
    fresh.answered = true;
    fresh.blocks_backend = !c_.state.decided(c_.state.targets()[i].backend);
  }
  for (const auto& [key, i] : known) {
    const Probe& gone = were[i];
    index_of_[gone.id] = kGone;
    c_.timers.cancel({Timers::Kind::kProbe, gone.id});
    c_.timers.cancel({Timers::Kind::kFirstAnswer, gone.id});
    c_.act(action::RemoveTarget{gone.id});
    if (gone.together > 0) --together_open_;
    std::erase_if(queue_, [&](const Queued& q) { return q.target == gone.id; });
  }
  // Those that are gone never answer, and others may have waited for them.
  send_queued();
  answered_ = static_cast<std::size_t>(std::ranges::count_if(probes_, &Probe::answered));
  count_blockers();
  set_allowances();
  check(newcomers);
}

void CheckSchedule::count_blockers() {
  blockers_.assign(c_.config.backends.size(), 0);
  for (const Probe& p : probes_)
    if (p.blocks_backend) ++blockers_[c_.state.targets()[index(p)].backend];
  for (std::uint32_t b = 0; b < blockers_.size(); ++b) c_.state.block_decisions(b, blockers_[b] > 0);
}

// ---- sending

void CheckSchedule::check(std::span<const std::size_t> targets) {
  if (c_.stopping) return;
  std::vector<std::vector<Check>> beside;
  beside.reserve(targets.size());
  std::size_t requests = 0;
  for (const std::size_t i : targets) {
    beside.push_back(begin(i));
    requests += 1 + beside.back().size();
  }
  if (requests >= kRequestsWorthBatching) {
    for (std::size_t k = 0; k < targets.size(); ++k) queue_.push_back({probes_[targets[k]].id, std::move(beside[k])});
    send_queued();
    return;
  }
  for (const std::size_t i : targets) send_head(probes_[i]);
  for (std::size_t k = 0; k < targets.size(); ++k)
    for (const Check& check : beside[k]) send_check(probes_[targets[k]], check);
}

/// Returns the other checks that are due.
std::vector<Check> CheckSchedule::begin(std::size_t target) {
  Probe& p = probes_[target];
  c_.timers.cancel({Timers::Kind::kProbe, p.id});
  p.last_start = c_.mono();
  if (!p.first_due) p.first_due = p.last_start;
  p.head_under_way = true;
  p.to_schedule = false;
  std::vector<Check> beside = c_.state.begin_probe(target, c_.mono());
  if (!std::exchange(p.begun, true)) {
    p.first_head = true;
    p.first_checks = beside;
  }
  return beside;
}

void CheckSchedule::send_head(Probe& p) {
  ++open_;
  c_.act(action::SendHead{p.id});
}

void CheckSchedule::send_check(Probe& p, const Check& check) {
  ++open_;
  c_.act(action::SendCheck{p.id, check});
}

void CheckSchedule::send_queued() {
  while (!c_.stopping && !queue_.empty() && together_open_ < c_.config.probe.max_in_flight + kQueuedAhead) {
    Queued next = std::move(queue_.front());
    queue_.pop_front();
    Probe& p = *find(next.target);
    p.together = 1 + next.checks.size();
    ++together_open_;
    open_ += p.together;
    // After a single pass's only sample a connection serves failed and urgent checks alone, and thousands take memory.
    c_.act(action::SendTogether{p.id, std::move(next.checks), c_.runs() || c_.options.samples > 1});
  }
}

/// The provider's silence counts from here: the time in our own queue is not the provider's.
void CheckSchedule::on(const event::HeadSent& event) {
  Probe* p = find(event.target);
  if (p == nullptr || !c_.runs() || c_.stopping || !p->head_under_way) return;
  p->sent_at = c_.mono();
  c_.state.probe_sent(index(*p), c_.mono());
  listen_for_silence(*p);
}

// ---- answers

void CheckSchedule::on(event::HeadAnswered&& event) {
  --open_;
  Probe* p = find(event.target);
  if (p == nullptr) return;
  answered_one(*p);
  const std::size_t target = index(*p);
  if (!event.observation.head && retry(*p, event.observation.head.error(), p->attempts, std::nullopt)) return;
  p->attempts = 0;
  p->head_under_way = false;
  c_.timers.cancel({Timers::Kind::kProbe, p->id});
  c_.state.observe(target, std::move(event.observation));
  if (!c_.runs()) {
    if (p->samples_left > 1) {
      --p->samples_left;
      send_head(*p);
    }
    return;
  }
  p->to_schedule = true;
  to_schedule_.push_back(p->id);
  p->first_head = false;
  settle(*p);
}

void CheckSchedule::on(event::CheckAnswered&& event) {
  --open_;
  Probe* p = find(event.target);
  if (p == nullptr) return;
  answered_one(*p);
  const Check check = event.answer.check;
  if (!c_.runs() && !event.answer.value) {
    auto known = std::ranges::find(p->check_attempts, check, &std::pair<Check, unsigned>::first);
    if (known == p->check_attempts.end()) known = p->check_attempts.insert(known, {check, 0U});
    if (retry(*p, event.answer.value.error(), known->second, check)) return;
  }
  c_.state.observe(index(*p), event.answer);
  if (!c_.runs()) return;
  std::erase(p->first_checks, check);
  settle(*p);
}

/// Of a combined first round: makes room for the next one.
void CheckSchedule::answered_one(Probe& p) {
  if (p.together == 0 || --p.together > 0) return;
  --together_open_;
  send_queued();
}

void CheckSchedule::settle(Probe& p) {
  if (!p.first_head && p.first_checks.empty()) {
    mark_answered(p);
    const std::uint32_t backend = c_.state.targets()[index(p)].backend;
    if (std::exchange(p.blocks_backend, false) && --blockers_[backend] == 0) c_.state.block_decisions(backend, false);
  }
  if (all_answered())
    c_.decision_wanted = true;
  else
    schedule_answered();
}

void CheckSchedule::mark_answered(Probe& p) {
  if (!std::exchange(p.answered, true)) ++answered_;
}

/// Single pass: whether this failure is tried again, because one lost packet must not decide.
bool CheckSchedule::retry(Probe& p, const ProbeFailure& failure, unsigned& attempts, std::optional<Check> check) {
  if (c_.runs() || p.has_history || !is_transport(failure.code)) return false;
  if (++attempts >= c_.config.probe.fall) return false;
  retries_.emplace(next_retry_, Retry{p.id, check});
  c_.timers.set({Timers::Kind::kRetry, next_retry_++}, c_.mono() + c_.config.probe.fast_interval);
  return true;
}

bool CheckSchedule::ask_old_heads_again() {
  if (std::exchange(refreshed_, true)) return false;
  bool any = false;
  for (Probe& p : probes_) {
    const TargetHistory& h = c_.state.history(index(p));
    const config::Backend& backend = c_.config.backends[c_.state.targets()[index(p)].backend];
    const MonoTime fresh_for = std::min(c_.config.probe.timeout, backend.chain.max_lag / kOldPart);
    if (!h.heads.newest || h.probes.failure || h.probes.limited || c_.mono() - h.heads.received.mono <= fresh_for)
      continue;
    send_head(p);
    any = true;
  }
  return any;
}

void CheckSchedule::on_retry_timer(std::uint32_t retry) {
  const auto node = retries_.extract(retry);
  if (node.empty()) return;
  Probe* p = find(node.mapped().target);
  if (p == nullptr) return;
  if (node.mapped().check)
    send_check(*p, *node.mapped().check);
  else
    send_head(*p);
}

// ---- missing answers

/// A target that does not answer loses weight before its time-out: news from time to time.
void CheckSchedule::listen_for_silence(Probe& p) {
  p.usual_ms = c_.state.history(index(p)).latency.smoothed_ms.value_or(0);
  p.wait = p.usual_ms > 0 ? Wait::kSuspectSilence : Wait::kNoticeSilence;
  c_.timers.set({Timers::Kind::kProbe, p.id},
                c_.mono() + (p.usual_ms > 0 ? silence_suspected(p.usual_ms) : no_answer_noticed(p.usual_ms)));
}

void CheckSchedule::on_probe_timer(TargetId target) {
  Probe* p = find(target);
  if (p == nullptr || c_.stopping) return;
  const Timers::Key key{Timers::Kind::kProbe, target};
  if (!p->head_under_way) {
    const std::size_t only = index(*p);
    check(std::span(&only, 1));
  } else if (p->wait == Wait::kSuspectSilence) {
    if (!c_.state.history(index(*p)).ejection.is_out) c_.read_wanted = true;
    p->wait = Wait::kNoticeSilence;
    c_.timers.set(key, c_.mono() + no_answer_noticed(p->usual_ms) - silence_suspected(p->usual_ms));
  } else {
    c_.state.note_no_answer(index(*p));
    if (all_answered()) c_.decision_wanted = true;
    // Again when the wait is a quarter longer: less would change no weight.
    c_.timers.set(key, c_.mono() + std::max<MonoTime>((c_.mono() - p->sent_at) / 4, milliseconds{1}));
  }
}

// ---- the next check

void CheckSchedule::check_now(std::span<const std::size_t> targets) {
  for (const std::size_t i : targets)
    if (may_check_now(probes_[i])) check_early(probes_[i]);
}

void CheckSchedule::check_exposed() {
  if (!all_answered() || c_.stopping) return;
  struct Of {
    double requests = 0;
    /// Of any server: its exposure right before a regular check.
    double most = 0;
    std::vector<std::size_t> targets;
    std::vector<Exposure> exposures;
  };
  std::vector<Of> backends(c_.config.backends.size());
  for (std::size_t i = 0; i < probes_.size(); ++i) {
    const SystemState::Target& t = c_.state.targets()[i];
    const TargetHistory& h = c_.state.history(i);
    Of& of = backends[t.backend];
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
    Of& of = backends[b];
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
