#include "weighter/plan/agent_answer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "weighter/plan/planner.hpp"

namespace rpcw {
namespace {

AgentAnswer refused(std::string why) {
  return {.trouble = std::move(why)};
}

/// Of one server, by haproxy.cfg.
struct Configured {
  /// At the first HAProxy that has it; absent: none was read.
  std::optional<unsigned> first;
  /// At any of them, 0 left out.
  unsigned lowest = 0;
  /// Its algorithm is static there.
  bool percent = false;
};

Configured configured_weight(std::span<const haproxy::Instance* const> known, std::string_view backend,
                             std::string_view server) {
  if (known.empty()) return {.first = kAssumedWeight, .lowest = kAssumedWeight};
  Configured out;
  bool any_read = false;
  for (const haproxy::Instance* instance : known) {
    if (instance == nullptr) continue;
    any_read = true;
    const haproxy::BackendRow* row = instance->backend(backend);
    const haproxy::ServerRow* s = row != nullptr ? row->server(server) : nullptr;
    if (s == nullptr) continue;
    const unsigned weight = s->iweight.value_or(kAssumedWeight);
    out.percent = out.percent || row->percent;
    if (!out.first) out.first = weight;
    if (weight > 0) out.lowest = out.lowest == 0 ? weight : std::min(out.lowest, weight);
  }
  if (any_read && !out.first) return {.first = kAssumedWeight, .lowest = kAssumedWeight};
  return out;
}

/// A HAProxy would have no server if this one had the weight 0 that was decided: an operator may have taken the leader
/// out there alone.
bool is_needed_somewhere(const config::Backend& backend, const BackendDecision& decision, std::size_t server,
                         std::span<const haproxy::Instance* const> known) {
  return std::ranges::any_of(known, [&](const haproxy::Instance* instance) {
    const haproxy::BackendRow* row = instance != nullptr ? instance->backend(backend.name) : nullptr;
    return row != nullptr && weights_at(backend, decision, *row)[server] > 0;
  });
}

}  // namespace

AgentAnswer agent_answer(const SystemState& state, std::span<const haproxy::Instance* const> known,
                         std::string_view asked) {
  const std::size_t slash = asked.find('/');
  if (slash == std::string_view::npos)
    return refused("it was not asked for \"backend/server\"; set `agent-send \"BACKEND/SERVER\\n\"` in haproxy.cfg");
  const std::vector<config::Backend>& backends = state.config().backends;
  const auto backend = std::ranges::find(backends, asked.substr(0, slash), &config::Backend::name);
  // Foreign text is not shown: any client may send it.
  if (backend == backends.end()) return refused("HAProxy asked for a backend that is not in the configuration");
  if (backend->drive != config::Drive::kAgent)
    return refused(
        fmt::format("it was asked for {}, whose weights go over the socket; set drive = \"agent\" there, or "
                    "take the agent-check away",
                    backend->name));
  const auto server = std::ranges::find(backend->servers, asked.substr(slash + 1), &config::Server::name);
  if (server == backend->servers.end())
    return refused(fmt::format("it was asked for a server that {} does not have", backend->name));
  const auto b = static_cast<std::size_t>(backend - backends.begin());
  const auto i = static_cast<std::size_t>(server - backend->servers.begin());
  if (state.cold() || !state.decided(b)) return {};
  unsigned weight = state.decision(b).servers[i].weight;
  if (weight == 0 && is_needed_somewhere(*backend, state.decision(b), i, known)) weight = 1;
  const Configured configured = configured_weight(known, backend->name, server->name);
  if (!configured.first) return {};
  // Of a configured 0 every percentage is 0.
  if (configured.percent || *configured.first == 0) return {.line = weight > 0 ? "100%\n" : "0%\n"};
  // HAProxy rounds down.
  const auto percentage = [](unsigned of, unsigned whole) { return (of * 100 + whole - 1) / whole; };
  const unsigned least = weight > 0 ? percentage(1, configured.lowest) : 0;
  return {.line = fmt::format("{}%\n", std::max(percentage(weight, *configured.first), least))};
}

}  // namespace rpcw
