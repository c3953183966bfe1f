#include "weighter/schedule/agenda.hpp"

#include <algorithm>

#include "weighter/cadence.hpp"
#include "weighter/judge/heads.hpp"

namespace rpcw {
namespace {

class Agenda {
 public:
  explicit Agenda(MonoTime now) : now_(now) {}

  /// `again`: how long after the last answer to ask, sooner than usual.
  void consider(CheckState& state, Check check, milliseconds every, std::optional<milliseconds> again = {}) {
    if (state.waiting) return;
    MonoTime due = state.due;
    if (again) due = std::min(due, state.sent_at + *again);
    if (now_ < due) return;
    state.due = now_ + every;
    state.sent_at = now_;
    state.waiting = true;
    out.push_back(check);
  }

  std::vector<Check> out;

 private:
  const MonoTime now_;
};

}  // namespace

milliseconds probe_interval(const TargetHistory& history, const config::Target& target, const config::Probe& probe,
                            MonoTime now, std::optional<MonoTime> outage) {
  const milliseconds usual = config::interval_of(target, probe);
  if (history.probes.limited) {
    const milliseconds own = usual * (1U << std::min(history.probes.limited_in_row, kMostDoublings));
    return std::clamp(history.probes.limited->retry_after.value_or(own), usual, std::max(kLongestRetryAfter, usual));
  }
  const bool doubt = history.ejection.is_out
                         ? history.health.good_in_row > 0
                         : history.probes.failure || history.health.bad_in_row > 0 || history.heads.slipping;
  const milliseconds fast = config::fast_interval_of(target, probe);
  if (doubt) return fast;
  if (is_returning(history, target, probe, now)) return return_interval(target, probe);
  if (!outage) return usual;
  return std::min(std::max(std::chrono::duration_cast<milliseconds>(*outage / kOutageParts), fast), usual);
}

milliseconds return_interval(const config::Target& target, const config::Probe& probe) {
  return std::min(config::interval_of(target, probe), std::max(config::fast_interval_of(target, probe), kReturnEvery));
}

bool is_returning(const TargetHistory& history, const config::Target& target, const config::Probe& probe,
                  MonoTime now) {
  const std::optional<MonoTime>& back = history.ejection.returned_at;
  return back && now - *back < kReturnProbes * return_interval(target, probe);
}

std::vector<Check> due_checks(TargetHistory& target, bool reference, const BlockTime& block_time,
                              const config::Backend& backend, MonoTime now) {
  if (target.probes.limited) return {};
  Agenda agenda(now);
  if (!backend.chain.identity.empty() && backend.chain.offers.identity)
    agenda.consider(target.identity.check, {CheckKind::kIdentity}, kIdentityEvery);
  if (reference) return std::move(agenda.out);
  // A bad answer counts again only when it is given again.
  const auto again = [&](bool bad) {
    return bad ? std::optional(target.ejection.is_out ? kBadAnswerEvery : milliseconds{0}) : std::nullopt;
  };
  if (backend.chain.offers.syncing)
    agenda.consider(target.node.syncing_check, {CheckKind::kSyncing}, kNodeStateEvery,
                    again(says_it_is_syncing(target, block_time, backend)));
  if (backend.min_peers > 0 && backend.chain.offers.peers)
    agenda.consider(target.node.peers_check, {CheckKind::kPeers}, kNodeStateEvery,
                    target.node.peers.value_or(backend.min_peers) < backend.min_peers ? std::optional(kBadAnswerEvery)
                                                                                      : std::nullopt);
  target.node.canaries.resize(backend.canaries.size());
  for (std::size_t i = 0; i < backend.canaries.size(); ++i)
    agenda.consider(target.node.canaries[i].check, {CheckKind::kCanary, i}, backend.canaries[i].interval,
                    again(target.node.canaries[i].failure.has_value()));
  return std::move(agenda.out);
}

}  // namespace rpcw
