#include "weighter/controller/check_schedule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "weighter/cadence.hpp"
#include "weighter/judge/silence.hpp"

namespace rpcw::control {
namespace {

/// In `index_of_`: the target was removed.
constexpr std::size_t kGone = SIZE_MAX;

/// A single pass asks again for a head that is older than this part of max_lag. Heads would seem to lag by their age.
constexpr int kOldPart = 4;

/// Combined first rounds handed over beyond those that can be under way: 10,000 waiting ones would take 10 MB.
constexpr std::size_t kQueuedAhead = 512;

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
  await_answer(*p);
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

/// A target that does not answer loses weight before its time-out: a timer makes decisions weigh the wait again.
void CheckSchedule::await_answer(Probe& p) {
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

}  // namespace rpcw::control
