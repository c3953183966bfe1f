#include "weighter/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/text.hpp"
#include "weighter/allocate/traffic_share.hpp"
#include "weighter/plan/haproxy_notes.hpp"
#include "weighter/state/haproxy_view.hpp"
#include "weighter/system/system_state.hpp"

namespace rpcw {
namespace {

/// Notes servers that HAProxy has and the file does not name, with the part of the weights that they hold after
/// `decision`.
void note_unmanaged(const config::Backend& cfg, const haproxy::BackendRow& row, const BackendDecision& decision,
                    BackendReport& report) {
  constexpr std::size_t kNamed = 5;
  const NameSet ours = names_of(cfg);
  NameList names(kNamed);
  unsigned theirs = 0;
  for (const haproxy::ServerRow& s : row.servers) {
    if (s.backup || !usable(s)) continue;
    if (!ours.contains(s.name)) {
      theirs += s.uweight;
      names.add(s.name);
    } else if (std::ranges::binary_search(row.double_names, s.name)) {
      // No weight can be set for one of them alone, and another note says so.
      report.unmanaged_weight += s.uweight;
    }
  }
  report.unmanaged_weight += theirs;
  if (names.count() == 0) return;
  unsigned total = theirs;
  for (std::size_t i = 0; i < decision.servers.size(); ++i) {
    const haproxy::ServerRow* s = row.server(cfg.servers[i].name);
    if (s != nullptr && !s->backup && decision.servers[i].state != State::kDisabled)
      total += decision.servers[i].weight;
  }
  std::string detail = fmt::format("server{} {} hold{} {} of {}", names.count() == 1 ? "" : "s", names.text(),
                                   names.count() == 1 ? "s" : "", theirs, total);
  if (!cfg.follows.empty())
    detail += fmt::format("; {}, which it follows, has no server of {} name{}", cfg.follows,
                          names.count() == 1 ? "that" : "these", names.count() == 1 ? "" : "s");
  report.notes.push_back({"unmanaged", std::move(detail)});
}

ServerReport server_report(const config::Config& config, const config::Backend& backend, std::size_t i,
                           const BackendDecision& decision, const BackendHistory& history,
                           const haproxy::BackendRow* row) {
  const config::Server& server = backend.servers[i];
  ServerReport out;
  out.name = server.name;
  out.url = config::shown_url(server.target);
  if (i < decision.servers.size()) out.decision = decision.servers[i];
  if (out.decision.lag_blocks)
    out.lag = lag_time(*out.decision.lag_blocks, block_time_for_lag(history.block_time, backend.chain));
  if (i < history.servers.size()) out.quota_per_s = history.servers[i].live.quota_per_s;
  if (const double plan = server.max_rate; plan > 0) out.quota_per_s = std::min(out.quota_per_s.value_or(plan), plan);
  if (backend.follows.empty()) {
    out.probe_interval = config::interval_of(server.target, config.probe);
    constexpr double kSecondsADay = 86'400;
    if (server.target.pace.budget > 0) out.probe_budget_per_s = server.target.pace.budget / kSecondsADay;
  }
  const haproxy::ServerRow* s = row != nullptr ? row->server(out.name) : nullptr;
  if (s == nullptr) return out;
  out.current_weight = s->uweight;
  if (row->percent) out.static_weight = s->iweight;
  out.admin_state = admin_state_text(*s);
  out.backup = s->backup;
  return out;
}

/// What HAProxy's state of a backend means. `row`: nullptr: HAProxy has none of this name, or was not read, which
/// `any_read` tells apart.
void note_haproxy(const config::Backend& backend, const BackendDecision& decision, const haproxy::BackendRow* row,
                  bool any_read, BackendReport& report) {
  if (row == nullptr) {
    if (backend.servers.empty())
      report.notes.push_back({"no_servers", any_read ? "HAProxy has no backend of this name"
                                                     : "no HAProxy could be asked for its list of servers"});
    return;
  }
  report.algorithm = row->algo;
  report.percent = row->percent;
  if (row->percent)
    report.notes.push_back({"static_algorithm",
                            "HAProxy takes only 0 % and 100 % here: servers are switched off and on, "
                            "their shares are those of haproxy.cfg"});
  if (backend.servers.empty())
    report.notes.push_back({"no_servers", "HAProxy's list has no server with an address that can be probed"});
  note_unmanaged(backend, *row, decision, report);
  std::ranges::move(haproxy_notes(backend, *row), std::back_inserter(report.notes));
}

}  // namespace

Report make_report(const SystemState& state, Now now, const haproxy::Instance* instance) {
  Report out;
  out.time = now.wall;
  const std::vector<config::Backend>& backends = state.config().backends;
  for (std::size_t b = 0; b < backends.size(); ++b) {
    const config::Backend& cfg = backends[b];
    const BackendDecision& d = state.decision(b);
    const BackendHistory& history = state.backend(b).history;
    const haproxy::BackendRow* row = instance != nullptr ? instance->backend(cfg.name) : nullptr;
    BackendReport& br = out.backends.emplace_back();
    br.name = cfg.name;
    br.chain = cfg.chain.name;
    br.strategy = cfg.strategy;
    br.follows = cfg.follows;
    br.fallback = d.fallback;
    br.head = d.head;
    br.notes = d.notes;
    br.healthy = d.healthy;
    br.blind = d.blind;
    br.agent = cfg.drive == config::Drive::kAgent;
    note_haproxy(cfg, d, row, instance != nullptr, br);
    if (instance != nullptr && !cfg.servers.empty())
      for (std::string& what : lacking(cfg, *instance)) br.notes.push_back({"missing", std::move(what)});
    br.servers.reserve(cfg.servers.size());
    for (std::size_t i = 0; i < cfg.servers.size(); ++i)
      br.servers.push_back(server_report(state.config(), cfg, i, d, history, row));
    for (std::size_t i = 0; i < std::min(cfg.references.size(), d.references.size()); ++i) {
      ReferenceReport& rr = br.references.emplace_back();
      rr.name = cfg.references[i].operator_name;
      rr.url = config::shown_url(cfg.references[i]);
      rr.verdict = d.references[i];
      if (rr.verdict.lag_blocks)
        rr.lag = lag_time(*rr.verdict.lag_blocks, block_time_for_lag(history.block_time, cfg.chain));
    }
  }
  return out;
}

std::vector<double> shares_of(const BackendReport& backend) {
  std::vector<TrafficClaim> claims;
  claims.reserve(backend.servers.size());
  for (const ServerReport& s : backend.servers)
    claims.push_back({s.decision.weight > 0 ? s.static_weight.value_or(s.decision.weight) : 0, s.backup.value_or(false),
                      s.decision.state == State::kDisabled});
  return traffic_shares(claims, backend.unmanaged_weight);
}

}  // namespace rpcw
