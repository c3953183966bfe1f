#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// What is measured: passes over many providers, an idle agent, and the way from the start to the first push.
namespace rpcw::bench {

/// What one process has spent from its start to its end.
struct Spent {
  double wall_s = 0;
  /// In user mode and in the kernel.
  double cpu_s = 0;
  /// The most that was resident, in MB (10^6 bytes).
  double memory_mb = 0;
};

/// Passes over so many providers.
struct Passes {
  std::size_t providers = 0;
  /// Run by run, side by side.
  std::vector<Spent> ours;
  /// The bare loop with all the requests that ours sends, and with the heads alone.
  std::vector<Spent> floor;
  std::vector<Spent> heads_floor;
  /// A script for Node.js that asks for the heads alone; empty: it was not run.
  std::vector<Spent> script;
  /// Of a pass, of ours and the floor alike.
  std::uint64_t requests = 0;
  /// That a pass opens.
  std::uint64_t our_connections = 0;
  std::uint64_t floor_connections = 0;
};

struct Programs {
  std::string weighter;
  std::string farm;
  std::string floor;
  std::string spend;
  /// Node.js and the script; empty: there is no Node.js.
  std::string node;
  std::string script;
};

/// These return nullopt when a signal has come. Throws std::runtime_error when a pass fails, or when it has sent other
/// requests than the floor.
std::optional<Passes> measure_passes(const Programs& programs, std::size_t providers, unsigned runs);

/// `run` with five providers over TLS, a HAProxy and all settings at their defaults.
struct Idle {
  double seconds = 0;
  /// Of one core, in per cent.
  double cpu_percent = 0;
  /// Of its own (RssAnon) and all that was resident (VmRSS) at the end, in MB.
  double own_mb = 0;
  double resident_mb = 0;
};
std::optional<Idle> measure_idle(const Programs& programs, double seconds);

/// From the start of `run` until HAProxy has the first weight that differs from haproxy.cfg, less the slowest
/// provider's latency, in seconds; and how long `once` takes in all, likewise.
struct Starts {
  double slowest_s = 0;
  std::vector<double> run_s;
  std::vector<double> once_s;
};
std::optional<Starts> measure_starts(const Programs& programs, unsigned runs);

}  // namespace rpcw::bench
