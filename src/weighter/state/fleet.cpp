#include "weighter/state/fleet.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/text.hpp"
#include "weighter/judge/forks.hpp"
#include "weighter/judge/heads.hpp"
#include "weighter/plan/haproxy_notes.hpp"
#include "weighter/schedule/agenda.hpp"
#include "weighter/state/haproxy_view.hpp"

namespace rpcw {
namespace {

std::string admin_state_text(const haproxy::ServerRow& row) {
  if (!row.admin_state) return row.status.starts_with("MAINT") ? "maint" : "";
  if ((*row.admin_state & haproxy::kForcedMaint) != 0) return "maint";
  if ((*row.admin_state & haproxy::kForcedDrain) != 0) return "drain";
  return "ready";
}

/// Notes servers that HAProxy has and the file does not name, with the part of the weights that they hold after
/// `decision`.
void note_unmanaged(const config::Backend& cfg, const haproxy::BackendRow& row, const BackendDecision& decision,
                    BackendReport& report) {
  constexpr std::size_t kNamed = 5;
  const NameSet ours = names_of(cfg);
  NameList names(kNamed);
  unsigned theirs = 0;
  for (const haproxy::ServerRow& s : row.servers) {
    if (s.backup || !usable(s) || ours.contains(s.name)) continue;
    theirs += s.uweight;
    names.add(s.name);
  }
  if (names.count() == 0) return;
  report.unmanaged_weight = theirs;
  unsigned total = theirs;
  for (std::size_t i = 0; i < decision.servers.size(); ++i) {
    const haproxy::ServerRow* s = row.server(cfg.servers[i].name);
    if (s != nullptr && !s->backup && decision.servers[i].state != State::kDisabled)
      total += decision.servers[i].weight;
  }
  report.notes.push_back({"unmanaged", fmt::format("server{} {} hold{} {} of {}", names.count() == 1 ? "" : "s",
                                                   names.text(), names.count() == 1 ? "s" : "", theirs, total)});
}

}  // namespace

Fleet::Fleet(const config::Config& config) : config_(config) {
  begin();
}

void Fleet::begin() {
  backends_.clear();
  targets_.clear();
  first_targets_.clear();
  for (std::uint32_t b = 0; b < config_.backends.size(); ++b) {
    const config::Backend& cfg = config_.backends[b];
    backends_.push_back({empty_history(cfg), {}, {}, true});
    first_targets_.push_back(targets_.size());
    for (std::uint32_t i = 0; i < cfg.servers.size(); ++i) targets_.push_back({b, false, i});
    for (std::uint32_t i = 0; i < cfg.references.size(); ++i) targets_.push_back({b, true, i});
  }
}

const config::Target& Fleet::target_config(std::size_t target) const {
  const Target& t = targets_[target];
  const config::Backend& cfg = config_.backends[t.backend];
  return t.reference ? cfg.references[t.index] : cfg.servers[t.index].target;
}

TargetHistory& Fleet::mutable_history(std::size_t target) {
  const Target& t = targets_[target];
  BackendHistory& h = backends_[t.backend].history;
  return t.reference ? h.references[t.index] : h.servers[t.index];
}

const TargetHistory& Fleet::history(std::size_t target) const {
  const Target& t = targets_[target];
  const BackendHistory& h = backends_[t.backend].history;
  return t.reference ? h.references[t.index] : h.servers[t.index];
}

std::vector<Check> Fleet::begin_probe(std::size_t target, MonoTime now) {
  const Target& t = targets_[target];
  TargetHistory& h = mutable_history(target);
  std::vector<Check> out =
      due_checks(h, t.reference, backends_[t.backend].history.block_time, config_.backends[t.backend], now);
  tell(event::ProbeBegun{target, now});
  return out;
}

void Fleet::probe_sent(std::size_t target, MonoTime now) {
  mutable_history(target).probes.sent_at = now;
  tell(event::ProbeSent{target, now});
}

void Fleet::silent(std::size_t target) {
  if (std::exchange(backends_[targets_[target].backend].dirty, true)) return;
  tell(event::Silent{target});
}

void Fleet::observe(std::size_t target, HeadObservation&& observation) {
  std::optional<event::HeadCame> event;
  if (sink_ != nullptr) event = event::HeadCame{target, observation};
  ++changes_;
  fold(mutable_history(target), std::move(observation));
  backends_[targets_[target].backend].dirty = true;
  if (event) tell(std::move(*event));
}

void Fleet::observe(std::size_t target, const Answer& answer) {
  ++changes_;
  const std::uint32_t b = targets_[target].backend;
  if (answer.check.kind == CheckKind::kBlock)
    fold_block(backends_[b].history, static_cast<std::uint32_t>(target - first_target(b)), answer);
  else
    fold(mutable_history(target), answer, config_.backends[b].chain);
  backends_[b].dirty = true;
  if (sink_ != nullptr) tell(event::AnswerCame{target, answer});
}

std::vector<Fleet::TargetCheck> Fleet::urgent_checks() {
  std::vector<TargetCheck> out;
  for (std::uint32_t b = 0; b < backends_.size(); ++b)
    for (const BlockCheck& q : fork_checks(backends_[b].history)) out.push_back({first_target(b) + q.member, q.check});
  if (!out.empty()) tell(event::UrgentChecksSent{});
  return out;
}

void Fleet::look(Now now) {
  for (std::uint32_t b = 0; b < backends_.size(); ++b)
    look_at_heads(backends_[b].history, config_.backends[b], config_.probe, now);
  tell(event::Looked{now});
}

void Fleet::hold_up(std::uint32_t backend, bool held_up) {
  if (std::exchange(backends_[backend].held_up, held_up) != held_up) tell(event::HeldUp{backend, held_up});
}

bool Fleet::see(std::span<const haproxy::Instance* const> instances) {
  std::vector<const haproxy::Instance*> read;
  std::ranges::copy_if(instances, std::back_inserter(read), [](const auto* i) { return i != nullptr; });
  if (read.empty()) return false;
  std::vector<event::Seen::Of> news;
  for (std::uint32_t b = 0; b < backends_.size(); ++b) {
    BackendView view = view_of(config_.backends[b], *read.front());
    for (std::size_t i = 1; i < read.size(); ++i) join(view, view_of(config_.backends[b], *read[i]));
    if (view != backends_[b].view) news.push_back({b, std::move(view)});
  }
  return see(std::move(news));
}

bool Fleet::see(std::vector<event::Seen::Of> news) {
  if (news.empty()) return false;
  bool changed = false;
  for (const auto& [b, view] : news) {
    if (!same_circumstances(view, backends_[b].view)) {
      backends_[b].dirty = true;
      changed = true;
    }
    backends_[b].view = view;
  }
  tell(event::Seen{std::move(news)});
  return changed;
}

std::vector<std::size_t> Fleet::observe_live(std::uint32_t b, const std::vector<LiveDelta>& deltas, MonoTime now) {
  Backend& backend = backends_[b];
  if (!config_.backends[b].live || deltas.size() != backend.history.servers.size()) return {};
  const bool idle = std::ranges::all_of(deltas, [](const LiveDelta& d) { return d == LiveDelta{}; }) &&
                    std::ranges::all_of(backend.history.servers, [](const TargetHistory& t) {
                      return t.live.counted_at == MonoTime{} && !t.live.quota_per_s;
                    });
  if (idle) return {};
  std::vector<std::size_t> suspects = fold_live(backend.history.servers, deltas, now);
  for (std::size_t& s : suspects) s += first_target(b);
  if (std::ranges::any_of(deltas, [](const LiveDelta& d) { return d.requests > 0 || d.ended > 0; }))
    backend.dirty = true;
  tell(event::TrafficCame{b, deltas, now});
  return suspects;
}

std::vector<Fleet::Change> Fleet::decide(Now now, bool all) {
  std::vector<Change> out;
  cold_ = false;
  ++changes_;
  for (std::uint32_t b = 0; b < backends_.size(); ++b) {
    Backend& backend = backends_[b];
    if (!all && (!backend.dirty || backend.held_up)) continue;
    std::vector<unsigned> held;
    if (backend.decided)
      for (const ServerDecision& s : backend.decision.servers) held.push_back(s.weight);
    BackendDecision fresh = rpcw::decide(backend.history, config_.backends[b], config_.probe, backend.view, held, now);
    out.push_back({b, std::exchange(backend.decision, std::move(fresh))});
    backend.dirty = false;
    backend.decided = backend.decision.any_verdict;
  }
  // One provider that cannot be reached is its own fault as likely as ours.
  const auto servers = std::ranges::count(targets_, false, &Target::reference);
  const bool was_blind = blind_;
  blind_ = servers > 1 && std::ranges::all_of(backends_, [](const Backend& b) {
             return b.history.servers.empty() || b.decision.blind;
           });
  if (blind_ || was_blind) note_blind();
  if (!out.empty()) tell(event::Decided{now, all});
  return out;
}

void Fleet::apply(const Event& event) {
  struct Caller {
    Fleet& fleet;
    void operator()(const event::ProbeBegun& e) const { static_cast<void>(fleet.begin_probe(e.target, e.at)); }
    void operator()(const event::ProbeSent& e) const { fleet.probe_sent(e.target, e.at); }
    void operator()(const event::Silent& e) const { fleet.silent(e.target); }
    void operator()(const event::HeadCame& e) const { fleet.observe(e.target, HeadObservation(e.observation)); }
    void operator()(const event::AnswerCame& e) const { fleet.observe(e.target, e.answer); }
    void operator()(const event::UrgentChecksSent&) const { static_cast<void>(fleet.urgent_checks()); }
    void operator()(const event::Looked& e) const { fleet.look(e.now); }
    void operator()(const event::HeldUp& e) const { fleet.hold_up(e.backend, e.held_up); }
    void operator()(const event::Seen& e) const { fleet.see(e.backends); }
    void operator()(const event::TrafficCame& e) const {
      static_cast<void>(fleet.observe_live(e.backend, e.deltas, e.at));
    }
    void operator()(const event::Decided& e) const { static_cast<void>(fleet.decide(e.now, e.all)); }
  };
  std::visit(Caller{*this}, event);
}

void Fleet::note_blind() {
  const ReasonNote blind{Reason::kBlind,
                         "no provider of any backend can be reached: look at this machine's network and name servers "
                         "first"};
  for (Backend& b : backends_) {
    for (ServerDecision& s : b.decision.servers) {
      std::erase_if(s.reasons, [](const ReasonNote& n) { return n.code == Reason::kBlind; });
      if (blind_) s.reasons.push_back(blind);
    }
  }
}

std::vector<WeightChange> Fleet::plan(const haproxy::Instance& instance) const {
  std::vector<WeightChange> out;
  if (cold_) return out;
  for (std::uint32_t b = 0; b < backends_.size(); ++b) {
    if (!backends_[b].decided) continue;
    const haproxy::BackendRow* row = instance.backend(config_.backends[b].name);
    if (row == nullptr) continue;
    const BackendDecision& d = backends_[b].decision;
    const std::vector<unsigned> weights = wanted_at(b, *row);
    const auto first = static_cast<std::ptrdiff_t>(out.size());
    for (std::uint32_t i = 0; i < d.servers.size(); ++i) {
      const haproxy::ServerRow* s = row->server(config_.backends[b].servers[i].name);
      if (s == nullptr || d.servers[i].state == State::kDisabled) continue;
      const unsigned wanted = weights[i];
      if (!row->percent) {
        if (s->uweight != wanted) out.push_back({b, i, s->uweight, wanted, false});
        continue;
      }
      if ((s->uweight > 0) != (wanted > 0 && !stuck(*row, *s)))
        out.push_back({b, i, s->uweight, wanted > 0 ? 100U : 0U, true});
    }
    std::stable_partition(out.begin() + first, out.end(), [](const WeightChange& c) { return c.to > c.from; });
  }
  return out;
}

std::vector<unsigned> Fleet::wanted_at(std::uint32_t b, const haproxy::BackendRow& row) const {
  const std::vector<config::Server>& servers = config_.backends[b].servers;
  const std::vector<ServerDecision>& decided = backends_[b].decision.servers;
  std::vector<unsigned> out;
  for (const ServerDecision& s : decided) out.push_back(s.weight);
  std::vector<bool> usable_here(decided.size());
  for (std::size_t i = 0; i < decided.size(); ++i) {
    const haproxy::ServerRow* s = row.server(servers[i].name);
    usable_here[i] = s != nullptr && usable(*s) && !stuck(row, *s);
    if (usable_here[i] && out[i] > 0) return out;
  }
  if (has_usable_foreign_backup(config_.backends[b], row)) return out;
  const auto share_equally = [&](auto which) {
    std::vector<std::size_t> served;
    for (std::size_t i = 0; i < decided.size(); ++i)
      if (usable_here[i] && which(decided[i])) served.push_back(i);
    for (const std::size_t i : served) out[i] = std::max(1U, 256U / static_cast<unsigned>(served.size()));
    return !served.empty();
  };
  const auto well = [](const ServerDecision& s) { return s.state == State::kHealthy || s.state == State::kDegraded; };
  const auto with = [](Standing standing) {
    return [standing](const ServerDecision& s) { return standing_of(s) == standing; };
  };
  static_cast<void>(share_equally(well) || share_equally(with(Standing::kAnswers)) ||
                    share_equally(with(Standing::kWorkFails)) || share_equally(with(Standing::kNoAnswer)) ||
                    share_equally(with(Standing::kDisqualified)));
  return out;
}

std::vector<std::string> Fleet::missing(const haproxy::Instance& instance) const {
  std::vector<std::string> out;
  for (const config::Backend& cfg : config_.backends) {
    const haproxy::BackendRow* row = instance.backend(cfg.name);
    if (row == nullptr) {
      out.push_back(fmt::format("HAProxy has no backend {}", cfg.name));
      continue;
    }
    const auto gone = [&](const std::string& name) {
      out.push_back(fmt::format("HAProxy's backend {} has no server {}", cfg.name, name));
    };
    for (const std::string& name : cfg.absent) gone(name);
    // One that is there because another HAProxy has it may be missing here.
    for (const config::Server& s : cfg.servers)
      if (s.named && row->server(s.name) == nullptr) gone(s.name);
  }
  return out;
}

std::vector<std::string> Fleet::backend_names() const {
  std::vector<std::string> out;
  for (const config::Backend& b : config_.backends) out.push_back(b.name);
  return out;
}

Report Fleet::report(Now now, const haproxy::Instance* instance) const {
  Report out;
  out.time = now.wall;
  for (std::size_t b = 0; b < backends_.size(); ++b) {
    const config::Backend& cfg = config_.backends[b];
    const BackendDecision& d = backends_[b].decision;
    const haproxy::BackendRow* row = instance != nullptr ? instance->backend(cfg.name) : nullptr;
    BackendReport& br = out.backends.emplace_back();
    br.name = cfg.name;
    br.chain = cfg.chain.name;
    br.strategy = config::to_string(cfg.strategy);
    br.fallback = d.fallback;
    br.head = d.head;
    br.notes = d.notes;
    br.healthy = d.healthy;
    br.percent = row != nullptr && row->percent;
    if (br.percent)
      br.notes.push_back({"static_algorithm",
                          "HAProxy takes only 0 % and 100 % here: servers are switched off and on, "
                          "their shares are those of haproxy.cfg"});
    if (row != nullptr) {
      br.algorithm = row->algo;
      if (cfg.servers.empty())
        br.notes.push_back({"no_servers", "HAProxy's list has no server with an address that can be probed"});
      note_unmanaged(cfg, *row, d, br);
      std::ranges::move(haproxy_notes(cfg, *row), std::back_inserter(br.notes));
    } else if (cfg.servers.empty()) {
      br.notes.push_back({"no_servers", instance != nullptr ? "HAProxy has no backend of this name"
                                                            : "no HAProxy could be asked for its list of servers"});
    }
    for (std::size_t i = 0; i < cfg.servers.size(); ++i) {
      ServerReport& sr = br.servers.emplace_back();
      sr.name = cfg.servers[i].name;
      sr.url = config::shown_url(cfg.servers[i].target);
      if (i < d.servers.size()) sr.decision = d.servers[i];
      const haproxy::ServerRow* s = row != nullptr ? row->server(sr.name) : nullptr;
      if (s == nullptr) continue;
      sr.current_weight = s->uweight;
      sr.admin_state = admin_state_text(*s);
      sr.backup = s->backup;
    }
  }
  return out;
}

}  // namespace rpcw
