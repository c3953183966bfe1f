#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// How soon rpc-weighter reacts, measured many times without load: each trial has a HAProxy, providers and a program of
/// its own.
namespace rpcw::bench {

struct Kind {
  /// Such as "hang".
  std::string name;
  /// As Fault::behaviour.
  std::string behaviour;
};
const std::vector<Kind>& kinds();

struct CheckKind {
  Kind kind;
  /// `probe.interval` in the configuration: the number of milliseconds.
  unsigned interval_ms = 1000;
};

struct Reactions {
  CheckKind kind;
  /// Seconds from the fault to weight 0, one for each trial; absent: not within patience(interval).
  std::vector<std::optional<double>> to_zero_s;
  /// The same, to a tenth of the share that it had.
  std::vector<std::optional<double>> to_tenth_s;
  /// Requests to a healthy provider, per day, from all trials together.
  double requests_a_day = 0;
};

/// How long a trial waits for the weight to become 0.
double patience_s(unsigned interval_ms);

/// Runs all questions `repeats` times, several trials at a time, each fault at a random moment. nullopt: SIGINT or
/// SIGTERM came. Whatever was started has ended when it returns or throws.
std::optional<std::vector<Reactions>> measure_reactions(const std::vector<CheckKind>& checks, unsigned repeats,
                                                        std::uint64_t seed, const std::string& weighter);

/// Seconds from HAProxy's new worker's first answer, which shows the weights of haproxy.cfg, to the weights from before
/// the reload. Of `repeats` reloads of one HAProxy at random moments; as above.
std::optional<std::vector<double>> measure_reloads(unsigned repeats, std::uint64_t seed, const std::string& weighter);

}  // namespace rpcw::bench
