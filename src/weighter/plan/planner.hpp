#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "weighter/state/topology.hpp"
#include "weighter/system/system_state.hpp"

/// From decided weights to the commands that one HAProxy needs.
namespace rpcw {

/// A weight that HAProxy should have and does not.
struct WeightChange {
  std::uint32_t backend = 0;
  /// Index in the file.
  std::uint32_t server = 0;
  unsigned from = 0;
  unsigned to = 0;
  /// `to` is a percentage of the weight in haproxy.cfg, 0 or 100: all that a static algorithm takes.
  bool percent = false;
};

/// The weights that HAProxy's `row` is brought to, by server: the decision's, unless this HAProxy could then send
/// requests to no server. That can be: a decision joins the views of several HAProxys, one may have changed since, and
/// a server that is left alone may have weight 0. Then the servers of the best standing that it can use share equally.
/// `fixed`: by server, whether it is left alone; empty: none is.
std::vector<unsigned> weights_at(const config::Backend& backend, const BackendDecision& decision,
                                 const haproxy::BackendRow& row, const std::vector<bool>& fixed = {});

/// Whether a server's weight stays as it is, since it was refused or is contended; empty: of none.
using LeftAlone = std::function<bool(std::string_view backend, std::string_view server)>;

/// Servers whose weight in `instance` is not the applied one, in an order that never leaves a backend without a server
/// meanwhile: rises come before falls. Servers that it does not have are left out, as are backends without any verdict
/// and those whose weights are answers to its agent-check; empty while the state is `cold`. Weights are as `weights_at`
/// has them.
std::vector<WeightChange> plan_changes(const SystemState& state, const haproxy::Instance& instance,
                                       const LeftAlone& left_alone = {});

}  // namespace rpcw
