#include "weighter/plan/haproxy_notes.hpp"

#include <fmt/format.h>

#include <string>

#include "base/text.hpp"

namespace rpcw {
namespace {

/// "server a is", "servers a, b and 7 more are": the verb's forms for one and for several.
std::string with_verb(const NameList& names, std::string_view one, std::string_view several) {
  const bool single = names.count() == 1;
  return fmt::format("server{} {} {}", single ? "" : "s", names.text(), single ? one : several);
}

}  // namespace

std::vector<BackendNote> haproxy_notes(const config::Backend& backend, const haproxy::BackendRow& row) {
  std::vector<BackendNote> out;
  if (row.algo == "first")
    out.push_back({"ignores_weights",
                   "`balance first` fills its servers in their order, whatever their weights: only a "
                   "weight of 0 has an effect"});
  NameList agents;
  NameList trackers;
  NameList slow;
  NameList down;
  NameList zeros;
  NameList fought_over;
  bool by_agent = false;
  for (const config::Server& named : backend.servers) {
    const haproxy::ServerRow* s = row.server(named.name);
    if (s == nullptr) continue;
    if (!s->agent_status.empty()) agents.add(s->name);
    if (!s->tracked.empty()) trackers.add(s->name, fmt::format(" ({})", s->tracked));
    if (s->throttle && s->uweight > 0) slow.add(s->name, fmt::format(" ({} %)", *s->throttle));
    if (s->status.starts_with("DOWN")) down.add(s->name);
    if (s->iweight == 0U) zeros.add(s->name);
    if (!s->contended) continue;
    fought_over.add(s->name);
    by_agent = by_agent || !s->agent_status.empty();
  }
  if (agents.count() > 0)
    out.push_back(
        {"agent_check", with_verb(agents, "has", "have") +
                            " an `agent-check`: if the agent's answer has a weight, HAProxy sets it again every "
                            "`agent-inter`, and what is set here does not last"});
  if (trackers.count() > 0)
    out.push_back({"tracks", with_verb(trackers, "tracks", "track") +
                                 " another one, and is in maintenance or DOWN whenever that one is"});
  if (slow.count() > 0)
    out.push_back({"slowstart", with_verb(slow, "has", "have") + " only a part of the weight for now, by `slowstart`"});
  if (down.count() > 0)
    out.push_back(
        {"down", with_verb(down, "is", "are") + " DOWN by HAProxy's own check, and gets nothing until that passes"});
  if (zeros.count() > 0 && row.percent)
    out.push_back({"stuck_at_zero", with_verb(zeros, "has", "have") +
                                        " weight 0 in haproxy.cfg, of which a static algorithm takes only 0 % and 100 "
                                        "%: nothing in any case"});
  else if (zeros.count() > 0)
    out.push_back({"configured_zero", with_verb(zeros, "has", "have") +
                                          " weight 0 in haproxy.cfg, and so nothing after a reload until it is set "
                                          "again"});
  if (fought_over.count() > 0)
    out.push_back(
        {"contended", with_verb(fought_over, "is", "are") +
                          " left alone for a while, since somebody else keeps changing the weight: " +
                          (by_agent ? "its `agent-check` does" : "another rpc-weighter, a script or a person may")});
  return out;
}

bool told_in_log(const BackendNote& note) {
  return note.code == "ignores_weights" || note.code == "agent_check" || note.code == "tracks" ||
         note.code == "stuck_at_zero" || note.code == "contended";
}

}  // namespace rpcw
