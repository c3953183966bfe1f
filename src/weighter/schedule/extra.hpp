#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "base/time.hpp"
#include "config/config.hpp"
#include "weighter/state/history.hpp"

/// Extra probes: between two regular ones, of the servers whose faults would hit the most clients. Pure: the caller
/// sends them.
namespace rpcw {

/// The allowance for extra probes: tokens, in regular probes, that come in with time and are taken out by probes.
class Allowance {
 public:
  /// `at_most`: tokens that are kept; more are lost. `tokens`: those to begin with.
  Allowance(double per_s, double at_most, double tokens = 0) : per_s_(per_s), at_most_(at_most), tokens_(tokens) {}

  /// Adds what has come in since the last call; the first call adds nothing.
  void earn(MonoTime now);
  [[nodiscard]] double tokens() const { return tokens_; }
  /// The allowance may fall below 0: then the debt is paid back first.
  void spend(double tokens) { tokens_ -= tokens; }
  /// Goes on with another rate.
  void set_rate(double per_s) { per_s_ = per_s; }

 private:
  double per_s_;
  double at_most_;
  double tokens_;
  MonoTime at_{};
};

/// How far a fault of one server would go unnoticed.
struct Exposure {
  /// Its part of the measured requests. [0, 1]
  double share = 0;
  /// Since its last probe began.
  MonoTime age{};
  /// Between two of its regular probes.
  milliseconds interval{};
};

/// The cost of a probe now, in regular probes: the next regular one counts from it. [0, 1]
double extra_cost(const Exposure& exposure);

/// Share times age, in seconds: the exposure that a probe now would end.
double unnoticed(const Exposure& exposure);
/// The index of the server with the most of it; absent: none has at least `least`, or none has traffic.
std::optional<std::size_t> most_exposed(std::span<const Exposure> servers, double least);

/// The server's newest head is further behind the agreed one than the chain's pace and the probe's own way explain, and
/// it is not known yet whether it goes on: worth another probe before the next regular one.
bool lags_unexplained(const TargetHistory& target, const BlockTime& block_time, const config::Backend& backend);

/// The answers of its live traffic are of another size than before, and no probe has succeeded since.
bool answers_changed(const TargetHistory& target);

/// The chain id of a server that serves is due ahead of time: its heads contradict those of others, or have jumped.
bool identity_suspect(const TargetHistory& target, MonoTime now);

}  // namespace rpcw
