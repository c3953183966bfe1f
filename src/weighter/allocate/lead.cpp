#include "weighter/allocate/lead.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "weighter/allocate/scale.hpp"
#include "weighter/strategy/leader.hpp"

namespace rpcw {
namespace {

/// After a restart: the one server to which HAProxy gives everything.
std::optional<std::uint32_t> shown_leader(const Allocation& a, const Members& able) {
  std::optional<std::uint32_t> out;
  for (const std::size_t i : able) {
    const ServerView* v = a.shown(i);
    if (v == nullptr || v->weight == 0) continue;
    if (out) return std::nullopt;
    out = static_cast<std::uint32_t>(i);
  }
  return out;
}

/// Keeps those that pass, unless none does.
template <typename Test>
void prefer(Members& members, const Test& test) {
  Members kept;
  std::ranges::copy_if(members, std::back_inserter(kept), test);
  if (!kept.empty()) members = std::move(kept);
}

void lead_group(Allocation& a, const Members& group, Lead& known, bool switch_back) {
  const Members sharing = a.sharing(group);
  if (sharing.empty()) return;
  Members able = sharing;
  // A server that HAProxy's own check has DOWN would serve nothing.
  prefer(able, [&](std::size_t i) { return a.can_serve(i); });
  // One that has just returned keeps the lead, but is not given it either: a fault is often followed by another.
  prefer(able, [&](std::size_t i) { return i == known.leader || !a.history.servers[i].ejection.returned_at; });
  // One that may be another chain by now keeps the lead, but is not given it while there is another choice.
  prefer(able, [&](std::size_t i) { return i == known.leader || !must_tell_identity(a.history.servers[i]); });
  std::vector<Candidate> candidates;
  for (const std::size_t i : able)
    candidates.push_back({static_cast<std::uint32_t>(i), a.out.servers[i].score, a.backend.servers[i].preference});
  // A leader that was chosen before HAProxy was read has had no traffic yet.
  if (!a.history.leader.looked_up)
    if (const auto shown = shown_leader(a, able)) known.leader = shown;
  const std::uint32_t leader = choose_leader(known, candidates, switch_back, a.now.mono);
  for (const std::size_t i : sharing) {
    if (i == leader) {
      a.targets[i] = kFullWeight;
      continue;
    }
    a.out.servers[i].reasons.push_back({Reason::kStandby, fmt::format("{} leads", a.backend.servers[leader].name)});
  }
}

}  // namespace

void lead(Allocation& a, const Members& active, const Members& backups) {
  LeaderHistory& known = a.history.leader;
  lead_group(a, active, known.active, a.backend.switch_back);
  // Of its own: a leader among the backups must not unseat the active one, which has the traffic. It has no challenger.
  Lead among_backups;
  among_backups.leader = known.backup;
  lead_group(a, backups, among_backups, false);
  known.backup = among_backups.leader;
  known.looked_up = !a.view.servers.empty();
}

}  // namespace rpcw
