#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "agent/roster_read.hpp"
#include "config/config.hpp"
#include "weighter/state/fleet.hpp"

namespace rpcw {

/// The loop: every provider on its own timer, a decision after any news (at most every 100 ms), every HAProxy kept at
/// what was decided. One daemon serves one configuration; a changed one gets a new daemon that adopts the old fleet.
/// Where the configuration says `discover`, its servers follow HAProxys' lists, without disturbing those that stay.
class Daemon {
 public:
  /// Whom the first decision of a daemon waited for when it was stopped. By target; without a time: it has answered.
  using FirstRound = std::map<std::string, std::optional<std::chrono::steady_clock::time_point>>;

  /// Keeps a reference to `file`, the configuration as the file has it. `lists`: what HAProxys are known to have; only
  /// needed for `discover`. `first_round`: of the daemon before, whose waiting goes on and does not begin anew. Throws
  /// what HttpClient's constructor throws.
  Daemon(boost::asio::io_context& io, const config::Config& file, bool dry_run, Lists lists = {},
         FirstRound first_round = {});
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
  [[nodiscard]] FirstRound first_round() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rpcw
