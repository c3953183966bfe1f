#pragma once

#include <span>
#include <string>
#include <string_view>

#include "weighter/state/topology.hpp"
#include "weighter/system/system_state.hpp"

namespace rpcw {

/// What HAProxy's `agent-check` is answered.
struct AgentAnswer {
  /// A line with its end: "82%", the weight as a percentage of the one in haproxy.cfg, or an empty one, which changes
  /// nothing in HAProxy. Never a word such as "down" or "maint".
  std::string line = "\n";
  /// Why it changes nothing, a sentence; empty: it does, or nothing is decided yet.
  std::string trouble{};
};

/// `asked`: what `agent-send` sends, "backend/server" without its line end. `known`: the HAProxys of the configuration,
/// which tell the weights of their haproxy.cfg; nullptr: one was never read. While none was, nothing is changed. Empty:
/// there is none, and each weight is taken for kAssumedWeight. Which of them asks is not known, so where their weights
/// differ the first one's counts, as long as no server loses its traffic at another one; and a server without which one
/// of them would have none has a little at all.
AgentAnswer agent_answer(const SystemState& state, std::span<const haproxy::Instance* const> known,
                         std::string_view asked);

/// The weight in haproxy.cfg that docs/haproxy.md asks for where it cannot be read. With 1, HAProxy's default, all
/// percentages below 100 would be 0.
inline constexpr unsigned kAssumedWeight = 100;

}  // namespace rpcw
