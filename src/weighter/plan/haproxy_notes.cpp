#include "weighter/plan/haproxy_notes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "base/text.hpp"
#include "weighter/allocate/decide.hpp"
#include "weighter/constants.hpp"
#include "weighter/state/haproxy_view.hpp"

namespace rpcw {
namespace {

/// "server a is", "servers a, b and 7 more are": the verb's forms for one and for several.
std::string with_verb(const NameList& names, std::string_view one, std::string_view several) {
  const bool single = names.count() == 1;
  return fmt::format("server{} {} {}", single ? "" : "s", names.text(), single ? one : several);
}

/// https://docs.haproxy.org/2.6/configuration.html#4-balance
constexpr std::string_view kFirst =
    "`balance first` fills its servers in their order, whatever their weights: only a weight of 0 has an effect; "
    "`balance roundrobin` with `strategy = \"leader\"` sends all to one server as well, and follows the chain";

std::string several_of(const haproxy::BackendRow& row, const std::string& name) {
  std::string ids;
  for (const unsigned id : row.ids_of(name)) ids += fmt::format("{}{}", ids.empty() ? "" : ", ", id);
  return fmt::format(
      "HAProxy's backend {} has several servers named {} (id {}): their weights are left alone, since HAProxy would set "
      "that of the first; give each its own name",
      row.name, name, ids);
}

/// https://docs.haproxy.org/2.6/configuration.html#4-cookie, #4-stick%20on
std::string bound_clients(const config::Backend& backend, const haproxy::BackendRow& row) {
  std::string out = fmt::format("{} may bind clients to their server, so weight 0 keeps only new clients away",
                                row.cookie.empty() ? "the stick table" : fmt::format("the cookie {}", row.cookie));
  NameList left;
  for (const config::Server& named : backend.servers) {
    const haproxy::ServerRow* s = row.server(named.name);
    const std::uint64_t sessions = s != nullptr ? s->counters.scur.value_or(0) : 0;
    if (s != nullptr && s->uweight == 0 && sessions > 0)
      left.add(s->name, fmt::format(" ({})", counted(sessions, "session")));
  }
  if (left.count() > 0) out += fmt::format("; {} weight 0 and open sessions", with_verb(left, "has", "have"));
  if (backend.on_eject == config::OnEject::kNone) out += "; `on_eject` can free the others at an ejection";
  return out;
}

bool is_ours(const config::Backend& backend, const std::string& name) {
  return !backend.discover.empty() || std::ranges::find(backend.absent, name) != backend.absent.end() ||
         std::ranges::find(backend.servers, name, &config::Server::name) != backend.servers.end();
}

/// The servers of a backend by what is to be told of them.
struct ByState {
  NameList agents;
  NameList without_agent;
  NameList unanswered;
  NameList trackers;
  NameList slow;
  NameList down;
  NameList zeros;
  NameList fought_over;
  /// An agent-check may be the other writer.
  bool by_agent = false;
};

ByState by_state(const config::Backend& backend, const haproxy::BackendRow& row) {
  ByState out;
  const bool driven_by_agent = backend.drive == config::Drive::kAgent;
  for (const config::Server& named : backend.servers) {
    const haproxy::ServerRow* s = row.server(named.name);
    if (s == nullptr) continue;
    if (!s->agent_status.empty() && !driven_by_agent) out.agents.add(s->name);
    if (s->agent_status.empty() && driven_by_agent) out.without_agent.add(s->name);
    if (driven_by_agent && (s->agent_status.starts_with("L4") || s->agent_status.starts_with("L7")))
      out.unanswered.add(s->name, fmt::format(" ({})", s->agent_status));
    if (!s->tracked.empty()) out.trackers.add(s->name, fmt::format(" ({})", s->tracked));
    if (s->throttle && s->uweight > 0) out.slow.add(s->name, fmt::format(" ({} %)", *s->throttle));
    if (rpcw::down(*s)) out.down.add(s->name);
    if (s->iweight == 0U) out.zeros.add(s->name);
    if (!s->contended) continue;
    out.fought_over.add(s->name);
    out.by_agent = out.by_agent || !s->agent_status.empty();
  }
  return out;
}

/// `percent`: see haproxy::BackendRow.
std::vector<BackendNote> state_notes(const ByState& s, bool percent) {
  std::vector<BackendNote> out;
  if (s.agents.count() > 0)
    out.push_back(
        {"agent_check", with_verb(s.agents, "has", "have") +
                            " an `agent-check`: if the agent's answer has a weight, HAProxy sets it again every "
                            "`agent-inter`, and what is set here does not last"});
  if (s.without_agent.count() > 0)
    out.push_back({"agent_check", with_verb(s.without_agent, "has", "have") +
                                      " no `agent-check`, so the weight of drive = \"agent\" does not reach HAProxy"});
  if (s.unanswered.count() > 0)
    out.push_back({"agent_unanswered", with_verb(s.unanswered, "has", "have") +
                                           " an `agent-check` that got no answer the last time, and the last weight"});
  if (s.trackers.count() > 0)
    out.push_back({"tracks", with_verb(s.trackers, "tracks", "track") +
                                 " another one, and is in maintenance or DOWN whenever that one is"});
  if (s.slow.count() > 0)
    out.push_back(
        {"slowstart", with_verb(s.slow, "has", "have") + " only a part of the weight for now, by `slowstart`"});
  if (s.down.count() > 0)
    out.push_back(
        {"down", with_verb(s.down, "is", "are") + " DOWN by HAProxy's own check, and gets nothing until that passes"});
  if (s.zeros.count() > 0 && percent)
    out.push_back({"stuck_at_zero", with_verb(s.zeros, "has", "have") +
                                        " weight 0 in haproxy.cfg, of which a static algorithm takes only 0 % and 100 "
                                        "%: nothing in any case"});
  else if (s.zeros.count() > 0)
    out.push_back({"configured_zero", with_verb(s.zeros, "has", "have") +
                                          " weight 0 in haproxy.cfg, and so nothing after a reload until it is set "
                                          "again"});
  if (s.fought_over.count() > 0)
    out.push_back(
        {"contended", with_verb(s.fought_over, "has", "have") +
                          " a weight that another writer keeps changing, so it is not set for a while: look for " +
                          (s.by_agent ? "the server's `agent-check`" : "another rpc-weighter, a script or a person")});
  return out;
}

}  // namespace

std::vector<std::string> lacking(const config::Backend& backend, const haproxy::Instance& instance) {
  const haproxy::BackendRow* row = instance.backend(backend.name);
  // Which others it has is not known: the backends of the configuration alone are read.
  if (row == nullptr) return {fmt::format("HAProxy has no backend {}", backend.name)};
  NameList gone;
  const auto look = [&](const std::string& name) {
    if (!std::ranges::binary_search(row->double_names, name)) gone.add(name);
  };
  for (const std::string& name : backend.absent) look(name);
  // One that is there because another HAProxy has it may be missing here.
  for (const config::Server& s : backend.servers)
    if (s.named && row->server(s.name) == nullptr) look(s.name);
  if (gone.count() == 0) return {};
  NameList there;
  for (const haproxy::ServerRow& s : row->servers) there.add(s.name);
  return {fmt::format("HAProxy's backend {} has no server {}; it has {}", backend.name, gone.text(),
                      there.count() == 0 ? "none" : there.text())};
}

std::vector<std::string> out_of_reach(const config::Config& config, const haproxy::Instance& instance) {
  std::vector<std::string> out;
  for (const config::Backend& backend : config.backends) {
    std::ranges::move(lacking(backend, instance), std::back_inserter(out));
    const haproxy::BackendRow* row = instance.backend(backend.name);
    if (row == nullptr) continue;
    for (const std::string& name : row->double_names) {
      if (is_ours(backend, name)) out.push_back(several_of(*row, name));
    }
    if (row->algo == "first") out.push_back(fmt::format("{}: ignores_weights: {}", backend.name, kFirst));
  }
  return out;
}

std::vector<BackendNote> haproxy_notes(const config::Backend& backend, const haproxy::BackendRow& row) {
  std::vector<BackendNote> out;
  if (row.algo == "first") out.push_back({"ignores_weights", std::string(kFirst)});
  for (const std::string& name : row.double_names)
    if (is_ours(backend, name)) out.push_back({"duplicate_names", several_of(row, name)});
  if (!row.cookie.empty() || row.stick_table) out.push_back({"persistence", bound_clients(backend, row)});
  // https://docs.haproxy.org/2.6/configuration.html#4-balance: in mode tcp a server is chosen for a connection.
  if (row.mode == "tcp")
    out.push_back({"per_connection",
                   "HAProxy balances connections here (mode tcp), not requests: one that is open stays at its server, "
                   "whatever the weights"});
  if (hashes(row.algo) && !row.percent)
    out.push_back({"hash_dead_band",
                   fmt::format("`balance {}` chooses a server by a hash, so each change of a weight moves clients: a "
                               "weight changes by at least {:g} % of itself, or to or from 0",
                               row.algo, 100 * std::max(backend.hash_dead_band, constants::kDeadBand))});
  const ByState found = by_state(backend, row);
  std::ranges::move(state_notes(found, row.percent), std::back_inserter(out));
  return out;
}

bool is_logged(const BackendNote& note) {
  return note.code == "agent_check" || note.code == "tracks" || note.code == "stuck_at_zero" ||
         note.code == "contended";
}

}  // namespace rpcw
