#include "weighter/strategy/leader.hpp"

#include <algorithm>
#include <cassert>

#include "weighter/constants.hpp"
#include "weighter/strategy/strategy.hpp"

namespace rpcw {
namespace {

std::uint32_t best_of(std::span<const Candidate> candidates) {
  const double best = std::ranges::max(candidates, {}, &Candidate::score).score;
  const Candidate* chosen = nullptr;
  for (const Candidate& c : candidates) {
    if (c.score * constants::kLeadMargin < best) continue;
    if (chosen == nullptr || c.preference > chosen->preference) chosen = &c;
  }
  return chosen->server;
}

}  // namespace

std::uint32_t choose_leader(Lead& lead, std::span<const Candidate> candidates, bool switch_back, MonoTime now) {
  assert(!candidates.empty());
  const auto current = std::ranges::find_if(candidates, [&](const Candidate& c) { return c.server == lead.leader; });
  if (current == candidates.end()) {
    lead = {best_of(candidates), std::nullopt, {}};
    return *lead.leader;
  }
  const auto better = [&](const Candidate& c) { return c.score > current->score * constants::kLeadMargin; };
  if (!switch_back || std::ranges::none_of(candidates, better)) {
    lead.challenger.reset();
    return *lead.leader;
  }
  // The first challenger stays the challenger: two equally good ones must not restart each other's clock.
  const auto standing =
      std::ranges::find_if(candidates, [&](const Candidate& c) { return c.server == lead.challenger && better(c); });
  if (standing == candidates.end()) {
    lead.challenger = std::ranges::max(candidates, {}, &Candidate::score).server;
    lead.challenger_since = now;
  }
  if (now - lead.challenger_since >= constants::kLeadFor) lead = {lead.challenger, std::nullopt, {}};
  return *lead.leader;
}

namespace strategy {
extern const Strategy kLeader{.name = "leader",
                              .description = "one server has everything",
                              .score = score_adaptively,
                              .single_leader = true,
                              .limits_growth = false};
}  // namespace strategy

}  // namespace rpcw
