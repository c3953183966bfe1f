#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "traffic/contestant.hpp"
#include "traffic/load.hpp"
#include "traffic/scenario.hpp"

namespace rpcw::bench {

/// The part of the traffic that HAProxy gives to each of providers(), from this moment on.
struct Shares {
  double at_s = 0;
  std::vector<double> parts;
};

/// One contestant's way through a scenario.
struct Lane {
  std::string contestant;
  std::vector<Shot> shots;
  /// In the order of time; only changes.
  std::vector<Shares> shares;
  /// Requests that it has sent to providers by itself. Known in the model alone; 0: not known, or none.
  std::uint64_t probes = 0;
  /// What the program wrote to standard error; empty for those that are none.
  std::string log;
};

struct Run {
  /// The scenario with the times that were used.
  Scenario scenario;
  std::uint64_t seed = 1;
  /// In the order of the contestants.
  std::vector<Lane> lanes;
  /// Mean of the machine's load average (1 min) at the beginning and the end: how much else it did.
  double load_average = 0;
};

struct ArenaOptions {
  /// Draws latencies, methods and the faults' phase: all faults come later by one and the same part of a second, so
  /// that no contestant's timer is in step with them by design.
  std::uint64_t seed = 1;
  /// The program under test.
  std::string weighter;
};

/// Runs all contestants side by side, each with a HAProxy, providers and a load of its own. Takes the scenario's length
/// and about 20 s. nullopt: SIGINT or SIGTERM came. Whatever was started has ended when it returns or throws.
std::optional<Run> run_scenario(const Scenario& scenario, std::span<const Contestant> contestants,
                                const ArenaOptions& options);

}  // namespace rpcw::bench
