#include "weighter/system/system_state.hpp"

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>

#include "base/text.hpp"
#include "weighter/constants.hpp"
#include "weighter/judge/ejection.hpp"
#include "weighter/judge/forks.hpp"
#include "weighter/judge/heads.hpp"
#include "weighter/schedule/agenda.hpp"
#include "weighter/state/haproxy_view.hpp"

namespace rpcw {
SystemState::SystemState(const config::Config& config) : config_(config) {
  begin();
}

void SystemState::begin() {
  backends_.clear();
  targets_.clear();
  first_targets_.clear();
  judged_by_.clear();
  judged_as_.assign(config_.backends.size(), {});
  for (std::uint32_t b = 0; b < config_.backends.size(); ++b) {
    const config::Backend& cfg = config_.backends[b];
    backends_.push_back({empty_history(cfg), {}, {}, true});
    first_targets_.push_back(targets_.size());
    judged_by_.push_back(b);
    if (!cfg.follows.empty()) {
      const auto judged = std::ranges::find(config_.backends, cfg.follows, &config::Backend::name);
      if (judged == config_.backends.end()) continue;
      judged_by_.back() = static_cast<std::uint32_t>(judged - config_.backends.begin());
      for (const config::Server& s : cfg.servers) {
        const auto at = std::ranges::find(judged->servers, s.name, &config::Server::name);
        judged_as_[b].push_back(at == judged->servers.end()
                                    ? std::nullopt
                                    : std::optional(static_cast<std::uint32_t>(at - judged->servers.begin())));
      }
      continue;
    }
    for (std::uint32_t i = 0; i < cfg.servers.size(); ++i) targets_.push_back({b, false, i});
    for (std::uint32_t i = 0; i < cfg.references.size(); ++i) targets_.push_back({b, true, i});
  }
}

const config::Target& SystemState::target_config(std::size_t target) const {
  const Target& t = targets_[target];
  const config::Backend& cfg = config_.backends[t.backend];
  return t.reference ? cfg.references[t.index] : cfg.servers[t.index].target;
}

TargetHistory& SystemState::mutable_history(std::size_t target) {
  const Target& t = targets_[target];
  BackendHistory& h = backends_[t.backend].history;
  return t.reference ? h.references[t.index] : h.servers[t.index];
}

const TargetHistory& SystemState::history(std::size_t target) const {
  const Target& t = targets_[target];
  const BackendHistory& h = backends_[t.backend].history;
  return t.reference ? h.references[t.index] : h.servers[t.index];
}

std::vector<Check> SystemState::begin_probe(std::size_t target, MonoTime now) {
  const Target& t = targets_[target];
  TargetHistory& h = mutable_history(target);
  std::vector<Check> out =
      due_checks(h, t.reference, backends_[t.backend].history.block_time, config_.backends[t.backend], now);
  record(event::ProbeBegun{target, now});
  return out;
}

void SystemState::probe_sent(std::size_t target, MonoTime now) {
  mutable_history(target).probes.sent_at = now;
  record(event::ProbeSent{target, now});
}

void SystemState::note_no_answer(std::size_t target) {
  if (std::exchange(backends_[targets_[target].backend].dirty, true)) return;
  record(event::NoAnswerYet{target});
}

void SystemState::observe(std::size_t target, HeadObservation&& observation) {
  std::optional<event::HeadCame> event;
  if (sink_ != nullptr) event = event::HeadCame{target, observation};
  ++changes_;
  fold(mutable_history(target), std::move(observation));
  backends_[targets_[target].backend].dirty = true;
  if (event) record(std::move(*event));
}

void SystemState::observe(std::size_t target, const Answer& answer) {
  ++changes_;
  const std::uint32_t b = targets_[target].backend;
  if (answer.check.kind == CheckKind::kBlock)
    fold_block(backends_[b].history, static_cast<std::uint32_t>(target - first_target(b)), answer);
  else
    fold(mutable_history(target), answer, config_.backends[b].chain);
  backends_[b].dirty = true;
  if (sink_ != nullptr) record(event::AnswerCame{target, answer});
}

std::vector<SystemState::TargetCheck> SystemState::urgent_checks() {
  std::vector<TargetCheck> out;
  for (std::uint32_t b = 0; b < backends_.size(); ++b)
    for (const BlockCheck& q : fork_checks(backends_[b].history)) out.push_back({first_target(b) + q.member, q.check});
  if (!out.empty()) record(event::UrgentChecksSent{});
  return out;
}

void SystemState::scan(Now now) {
  for (std::uint32_t b = 0; b < backends_.size(); ++b)
    scan_heads(backends_[b].history, config_.backends[b], config_.probe, now);
  record(event::HeadsScanned{now});
}

void SystemState::block_decisions(std::uint32_t backend, bool blocked) {
  if (std::exchange(backends_[backend].blocked, blocked) != blocked) record(event::DecisionsBlocked{backend, blocked});
}

bool SystemState::update_views(std::span<const haproxy::Instance* const> instances) {
  std::vector<const haproxy::Instance*> read;
  std::ranges::copy_if(instances, std::back_inserter(read), [](const auto* i) { return i != nullptr; });
  if (read.empty()) return false;
  std::vector<event::ViewsChanged::Of> news;
  for (std::uint32_t b = 0; b < backends_.size(); ++b) {
    BackendView view = view_of(config_.backends[b], *read.front());
    for (std::size_t i = 1; i < read.size(); ++i) join(view, view_of(config_.backends[b], *read[i]));
    if (view != backends_[b].view) news.push_back({b, std::move(view)});
  }
  return update_views(std::move(news));
}

void SystemState::take_weights(BackendState& backend, const BackendView& view) {
  backend.history.shares = {};
  for (std::size_t i = 0; i < backend.decision.servers.size() && i < view.servers.size(); ++i)
    if (view.servers[i]) backend.decision.servers[i].weight = view.servers[i]->weight;
}

bool SystemState::update_views(std::vector<event::ViewsChanged::Of> news) {
  if (news.empty()) return false;
  bool changed = false;
  for (const auto& [b, view] : news) {
    if (!same_circumstances(view, backends_[b].view)) {
      backends_[b].dirty = true;
      changed = true;
    }
    if (!view.servers.empty() && std::exchange(backends_[b].guessed, false)) take_weights(backends_[b], view);
    backends_[b].view = view;
  }
  record(event::ViewsChanged{std::move(news)});
  return changed;
}

std::vector<std::size_t> SystemState::observe_live(std::uint32_t b, const std::vector<LiveDelta>& deltas,
                                                   MonoTime now) {
  BackendState& backend = backends_[b];
  if (!config_.backends[b].live || deltas.size() != backend.history.servers.size()) return {};
  const bool idle =
      std::ranges::all_of(deltas, [](const LiveDelta& d) { return d == LiveDelta{.elapsed = d.elapsed}; }) &&
      std::ranges::all_of(backend.history.servers, [](const TargetHistory& t) {
        return t.live.counted_at == MonoTime{} && !t.live.quota_per_s;
      });
  if (idle) return {};
  std::vector<std::size_t> suspects =
      fold_live(backend.history.servers, deltas, now, requests_under(backend.view.algorithm));
  for (std::size_t& s : suspects) s += first_target(b);
  if (std::ranges::any_of(deltas, [](const LiveDelta& d) { return d.requests > 0 || d.ended > 0; }))
    backend.dirty = true;
  record(event::TrafficCame{b, deltas, now});
  return suspects;
}

std::vector<SystemState::Change> SystemState::decide(Now now, bool all) {
  std::vector<Change> out;
  cold_ = false;
  ++changes_;
  // By the backend that they follow.
  std::vector<std::vector<std::uint32_t>> followers(backends_.size());
  for (std::uint32_t b = 0; b < backends_.size(); ++b)
    if (!config_.backends[b].follows.empty()) followers[judged_by_[b]].push_back(b);
  for (std::uint32_t b = 0; b < backends_.size(); ++b) {
    if (!config_.backends[b].follows.empty()) continue;
    BackendState& backend = backends_[b];
    const bool dirty =
        backend.dirty || std::ranges::any_of(followers[b], [&](std::uint32_t f) { return backends_[f].dirty; });
    if (!all && (!dirty || backend.blocked)) continue;
    note_returns(backend.history, config_.backends[b], backend.view, now.mono);
    BackendVerdict verdict =
        judge(backend.history, config_.backends[b], config_.probe, now, requests_under(backend.view.algorithm));
    std::vector<BackendVerdict> followed;
    for (const std::uint32_t f : followers[b]) followed.push_back(follow(f, verdict, now));
    out.push_back(decide_one(b, std::move(verdict), now));
    for (std::size_t k = 0; k < followed.size(); ++k)
      out.push_back(decide_one(followers[b][k], std::move(followed[k]), now));
  }
  note_blind();
  if (!out.empty()) record(event::Decided{now, all});
  return out;
}

SystemState::Change SystemState::decide_one(std::uint32_t b, BackendVerdict&& verdict, Now now) {
  BackendState& backend = backends_[b];
  std::vector<unsigned> applied;
  if (backend.decided)
    for (const ServerDecision& s : backend.decision.servers) applied.push_back(s.weight);
  const bool nothing_known = backend.history.shares.last.empty();
  BackendDecision fresh =
      weigh(backend.history, config_.backends[b], config_.probe, backend.view, std::move(verdict), applied, now);
  Change out{b, std::exchange(backend.decision, std::move(fresh))};
  backend.dirty = false;
  backend.decided = backend.decision.any_verdict;
  if (backend.view.servers.empty()) backend.guessed = backend.guessed || (nothing_known && backend.decided);
  return out;
}

void SystemState::apply(const Event& event) {
  struct Caller {
    SystemState& state;
    void operator()(const event::ProbeBegun& e) const { static_cast<void>(state.begin_probe(e.target, e.at)); }
    void operator()(const event::ProbeSent& e) const { state.probe_sent(e.target, e.at); }
    void operator()(const event::NoAnswerYet& e) const { state.note_no_answer(e.target); }
    void operator()(const event::HeadCame& e) const { state.observe(e.target, HeadObservation(e.observation)); }
    void operator()(const event::AnswerCame& e) const { state.observe(e.target, e.answer); }
    void operator()(const event::UrgentChecksSent&) const { static_cast<void>(state.urgent_checks()); }
    void operator()(const event::HeadsScanned& e) const { state.scan(e.now); }
    void operator()(const event::DecisionsBlocked& e) const { state.block_decisions(e.backend, e.blocked); }
    void operator()(const event::ViewsChanged& e) const { state.update_views(e.backends); }
    void operator()(const event::TrafficCame& e) const {
      static_cast<void>(state.observe_live(e.backend, e.deltas, e.at));
    }
    void operator()(const event::Decided& e) const { static_cast<void>(state.decide(e.now, e.all)); }
  };
  std::visit(Caller{*this}, event);
}

BackendVerdict SystemState::follow(std::uint32_t b, const BackendVerdict& judged, Now now) {
  BackendState& backend = backends_[b];
  const config::Backend& cfg = config_.backends[b];
  const BackendHistory& from = backends_[judged_by_[b]].history;
  BackendVerdict out{.servers = std::vector<ServerVerdict>(cfg.servers.size()),
                     .head = judged.head,
                     .notes = judged.notes,
                     .blind = judged.blind,
                     .halted = judged.halted};
  backend.history.block_time = from.block_time;
  for (std::size_t i = 0; i < cfg.servers.size(); ++i) {
    if (!judged_as_[b][i]) continue;
    TargetHistory& t = backend.history.servers[i];
    // Maintenance is a matter of each backend.
    const bool was_disabled = t.health.was_disabled;
    const std::optional<MonoTime> returned_at = t.ejection.returned_at;
    t = from.servers[*judged_as_[b][i]];
    t.health.was_disabled = was_disabled;
    if (returned_at && !t.ejection.is_out) t.ejection.returned_at = std::max(returned_at, t.ejection.returned_at);
    out.servers[i] = judged.servers[*judged_as_[b][i]];
  }
  note_returns(backend.history, cfg, backend.view, now.mono);
  for (std::size_t i = 0; i < cfg.servers.size(); ++i)
    if (judged_as_[b][i]) apply_ramp(backend.history.servers[i].ejection, cfg, now.mono, out.servers[i]);
  return out;
}

void SystemState::note_blind() {
  // One provider that cannot be reached is its own fault as likely as ours.
  const auto servers = std::ranges::count(targets_, false, &Target::reference);
  const bool was_blind = blind_;
  blind_ = servers > 1 && std::ranges::all_of(backends_, [](const BackendState& b) {
             return b.history.servers.empty() || b.decision.blind;
           });
  if (!blind_ && !was_blind) return;
  const ReasonNote blind{Reason::kBlind,
                         "no provider of any backend can be reached: look at this machine's network and name servers "
                         "first"};
  for (BackendState& b : backends_) {
    for (ServerDecision& s : b.decision.servers) {
      std::erase_if(s.reasons, [](const ReasonNote& n) { return n.code == Reason::kBlind; });
      if (blind_) s.reasons.push_back(blind);
    }
  }
}

std::vector<std::string> SystemState::backend_names() const {
  std::vector<std::string> out;
  for (const config::Backend& b : config_.backends) out.push_back(b.name);
  return out;
}

std::vector<BackendSnapshot> SystemState::snapshot(const Keyer& key) const {
  std::vector<BackendSnapshot> out;
  for (std::size_t b = 0; b < backends_.size(); ++b) out.push_back(snapshot_of(config_.backends[b], backends_[b], key));
  return out;
}

void SystemState::adopt(SystemState&& other) {
  blind_ = other.blind_;
  changes_ = other.changes_;
  departed_ = std::move(other.departed_);
  adopt(other.snapshot(plain_key), plain_key);
  cold_ = other.cold_;
}

void SystemState::change_servers(const std::function<void()>& change, MonoTime now) {
  std::erase_if(departed_, [&](const Departed& d) { return now - d.at > constants::kAbsence; });
  std::vector<BackendSnapshot> was = snapshot(plain_key);
  std::vector<BackendState> before = std::move(backends_);
  change();
  begin();
  ++changes_;
  for (std::size_t b = 0; b < backends_.size(); ++b) {
    const std::vector<std::string> keys = identity_of(config_.backends[b], plain_key).servers;
    if (keys == was[b].servers) {
      backends_[b] = std::move(before[b]);
      continue;
    }
    const std::set<std::string_view> here(keys.begin(), keys.end());
    for (std::size_t i = 0; i < was[b].servers.size(); ++i)
      if (!here.contains(was[b].servers[i]))
        departed_.push_back({was[b].servers[i], now, outlasting(std::move(was[b].history.servers[i]))});
    const std::set<std::string> were(was[b].servers.begin(), was[b].servers.end());
    rpcw::restore(backends_[b], config_.backends[b], std::move(was[b]), plain_key, Continuity::kSameDaemon);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (were.contains(keys[i])) continue;
      const auto known = std::ranges::find(departed_, keys[i], &Departed::key);
      if (known == departed_.end()) continue;
      backends_[b].history.servers[i] = std::move(known->history);
      departed_.erase(known);
    }
  }
  while (departed_.size() > constants::kAbsentMost) departed_.pop_front();
  if (sink_ != nullptr) sink_->servers_changed(*this);
}

void SystemState::adopt(std::vector<BackendSnapshot>&& snapshots, const Keyer& key) {
  cold_ = true;
  ++changes_;
  for (std::size_t b = 0; b < backends_.size(); ++b) {
    const auto was = std::ranges::find(snapshots, config_.backends[b].name, &BackendSnapshot::name);
    if (was != snapshots.end())
      rpcw::restore(backends_[b], config_.backends[b], std::move(*was), key, Continuity::kNewDaemon);
  }
}

}  // namespace rpcw
