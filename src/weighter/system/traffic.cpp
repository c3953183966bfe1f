#include "weighter/system/traffic.hpp"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "weighter/constants.hpp"

namespace rpcw {

Traffic count_traffic(const config::Config& config, const SystemState& state, const haproxy::Instance* before,
                      haproxy::Instance& after, MonoTime elapsed) {
  const auto& backends = config.backends;
  Traffic out;
  out.by_judge.resize(backends.size());
  for (std::uint32_t b = 0; b < backends.size(); ++b) {
    haproxy::BackendRow* row = after.backend(backends[b].name);
    if (!backends[b].live || row == nullptr) continue;
    std::vector<std::string_view> names;
    names.reserve(backends[b].servers.size());
    for (const config::Server& s : backends[b].servers) names.push_back(s.name);
    const haproxy::BackendRow* was = before != nullptr ? before->backend(backends[b].name) : nullptr;
    const std::vector<LiveDelta> deltas = count_traffic(was, *row, names, elapsed);
    if (was == nullptr) continue;
    for (const LiveDelta& d : deltas) out.requests += d.requests;
    const std::uint32_t judge = state.judged_by(b);
    std::vector<LiveDelta>& sum = out.by_judge[judge];
    sum.resize(backends[judge].servers.size());
    for (std::size_t i = 0; i < deltas.size(); ++i) {
      const auto at = judge == b ? std::optional(static_cast<std::uint32_t>(i)) : state.judged_as(b)[i];
      if (!at) continue;
      // A follower that comes first in the file must not give the latency.
      if (judge == b) {
        LiveDelta others = std::exchange(sum[*at], deltas[i]);
        add(sum[*at], others);
      } else {
        add(sum[*at], deltas[i]);
      }
    }
  }
  return out;
}

void OpenRequests::sum_up(std::uint32_t haproxy, Traffic& traffic, MonoTime now) {
  Shown fresh{now, std::vector<std::vector<std::uint64_t>>(traffic.by_judge.size())};
  for (std::size_t b = 0; b < traffic.by_judge.size(); ++b)
    for (const LiveDelta& d : traffic.by_judge[b]) fresh.open[b].push_back(d.open);
  shown_.erase(haproxy);
  std::erase_if(shown_, [&](const auto& entry) { return now - entry.second.at > constants::kOpenShownFor; });
  for (const auto& [_, other] : shown_)
    for (std::size_t b = 0; b < std::min(traffic.by_judge.size(), other.open.size()); ++b)
      for (std::size_t i = 0; i < std::min(traffic.by_judge[b].size(), other.open[b].size()); ++i)
        traffic.by_judge[b][i].open += other.open[b][i];
  shown_.emplace(haproxy, std::move(fresh));
}

}  // namespace rpcw
