#include "weighter/plan/maintenance.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "weighter/state/haproxy_view.hpp"

namespace rpcw {
namespace {

/// It is up and has weight 0, which is the agent's doing.
bool waits(const haproxy::ServerRow& row) {
  return row.uweight == 0 && usable(row);
}

}  // namespace

bool serves(const haproxy::ServerRow& row) {
  // With a weight, the status DRAIN is an operator's, even where the socket's level hides the administrative state.
  return row.uweight > 0 && usable(row) && !row.status.starts_with("DRAIN");
}

const haproxy::ServerRow* find_server(const haproxy::Instance& instance, std::string_view backend,
                                      std::string_view server, std::string& why) {
  constexpr std::size_t kNamed = 10;
  const haproxy::BackendRow* row = instance.backend(backend);
  if (row == nullptr) {
    why = fmt::format("HAProxy has no backend {}", backend);
    return nullptr;
  }
  if (std::ranges::binary_search(row->double_names, server)) {
    why = fmt::format("backend {} has several servers named {}, and a command reaches only the first of them", backend,
                      server);
    return nullptr;
  }
  const haproxy::ServerRow* found = row->server(server);
  if (found != nullptr) return found;
  NameList names(kNamed);
  for (const haproxy::ServerRow& s : row->servers) names.add(s.name);
  why = fmt::format("backend {} has no server {}; it has {}", backend, server,
                    names.count() == 0 ? "none" : names.text());
  return nullptr;
}

DrainPlan plan_drain(const haproxy::Instance& instance, std::string_view backend, std::string_view server,
                     const std::set<std::string, std::less<>>& healthy) {
  using Kind = DrainPlan::Kind;
  DrainPlan out;
  const haproxy::ServerRow* target = find_server(instance, backend, server, out.why);
  if (target == nullptr) {
    out.kind = Kind::kUnknown;
    return out;
  }
  constexpr unsigned kForced = haproxy::kForcedDrain | haproxy::kForcedMaint;
  if (target->admin_state && (*target->admin_state & kForced) != 0) {
    out.kind = Kind::kOut;
    return out;
  }
  if (!serves(*target)) return out;
  const auto& servers = instance.backend(backend)->servers;
  const auto others = [&](const auto& wanted) {
    return std::ranges::find_if(servers, [&](const haproxy::ServerRow& s) { return s.name != server && wanted(s); });
  };
  if (others(serves) != servers.end()) return out;
  const auto successor =
      others([&](const haproxy::ServerRow& s) { return waits(s) && !s.backup && healthy.contains(s.name); });
  if (successor != servers.end()) {
    out.successor = successor->name;
    return out;
  }
  out.kind = Kind::kLast;
  out.why = fmt::format("{} is the last server of {} that serves", server, backend);
  NameList waiting(5);
  for (const haproxy::ServerRow& s : servers)
    if (s.name != server && waits(s)) waiting.add(s.name);
  if (waiting.count() > 0)
    out.why += fmt::format("; {} {} weight 0{}", waiting.text(), waiting.count() == 1 ? "has" : "have",
                           healthy.empty()        ? ", and no running agent judges them healthy"
                           : waiting.count() == 1 ? " and is not healthy"
                                                  : " and are not healthy");
  return out;
}

}  // namespace rpcw
