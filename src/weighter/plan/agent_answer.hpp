#pragma once

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

/// `asked`: what `agent-send` sends, "backend/server" without its line end. `shown`: HAProxy, whose weights of
/// haproxy.cfg are known; nullptr: none is read, and each is taken for kAssumedWeight.
AgentAnswer agent_answer(const SystemState& state, const haproxy::Instance* shown, std::string_view asked);

/// The weight in haproxy.cfg that docs/haproxy.md asks for where it cannot be read. With 1, HAProxy's default, all
/// percentages below 100 would be 0.
inline constexpr unsigned kAssumedWeight = 100;

}  // namespace rpcw
