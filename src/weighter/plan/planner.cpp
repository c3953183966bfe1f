#include "weighter/plan/planner.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "weighter/allocate/scale.hpp"
#include "weighter/state/haproxy_view.hpp"

namespace rpcw {

std::vector<unsigned> weights_at(const config::Backend& backend, const BackendDecision& decision,
                                 const haproxy::BackendRow& row, const std::vector<bool>& fixed) {
  const std::vector<config::Server>& servers = backend.servers;
  const std::vector<ServerDecision>& decided = decision.servers;
  std::vector<unsigned> out;
  for (const ServerDecision& s : decided) out.push_back(s.weight);
  std::vector<bool> usable_here(decided.size());
  for (std::size_t i = 0; i < decided.size(); ++i) {
    const haproxy::ServerRow* s = row.server(servers[i].name);
    const bool is_fixed = !fixed.empty() && fixed[i];
    usable_here[i] = s != nullptr && usable(*s) && !stuck(row, *s) && !(is_fixed && s->uweight == 0);
    if (is_fixed) out[i] = s->uweight;
    if (usable_here[i] && out[i] > 0) return out;
  }
  if (has_usable_foreign_backup(backend, row)) return out;
  const auto share_equally = [&](auto which) {
    std::vector<std::size_t> served;
    for (std::size_t i = 0; i < decided.size(); ++i)
      if (usable_here[i] && which(decided[i])) served.push_back(i);
    for (const std::size_t i : served) out[i] = equal_weight(served.size());
    return !served.empty();
  };
  const auto well = [](const ServerDecision& s) { return may_serve(s.state); };
  const auto with = [](Standing standing) {
    return [standing](const ServerDecision& s) { return standing_of(s) == standing; };
  };
  static_cast<void>(share_equally(well) || share_equally(with(Standing::kAnswers)) ||
                    share_equally(with(Standing::kWorkFails)) || share_equally(with(Standing::kNoAnswer)) ||
                    share_equally(with(Standing::kDisqualified)));
  return out;
}

std::vector<WeightChange> plan_changes(const SystemState& state, const haproxy::Instance& instance,
                                       const LeftAlone& left_alone) {
  std::vector<WeightChange> out;
  if (state.cold()) return out;
  const std::vector<config::Backend>& backends = state.config().backends;
  for (std::uint32_t b = 0; b < backends.size(); ++b) {
    if (!state.decided(b) || backends[b].drive == config::Drive::kAgent) continue;
    const haproxy::BackendRow* row = instance.backend(backends[b].name);
    if (row == nullptr) continue;
    const BackendDecision& d = state.decision(b);
    std::vector<bool> fixed(d.servers.size());
    for (std::size_t i = 0; left_alone && i < fixed.size(); ++i) {
      const std::string& name = backends[b].servers[i].name;
      fixed[i] = row->server(name) != nullptr && left_alone(row->name, name);
    }
    const std::vector<unsigned> weights = weights_at(backends[b], d, *row, fixed);
    const auto first = static_cast<std::ptrdiff_t>(out.size());
    for (std::uint32_t i = 0; i < d.servers.size(); ++i) {
      const haproxy::ServerRow* s = row->server(backends[b].servers[i].name);
      if (s == nullptr || fixed[i] || d.servers[i].state == State::kDisabled) continue;
      const unsigned wanted = weights[i];
      if (!row->percent) {
        if (s->uweight != wanted) out.push_back({b, i, s->uweight, wanted, false});
        continue;
      }
      if ((s->uweight > 0) != (wanted > 0 && !stuck(*row, *s)))
        out.push_back({b, i, s->uweight, wanted > 0 ? 100U : 0U, true});
    }
    std::stable_partition(out.begin() + first, out.end(), [](const WeightChange& c) { return c.to > c.from; });
  }
  return out;
}

}  // namespace rpcw
