#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <expected>
#include <memory>
#include <optional>
#include <string>

#include "agent/lease_keeper.hpp"
#include "config/config.hpp"
#include "weighter/report.hpp"

namespace rpcw {

/// Whether this agent sets weights or stands by for another, by the configuration's [standby]; and how that changes
/// with the configuration. Without a [standby] it always acts.
class StandbyRole {
 public:
  /// An agent that was alone is not asked for `effects.lacks`: it sets weights by its view already. `dry_run`:
  /// the agent sets no weights, so it never takes the lease from one that does.
  StandbyRole(boost::asio::io_context& io, const config::Standby& standby, bool dry_run, LeaseKeeper::Effects effects);

  void start();
  /// Other agents may set weights too.
  [[nodiscard]] bool shared() const { return lease_ != nullptr; }
  /// See LeaseKeeper::holds.
  [[nodiscard]] bool acts() const { return lease_ == nullptr || lease_->holds(); }
  /// Absent: it is not shared.
  [[nodiscard]] std::optional<StandbyReport> report() const;

  /// Whether a configuration with this [standby] can be taken; joins its Lease where this agent was alone. A Lease is
  /// never left for another one or for none: agents that have not read the file yet go by the old one. The error is a
  /// sentence. `take` or `leave` follows.
  boost::asio::awaitable<std::expected<void, std::string>> prepare(config::Standby wanted);
  /// The configuration with this [standby] is taken.
  void take(const config::Standby& standby);
  /// That configuration is not taken: leaves the Lease that `prepare` has joined.
  boost::asio::awaitable<void> leave();

  /// At the end: another agent may act at once. HAProxy has this one's last weights.
  boost::asio::awaitable<void> release();

 private:
  LeaseKeeper::Effects effects() const;

  boost::asio::io_context& io_;
  const bool dry_run_;
  const LeaseKeeper::Effects effects_;
  /// nullptr: this agent is alone.
  std::shared_ptr<LeaseKeeper> lease_;
  /// While a file that turns [standby] on is being taken.
  std::shared_ptr<LeaseKeeper> joining_;
};

}  // namespace rpcw
