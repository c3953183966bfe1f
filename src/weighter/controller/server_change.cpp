#include "weighter/controller/server_change.hpp"

namespace rpcw {

std::vector<ServerChange> changes_between(const config::Backend& backend, const BackendDecision& before,
                                          const BackendDecision& after) {
  std::vector<ServerChange> out;
  for (std::size_t i = 0; i < after.servers.size(); ++i) {
    const ServerDecision& now = after.servers[i];
    const bool known = i < before.servers.size();
    const State state = known ? before.servers[i].state : State::kUnknown;
    const std::optional<unsigned> weight = known ? std::optional(before.servers[i].weight) : std::nullopt;
    if (state == now.state && weight.value_or(0) == now.weight) continue;
    out.push_back({backend.name, backend.servers[i].name, state, now.state, weight, now.weight, now.reasons});
  }
  return out;
}

}  // namespace rpcw
