#include "weighter/decide.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "weighter/scale.hpp"
#include "weighter/score.hpp"

namespace rpcw {
namespace {

/// A change below this part of a weight is not worth a push: HAProxy would hardly notice, and an operator reading the
/// log would drown.
constexpr double kDeadBand = 0.15;

double strategy_score(const config::Backend& backend, const ServerVerdict& verdict, ScoreInputs& inputs) {
  switch (backend.strategy) {
    case config::Strategy::kInverseLatency: {
      if (!verdict.latency || !verdict.head_age) return 0;
      inputs.latency_used_ms = std::chrono::duration<double, std::milli>(*verdict.latency).count();
      return inverse_latency_score(*verdict.latency, *verdict.head_age, backend.chain.block_time);
    }
    case config::Strategy::kEqual:
    case config::Strategy::kAdaptive:
    case config::Strategy::kLeader:
      return 1;
  }
  return 0;
}

class Decider {
 public:
  Decider(const config::Backend& backend, const BackendView& view, std::span<const unsigned> held)
      : backend_(backend), view_(view), held_(held) {}

  BackendDecision run(const BackendHistory& history, BackendVerdict&& verdict) {
    out_.head = verdict.head;
    out_.blind = verdict.blind;
    out_.notes = std::move(verdict.notes);
    out_.servers.resize(verdict.servers.size());
    never_.resize(verdict.servers.size());
    for (std::size_t i = 0; i < verdict.servers.size(); ++i)
      describe(i, history.servers[i], std::move(verdict.servers[i]));

    const std::vector<std::size_t> active = members(false);
    const std::vector<std::size_t> backups = members(true);
    const std::size_t healthy_active = healthy(active);
    const std::size_t healthy_backups = healthy(backups);
    out_.healthy = static_cast<unsigned>(healthy_active + healthy_backups);
    const bool backup_takes_over = healthy_active == 0 && (healthy_backups > 0 || view_.usable_foreign_backup);

    targets_.assign(out_.servers.size(), 0);
    if (out_.healthy < backend_.min_healthy && !backup_takes_over) {
      fall_back(active, backups);
    } else {
      scale(active);
      scale(backups);
    }
    settle();
    return std::move(out_);
  }

 private:
  const ServerView* view(std::size_t i) const {
    return i < view_.servers.size() && view_.servers[i] ? &*view_.servers[i] : nullptr;
  }

  void describe(std::size_t i, const TargetHistory& history, ServerVerdict&& verdict) {
    ServerDecision& s = out_.servers[i];
    s.state = verdict.state;
    s.reasons = std::move(verdict.reasons);
    s.head = history.head;
    s.head_age = verdict.head_age;
    s.lag_blocks = history.lag_blocks;
    s.latency = verdict.latency;
    s.inputs.preference = backend_.servers[i].preference;
    s.inputs.doubt = verdict.doubt;
    s.inputs.rate_limit_factor = verdict.rate_limit_factor;
    never_[i] = verdict.never;
    if (s.state != State::kUnknown) out_.any_verdict = true;
    if (s.state == State::kHealthy || s.state == State::kDegraded)
      s.score = strategy_score(backend_, verdict, s.inputs) * s.inputs.preference * s.inputs.doubt *
                s.inputs.rate_limit_factor;
    if (const ServerView* v = view(i); v != nullptr && v->disabled) s.state = State::kDisabled;
  }

  bool eligible(std::size_t i) const {
    const State state = out_.servers[i].state;
    return state == State::kHealthy || state == State::kDegraded;
  }

  std::vector<std::size_t> members(bool backup) const {
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < out_.servers.size(); ++i) {
      const ServerView* v = view(i);
      if ((v != nullptr && v->backup) == backup) out.push_back(i);
    }
    return out;
  }

  std::size_t healthy(const std::vector<std::size_t>& group) const {
    return static_cast<std::size_t>(std::ranges::count_if(group, [&](std::size_t i) { return eligible(i); }));
  }

  void scale(const std::vector<std::size_t>& group) {
    std::vector<std::size_t> sharing;
    std::vector<double> scores;
    for (std::size_t i : group) {
      if (out_.servers[i].state == State::kDisabled) targets_[i] = disabled_weight(i);
      if (!eligible(i)) continue;
      sharing.push_back(i);
      scores.push_back(out_.servers[i].score);
    }
    const bool peak = backend_.scale == config::Scale::kPeak || backend_.servers.size() > kMostServersForShares;
    const std::vector<unsigned> weights =
        peak ? scale_peak(scores, backend_.max_share) : scale_share(scores, backend_.max_share);
    for (std::size_t k = 0; k < sharing.size(); ++k) targets_[sharing[k]] = weights[k];
  }

  /// A server that an operator took out keeps the weight it has: it gets no traffic, and returns with that.
  unsigned disabled_weight(std::size_t i) const {
    const ServerView* v = view(i);
    return v != nullptr ? v->weight : 0;
  }

  unsigned last_weight(std::size_t i) const {
    if (i < held_.size()) return held_[i];
    const ServerView* v = view(i);
    return v != nullptr ? v->weight : 0;
  }

  void fall_back(const std::vector<std::size_t>& active, const std::vector<std::size_t>& backups) {
    out_.fallback = backend_.fallback;
    if (backend_.fallback == config::Fallback::kKeep) {
      bool any = false;
      for (std::size_t i = 0; i < targets_.size(); ++i) {
        targets_[i] = last_weight(i);
        if (targets_[i] > 0 && out_.servers[i].state != State::kDisabled) any = true;
      }
      if (any) return;
      out_.fallback = config::Fallback::kEqual;
    }
    equal(active);
    equal(backups);
  }

  void equal(const std::vector<std::size_t>& group) {
    std::vector<std::size_t> usable;
    for (std::size_t i : group) {
      targets_[i] = 0;
      if (out_.servers[i].state == State::kDisabled)
        targets_[i] = disabled_weight(i);
      else
        usable.push_back(i);
    }
    std::vector<std::size_t> plausible;
    std::ranges::copy_if(usable, std::back_inserter(plausible), [&](std::size_t i) { return !never_[i]; });
    if (!plausible.empty()) usable = std::move(plausible);
    if (usable.empty()) return;
    const unsigned each = std::max(1U, kFullWeight / static_cast<unsigned>(usable.size()));
    for (std::size_t i : usable) targets_[i] = each;
  }

  void settle() {
    const bool take = held_.size() != targets_.size() || worth_pushing(held_, targets_);
    for (std::size_t i = 0; i < targets_.size(); ++i) out_.servers[i].weight = take ? targets_[i] : held_[i];
  }

  const config::Backend& backend_;
  const BackendView& view_;
  std::span<const unsigned> held_;
  BackendDecision out_;
  std::vector<bool> never_;
  std::vector<unsigned> targets_;
};

}  // namespace

bool worth_pushing(std::span<const unsigned> held, std::span<const unsigned> targets) {
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (held[i] == targets[i]) continue;
    if (held[i] == 0 || targets[i] == 0) return true;
    const unsigned step = held[i] > targets[i] ? held[i] - targets[i] : targets[i] - held[i];
    if (static_cast<double>(step) >= kDeadBand * static_cast<double>(held[i])) return true;
  }
  return false;
}

BackendDecision decide(BackendHistory& history, const config::Backend& backend, const config::Probe& probe,
                       const BackendView& view, std::span<const unsigned> held, Now now) {
  BackendVerdict verdict = judge(history, backend, probe, now);
  return Decider(backend, view, held).run(history, std::move(verdict));
}

}  // namespace rpcw
