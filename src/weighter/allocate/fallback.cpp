#include "weighter/allocate/fallback.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "weighter/allocate/scale.hpp"

namespace rpcw {
namespace {

unsigned last_weight(const Allocation& a, std::size_t i) {
  if (i < a.applied.size()) return a.applied[i];
  const ServerView* v = a.shown(i);
  return v != nullptr ? v->weight : 0;
}

/// The worst standing that gets traffic: the best one of all servers that HAProxy can use, backups included. A
/// fallback must not feed a dead server while another one answers.
Standing worst_served(const Allocation& a) {
  std::optional<Standing> of_serving;
  std::optional<Standing> of_any;
  const auto better = [](std::optional<Standing>& best, Standing standing) {
    if (!best || standing < *best) best = standing;
  };
  for (std::size_t i = 0; i < a.out.servers.size(); ++i) {
    if (a.out_of_reach(i) || a.disabled(i)) continue;
    const Standing standing = standing_of(a.out.servers[i]);
    better(of_any, standing);
    if (a.can_serve(i)) better(of_serving, standing);
  }
  return of_serving.value_or(of_any.value_or(Standing::kDisqualified));
}

/// 1 / seconds: how much a server is worth by the age of its newest block, which no chain makes younger than its
/// block time. 0: it has shown none.
double freshness_worth(const Allocation& a, std::size_t i) {
  const std::optional<milliseconds> age = a.out.servers[i].head_age;
  if (!age) return 0;
  return 1000.0 / static_cast<double>(std::max({*age, a.backend.chain.block_time, milliseconds{1}}).count());
}

/// Gives servers that are no worse than `worst` their weights from before the fallback. False: none of them can serve.
bool keep_weights(Allocation& a, Standing worst) {
  std::vector<unsigned>& kept = a.history.shares.kept;
  if (kept.size() != a.targets.size()) {
    kept.resize(a.targets.size());
    for (std::size_t i = 0; i < kept.size(); ++i) kept[i] = last_weight(a, i);
  }
  bool any = false;
  for (std::size_t i = 0; i < a.targets.size(); ++i) {
    const bool served = a.disabled(i) || standing_of(a.out.servers[i]) <= worst;
    a.targets[i] = served ? kept[i] : 0;
    if (a.targets[i] > 0 && a.can_serve(i)) any = true;
  }
  return any;
}

/// Shares among the servers of the group that are no worse than `worst`: by the age of their blocks, or equally.
void share_among(Allocation& a, const Members& group, Standing worst) {
  Members served;
  for (const std::size_t i : group) {
    a.targets[i] = 0;
    if (a.disabled(i))
      a.targets[i] = a.disabled_weight(i);
    else if (standing_of(a.out.servers[i]) <= worst)
      served.push_back(i);
  }
  if (served.empty()) return;
  if (a.out.fallback == config::Fallback::kLeastBad) {
    std::vector<double> worth;
    for (const std::size_t i : served) worth.push_back(freshness_worth(a, i));
    const std::vector<unsigned> weights =
        served.size() > kMostServersForShares ? scale_peak(worth, 1.0) : scale_share(worth, 1.0);
    for (std::size_t k = 0; k < served.size(); ++k) a.targets[served[k]] = weights[k];
    return;
  }
  for (const std::size_t i : served) a.targets[i] = equal_weight(served.size());
}

/// Words for the servers that a fallback gives traffic to, by the worst standing among them.
std::string_view served_text(Standing worst) {
  switch (worst) {
    case Standing::kAnswers:
      break;
    case Standing::kWorkFails:
      return "those that answer probes";
    case Standing::kNoAnswer:
      return "those that do not answer";
    case Standing::kDisqualified:
      return "those that HAProxy can use";
  }
  return "those that answer";
}

bool all_on_another_chain(const std::vector<const ServerDecision*>& servers) {
  bool any = false;
  for (const ServerDecision* server : servers) {
    if (server->state == State::kDisabled || standing_of(*server) == Standing::kNoAnswer) continue;
    if (std::ranges::find(server->reasons, Reason::kWrongChain, &ReasonNote::code) == server->reasons.end())
      return false;
    any = true;
  }
  return any;
}

}  // namespace

void fall_back(Allocation& a, const Members& active, const Members& backups) {
  a.out.fallback = a.backend.fallback;
  const Standing worst = worst_served(a);
  if (a.backend.fallback == config::Fallback::kKeep) {
    if (keep_weights(a, worst)) return;
    a.out.fallback = config::Fallback::kEqual;
  }
  share_among(a, active, worst);
  share_among(a, backups, worst);
}

Standing standing_of(const ServerDecision& server) {
  if (may_serve(server.state)) return Standing::kAnswers;
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

std::string fallback_text(config::Fallback fallback, const std::vector<const ServerDecision*>& servers) {
  if (servers.empty()) return "there is none";
  if (std::ranges::all_of(servers, [](const ServerDecision* s) { return s->state == State::kDisabled; }))
    return "all are in MAINT or DRAIN, and keep their weights for when they are not";
  bool some_have_none = false;
  std::optional<Standing> served;
  for (const ServerDecision* server : servers) {
    if (server->state == State::kDisabled) continue;
    if (server->weight == 0)
      some_have_none = true;
    else
      served = std::max(served.value_or(Standing::kAnswers), standing_of(*server));
  }
  some_have_none = some_have_none && served.has_value();
  std::string out = "the last weights are kept";
  if (fallback != config::Fallback::kKeep) {
    const std::string_view get =
        fallback == config::Fallback::kLeastBad ? "share by the age of their newest blocks" : "get the same weight";
    out = some_have_none ? fmt::format("{} {}, the others get nothing", served_text(*served), get)
                         : fmt::format("all {}", get);
  }
  if (all_on_another_chain(servers)) out += "; all that answer are on another chain: is `chain` right?";
  return out;
}

}  // namespace rpcw
