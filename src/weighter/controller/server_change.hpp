#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "weighter/allocate/decide.hpp"

namespace rpcw {

/// A decision that has given a server another state or weight.
struct ServerChange {
  std::string backend;
  std::string server;
  /// kUnknown when there was no decision before.
  State from_state = State::kUnknown;
  State to_state = State::kUnknown;
  /// Absent when there was none.
  std::optional<unsigned> from_weight;
  unsigned to_weight = 0;
  /// Why the server is in its present state; empty when it is healthy.
  std::vector<ReasonNote> reasons;

  friend bool operator==(const ServerChange&, const ServerChange&) = default;
};

/// In the order of the file. `backend` has the servers of `after`; `before` has none when there was no decision.
std::vector<ServerChange> changes_between(const config::Backend& backend, const BackendDecision& before,
                                          const BackendDecision& after);

}  // namespace rpcw
