#include "weighter/schedule/extra.hpp"

#include <algorithm>

#include "weighter/cadence.hpp"
#include "weighter/constants.hpp"
#include "weighter/judge/heads.hpp"

namespace rpcw {

void Allowance::earn(MonoTime now) {
  if (at_ != MonoTime{})
    tokens_ = std::min(tokens_ + per_s_ * std::chrono::duration<double>(now - at_).count(), at_most_);
  at_ = now;
}

double extra_cost(const Exposure& exposure) {
  const auto early = std::chrono::duration<double>(exposure.interval - exposure.age).count();
  return std::clamp(early / std::chrono::duration<double>(exposure.interval).count(), 0.0, 1.0);
}

double unnoticed(const Exposure& exposure) {
  return exposure.share * std::chrono::duration<double>(exposure.age).count();
}

std::optional<std::size_t> most_exposed(std::span<const Exposure> servers, double least) {
  const auto most = std::ranges::max_element(servers, {}, unnoticed);
  if (most == servers.end() || unnoticed(*most) <= 0 || unnoticed(*most) < least) return std::nullopt;
  return static_cast<std::size_t>(most - servers.begin());
}

bool lags_unexplained(const TargetHistory& target, const BlockTime& block_time, const config::Backend& backend) {
  if (!target.heads.lag_blocks || target.heads.slipping || target.ejection.is_out) return false;
  const milliseconds block = block_time_for_lag(block_time, backend.chain);
  return lag_time(*target.heads.lag_blocks, block) > block + constants::kFreshSlack / 2;
}

bool answers_changed(const TargetHistory& target) {
  return target.live.sizes.changed_at && !target.probes.limited && !target.ejection.is_out;
}

bool identity_suspect(const TargetHistory& target, MonoTime now) {
  const CheckState& check = target.identity.check;
  return target.identity.status == IdentityHistory::Status::kVerified && check.refusals == 0 && !check.waiting &&
         check.due <= now && check.due < check.sent_at + kIdentityEvery && !target.probes.failure &&
         !target.probes.limited && !target.ejection.is_out;
}

}  // namespace rpcw
