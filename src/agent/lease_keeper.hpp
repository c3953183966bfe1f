#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "base/time.hpp"
#include "config/config.hpp"
#include "weighter/lease/election.hpp"
#include "weighter/report.hpp"

namespace rpcw {

/// Asks Kubernetes' API for the Lease of `[standby]`, and tells whether this agent may set weights. Decides nothing:
/// see lease::Election.
class LeaseKeeper {
 public:
  struct Effects {
    /// This agent sets weights from now on, or does not.
    std::function<void(bool acting)> acting;
    /// See Agent::lacks.
    std::function<std::string()> lacks;
    /// The process stood still: the view is old.
    std::function<void()> resumed;
  };

  /// `standby` has a lease.
  LeaseKeeper(boost::asio::io_context& io, config::Standby standby, Effects effects, lease::Role role);
  ~LeaseKeeper();
  LeaseKeeper(const LeaseKeeper&) = delete;
  LeaseKeeper& operator=(const LeaseKeeper&) = delete;

  void start();
  /// Waits until it is known who sets weights. False: some attempts in a row have failed, or that
  /// took longer than another's lease can last; `report` says why.
  boost::asio::awaitable<bool> joined();
  [[nodiscard]] const config::Standby& standby() const;
  /// Another folder with `token` and `ca.crt`, from the next request on.
  void use_account(std::string folder);
  /// Whether weights may be set at this very moment, by a clock that goes on while the machine sleeps.
  [[nodiscard]] bool holds() const;
  [[nodiscard]] StandbyReport report() const;
  /// Gives the lease back if it is held; returns when that is done, or after `most`.
  boost::asio::awaitable<void> release(milliseconds most);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rpcw
