#include "weighter/allocate/allocation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rpcw {

Allocation::Allocation(BackendHistory& history_, const config::Backend& backend_, const config::Probe& probe_,
                       const BackendView& view_, std::span<const unsigned> applied_, Now now_, BackendVerdict&& verdict)
    : history(history_),
      backend(backend_),
      strategy(strategy_named(backend.strategy)),
      probe(probe_),
      view(view_),
      applied(applied_),
      now(now_),
      was_read_(std::ranges::any_of(view.servers, [](const auto& s) { return s.has_value(); })) {
  const std::size_t servers = verdict.servers.size();
  out.head = verdict.head;
  out.blind = verdict.blind;
  out.references = std::move(verdict.references);
  out.notes = std::move(verdict.notes);
  out.servers.resize(servers);
  disqualified.resize(servers);
  steady.resize(servers);
  plan_shares.resize(servers);
  targets.resize(servers);
  shares.resize(servers);
  for (std::size_t i = 0; i < servers; ++i) describe(i, std::move(verdict.servers[i]));
}

void Allocation::describe(std::size_t i, ServerVerdict&& verdict) {
  const TargetHistory& known = history.servers[i];
  ServerDecision& s = out.servers[i];
  s.state = verdict.state;
  s.reasons = std::move(verdict.reasons);
  s.head = known.heads.newest;
  s.head_age = verdict.head_age;
  s.lag_blocks = lag_of(known);
  s.latency = verdict.latency;
  s.inputs.preference = backend.servers[i].preference;
  s.inputs.failure_penalty = verdict.failure_penalty;
  s.inputs.peers_factor = verdict.peers_factor;
  s.inputs.rate_limit_factor = verdict.rate_limit_factor;
  s.inputs.ramp = verdict.ramp;
  s.inputs.quota_share = verdict.quota_share;
  plan_shares[i] = verdict.plan_share;
  if (verdict.plan_share) s.inputs.quota_share = std::min(verdict.quota_share.value_or(1.0), *verdict.plan_share);
  disqualified[i] = verdict.disqualified;
  if (s.state != State::kUnknown) out.any_verdict = true;
  if (eligible(i)) {
    const StrategyScore score = strategy.score(backend, verdict, view.algorithm, s.inputs);
    const double factors = s.inputs.preference * s.inputs.peers_factor * s.inputs.rate_limit_factor * s.inputs.ramp;
    s.score = score.now * factors * s.inputs.failure_penalty;
    steady[i] = score.steady * factors;
  }
  if (const ServerView* v = shown(i); v != nullptr && v->disabled) s.state = State::kDisabled;
}

std::optional<std::uint64_t> Allocation::lag_of(const TargetHistory& known) const {
  const bool answers = !known.probes.failure && !known.probes.limited;
  if (answers || !known.heads.newest || !out.head) return known.heads.lag_blocks;
  return out.head->number - std::min(out.head->number, known.heads.newest->number);
}

const ServerView* Allocation::shown(std::size_t i) const {
  return i < view.servers.size() && view.servers[i] ? &*view.servers[i] : nullptr;
}

unsigned Allocation::disabled_weight(std::size_t i) const {
  const ServerView* v = shown(i);
  return v != nullptr ? v->weight : 0;
}

bool Allocation::eligible(std::size_t i) const {
  return may_serve(out.servers[i].state);
}

bool Allocation::out_of_reach(std::size_t i) const {
  const ServerView* v = shown(i);
  return v != nullptr ? v->stuck : was_read_;
}

bool Allocation::can_serve(std::size_t i) const {
  const ServerView* v = shown(i);
  return !out_of_reach(i) && (v == nullptr || (!v->disabled && !v->down));
}

Members Allocation::members(bool backup) const {
  Members found;
  for (std::size_t i = 0; i < out.servers.size(); ++i) {
    const ServerView* v = shown(i);
    if ((v != nullptr && v->backup) == backup && !out_of_reach(i)) found.push_back(i);
  }
  return found;
}

std::size_t Allocation::healthy(const Members& group) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(group, [&](std::size_t i) { return eligible(i) && can_serve(i); }));
}

Members Allocation::sharing(const Members& group) {
  Members found;
  for (const std::size_t i : group) {
    if (disabled(i)) targets[i] = disabled_weight(i);
    if (!eligible(i)) continue;
    if (waits_for_lower_tiers(i))
      out.servers[i].reasons.push_back(
          {Reason::kStandby, fmt::format("tier {}: servers of lower tiers are enough", backend.servers[i].tier)});
    else
      found.push_back(i);
  }
  return found;
}

bool Allocation::waits_for_lower_tiers(std::size_t i) const {
  const ServerView* v = shown(i);
  return serving_tier && backend.servers[i].tier > *serving_tier && (v == nullptr || !v->backup);
}

}  // namespace rpcw
