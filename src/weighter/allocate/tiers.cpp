#include "weighter/allocate/tiers.hpp"

#include <algorithm>
#include <map>

#include "weighter/constants.hpp"

namespace rpcw {

void choose_tier(Allocation& a, const Members& active) {
  std::map<unsigned, std::size_t> healthy_in;
  for (const std::size_t i : active) healthy_in[a.backend.servers[i].tier] += a.eligible(i) && a.can_serve(i) ? 1U : 0U;
  TierHistory& tiers = a.history.tiers;
  if (healthy_in.size() < 2) {
    tiers = {};
    return;
  }
  const unsigned lowest = healthy_in.begin()->first;
  unsigned wanted = healthy_in.rbegin()->first;
  std::size_t sum = 0;
  for (const auto& [tier, count] : healthy_in) {
    sum += count;
    if (sum < a.backend.min_healthy) continue;
    wanted = tier;
    break;
  }
  const unsigned before = std::min(tiers.serving.value_or(lowest), healthy_in.rbegin()->first);
  if (wanted >= before) {
    tiers.spare_since.reset();
  } else {
    if (!tiers.spare_since) tiers.spare_since = a.now.mono;
    if (a.now.mono - *tiers.spare_since < constants::kTierSpareFor)
      wanted = before;
    else
      tiers.spare_since.reset();
  }
  a.serving_tier = wanted;
  a.tier_joined = wanted > before;
  tiers.serving = wanted > lowest ? std::optional(wanted) : std::nullopt;
}

}  // namespace rpcw
