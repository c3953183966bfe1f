#include "weighter/plan/agent_answer.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace rpcw {
namespace {

AgentAnswer refused(std::string why) {
  return {.trouble = std::move(why)};
}

}  // namespace

AgentAnswer agent_answer(const SystemState& state, const haproxy::Instance* shown, std::string_view asked) {
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
  const unsigned weight = state.decision(b).servers[i].weight;
  const haproxy::BackendRow* row = shown != nullptr ? shown->backend(backend->name) : nullptr;
  if (row != nullptr && row->percent) return {.line = weight > 0 ? "100%\n" : "0%\n"};
  const haproxy::ServerRow* s = row != nullptr ? row->server(server->name) : nullptr;
  const unsigned configured = s != nullptr ? s->iweight.value_or(kAssumedWeight) : kAssumedWeight;
  // Of a configured 0 every percentage is 0.
  if (configured == 0) return {.line = weight > 0 ? "100%\n" : "0%\n"};
  // HAProxy rounds down.
  return {.line = fmt::format("{}%\n", (weight * 100 + configured - 1) / configured)};
}

}  // namespace rpcw
