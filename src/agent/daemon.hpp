#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>

#include "agent/roster_read.hpp"
#include "config/config.hpp"
#include "weighter/state/fleet.hpp"

namespace rpcw {

/// The loop: every provider on its own timer, a decision after any news (at most every 100 ms), every HAProxy kept at
/// what was decided. One daemon serves one configuration; a changed one gets a new daemon that adopts the old fleet.
/// Where the configuration says `discover`, its servers follow HAProxys' lists, without disturbing those that stay.
class Daemon {
 public:
  /// Keeps a reference to `file`, the configuration as the file has it. `lists`: what HAProxys are known to have; only
  /// needed for `discover`. Throws what HttpClient's constructor throws.
  Daemon(boost::asio::io_context& io, const config::Config& file, bool dry_run, Lists lists = {});
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Until `request_stop`; then waits for exchanges with HAProxy that are under way.
  boost::asio::awaitable<void> run();
  void request_stop();
  /// Stops without waiting for exchanges with HAProxy that are under way.
  void abandon();

  /// Between construction and `run`, or after it.
  Fleet& fleet();

  /// What HAProxys showed last, for the daemon that follows; empty without `discover`.
  [[nodiscard]] Lists lists() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rpcw
