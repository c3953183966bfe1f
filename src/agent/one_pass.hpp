#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>

#include "config/config.hpp"
#include "weighter/report.hpp"
#include "weighter/state/fleet.hpp"

namespace rpcw {

struct PassOptions {
  /// Whether weights are meant for HAProxy at all: `scores` only looks at what it has.
  bool push = true;
  /// Everything but the sending.
  bool dry_run = false;
  /// Probes of each server. [1, 100]
  unsigned samples = 1;
  /// Gives the new fleet what earlier passes have known; empty: nothing.
  std::function<void(Fleet&, Now)> recall{};
  /// Called when all is done, with what the next pass should know; may be empty.
  std::function<void(const Fleet&, Now)> keep{};
};

struct PassResult {
  Report report;
  /// A HAProxy could not be reached, refused or did not confirm a command, or lacks a named server.
  bool haproxy_trouble = false;
  /// A backend has no healthy server and fell back.
  bool nothing_healthy = false;
};

/// Reads HAProxy and probes every provider at the same time, decides once, and pushes. Ends as soon as the answers are
/// in. A probe that fails at the transport level is repeated up to `fall` times, `fast_interval` apart, so that one
/// lost packet does not decide; but not where a history speaks for the provider, which counts it as one failure. Throws
/// what HttpClient's constructor throws.
boost::asio::awaitable<PassResult> one_pass(boost::asio::io_context& io, const config::Config& config,
                                            PassOptions options);

}  // namespace rpcw
