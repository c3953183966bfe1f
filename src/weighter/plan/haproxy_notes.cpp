#include "weighter/plan/haproxy_notes.hpp"

#include <fmt/format.h>

#include <string>

namespace rpcw {
namespace {

/// "server a", "servers a, b", "servers a, b, c, d, e and 7 more".
class Names {
 public:
  void add(const std::string& name, const std::string& more = {}) {
    constexpr std::size_t kShown = 5;
    if (count_++ < kShown)
      text_ += fmt::format("{}{}{}", text_.empty() ? "" : ", ", name, more);
    else
      ++left_out_;
  }
  [[nodiscard]] bool any() const { return count_ > 0; }
  /// The verb's forms for one and for several.
  [[nodiscard]] std::string with(std::string_view one, std::string_view several) const {
    const std::string rest = left_out_ > 0 ? fmt::format(" and {} more", left_out_) : "";
    return fmt::format("server{} {}{} {}", count_ == 1 ? "" : "s", text_, rest, count_ == 1 ? one : several);
  }

 private:
  std::string text_;
  std::size_t count_ = 0;
  std::size_t left_out_ = 0;
};

}  // namespace

std::vector<BackendNote> haproxy_notes(const config::Backend& backend, const haproxy::BackendRow& row) {
  std::vector<BackendNote> out;
  if (row.algo == "first")
    out.push_back({"ignores_weights",
                   "`balance first` fills its servers in their order, whatever their weights: only a "
                   "weight of 0 has an effect"});
  Names agents;
  Names trackers;
  Names slow;
  Names down;
  Names zeros;
  Names fought_over;
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
  if (agents.any())
    out.push_back(
        {"agent_check", agents.with("has", "have") +
                            " an `agent-check`: if the agent's answer has a weight, HAProxy sets it again every "
                            "`agent-inter`, and what is set here does not last"});
  if (trackers.any())
    out.push_back({"tracks", trackers.with("tracks", "track") +
                                 " another one, and is in maintenance or DOWN whenever that one is"});
  if (slow.any())
    out.push_back({"slowstart", slow.with("has", "have") + " only a part of the weight for now, by `slowstart`"});
  if (down.any())
    out.push_back(
        {"down", down.with("is", "are") + " DOWN by HAProxy's own check, and gets nothing until that passes"});
  if (zeros.any() && row.percent)
    out.push_back({"stuck_at_zero", zeros.with("has", "have") +
                                        " weight 0 in haproxy.cfg, of which a static algorithm takes only 0 % and 100 "
                                        "%: nothing in any case"});
  else if (zeros.any())
    out.push_back({"configured_zero", zeros.with("has", "have") +
                                          " weight 0 in haproxy.cfg, and so nothing after a reload until it is set "
                                          "again"});
  if (fought_over.any())
    out.push_back(
        {"contended", fought_over.with("is", "are") +
                          " left alone for a while, since somebody else keeps changing the weight: " +
                          (by_agent ? "its `agent-check` does" : "another rpc-weighter, a script or a person may")});
  return out;
}

bool told_in_log(const BackendNote& note) {
  return note.code == "ignores_weights" || note.code == "agent_check" || note.code == "tracks" ||
         note.code == "stuck_at_zero" || note.code == "contended";
}

}  // namespace rpcw
