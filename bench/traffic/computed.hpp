#pragma once

#include <cstdint>

#include "traffic/arena.hpp"

namespace rpcw::bench {

/// The same scenario without a HAProxy, a socket or a clock: time is a number, HAProxy and the providers are modelled,
/// and rpc-weighter's own Controller decides. A hundred seconds take a few milliseconds, so that
/// rules can be compared over many seeds, and the same seed gives the same figures on every machine with the same
/// standard library. What the model leaves out: the time that machines take, and everything that HAProxy does besides
/// sharing by weight, trying a refused connection elsewhere and giving up after `timeout server`.
/// Precondition: all contestants can_be_computed.
Run compute_scenario(const Scenario& scenario, std::span<const Contestant> contestants, std::uint64_t seed);

/// HAProxy alone, rpc-weighter and the oracle can.
inline bool can_be_computed(const Contestant& c) {
  return c.kind != Contestant::Kind::kChecks && c.kind != Contestant::Kind::kScript;
}

/// By less than a second. A head that stands still is too far behind when the chain makes a certain block, which
/// happens at whole seconds of the scenario whenever the fault began.
Scenario shifted(Scenario scenario, double seconds);

}  // namespace rpcw::bench
