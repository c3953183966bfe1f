#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>

#include "config/config.hpp"
#include "weighter/controller/controller.hpp"
#include "weighter/report.hpp"

namespace rpcw {

struct PassOptions {
  /// kOnce or kScores.
  control::Mode mode = control::Mode::kOnce;
  /// Everything but the sending.
  bool dry_run = false;
  /// Heads asked of each server. [1, 100]
  unsigned samples = 1;
  /// Gives the new state what earlier passes have known; empty: nothing.
  std::function<void(SystemState&, Now)> recall{};
  /// Called when all is done, with what the next pass should know; may be empty.
  std::function<void(const SystemState&, Now)> keep{};
  /// A remark on the configuration or HAProxy's list, without secrets.
  std::function<void(const LogLine&)> remark = [](const LogLine&) {};
};

struct PassResult {
  Report report;
  /// A HAProxy could not be reached, refused or did not confirm a command, or lacks a named server.
  bool haproxy_trouble = false;
  /// A backend has no healthy server and fell back.
  bool nothing_healthy = false;
};

/// Reads HAProxy and checks every provider at the same time, decides once, and pushes. Ends as soon as the answers are
/// in. A check that fails at the transport level is repeated up to `fall` times, `fast_interval` apart, so that one
/// lost packet does not decide; but not where a history speaks for the provider, which counts it as one failure. Throws
/// what Agent::run throws.
boost::asio::awaitable<PassResult> single_pass(boost::asio::io_context& io, const config::Config& file,
                                               PassOptions options);

}  // namespace rpcw
