#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "weighter/allocate/decide.hpp"
#include "weighter/strategy/strategy.hpp"

/// One decision under way. Each step has a file of its own: tiers, growth, lead, fallback, dead_band. decide.cpp puts
/// them in order.
namespace rpcw {

/// Servers of a backend, as indices in the order of the file.
using Members = std::vector<std::size_t>;

/// A smaller difference between two parts of the traffic is rounding.
inline constexpr double kVisible = 1e-6;

struct Allocation {
  /// Keeps references to all but the verdict, which it takes over.
  Allocation(BackendHistory& history_, const config::Backend& backend_, const config::Probe& probe_,
             const BackendView& view_, std::span<const unsigned> applied_, Now now_, BackendVerdict&& verdict);
  Allocation(const Allocation&) = delete;
  Allocation& operator=(const Allocation&) = delete;

  /// What HAProxy shows of a server; nullptr: it has none of that name, or was not read.
  [[nodiscard]] const ServerView* shown(std::size_t i) const;
  /// How many blocks it is behind the agreed head: when it showed its newest one, so that what others have shown since
  /// does not count, or now if it does not answer any more.
  [[nodiscard]] std::optional<std::uint64_t> lag_of(const TargetHistory& known) const;
  /// An operator took it out.
  [[nodiscard]] bool disabled(std::size_t i) const { return out.servers[i].state == State::kDisabled; }
  /// The weight of a server that an operator took out, 0..256. It keeps it: it gets no traffic, and returns with it.
  [[nodiscard]] unsigned disabled_weight(std::size_t i) const;
  /// By our verdict it may get traffic.
  [[nodiscard]] bool eligible(std::size_t i) const;
  /// HAProxy has no such server, or never gives it anything: its share would be lost.
  [[nodiscard]] bool out_of_reach(std::size_t i) const;
  /// HAProxy would give it requests now, if it had a weight.
  [[nodiscard]] bool can_serve(std::size_t i) const;

  /// The servers in reach: the backups, or all others.
  [[nodiscard]] Members members(bool backup) const;
  /// How many of the group are eligible and can serve.
  [[nodiscard]] std::size_t healthy(const Members& group) const;
  /// The servers of the group that share its traffic. Sets the targets and reasons of the others.
  Members sharing(const Members& group);

  BackendHistory& history;
  const config::Backend& backend;
  const Strategy& strategy;
  const config::Probe& probe;
  const BackendView& view;
  /// The weights of the decision before; empty: there was none.
  const std::span<const unsigned> applied;
  const Now now;

  // All by server.
  BackendDecision out;
  std::vector<bool> disqualified;
  /// Scores without failure penalties and missing answers.
  std::vector<double> steady;
  /// The part of the traffic that max_rate allows; absent: any.
  std::vector<std::optional<double>> plan_shares;
  std::vector<unsigned> targets;
  /// Each server's part of its group, in [0, 1], before rounding: growth may be smaller than a weight's step.
  std::vector<double> shares;

  /// The highest tier that serves; absent: there is only one.
  std::optional<unsigned> serving_tier;
  /// That tier serves since this decision.
  bool tier_joined = false;
  /// Growth limits keep some server below half of its share by score, or a server starts from share 0.
  bool far_from_share = false;

 private:
  void describe(std::size_t i, ServerVerdict&& verdict);
  [[nodiscard]] bool waits_for_lower_tiers(std::size_t i) const;

  const bool was_read_;
};

}  // namespace rpcw
