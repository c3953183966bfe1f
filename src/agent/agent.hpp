#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "haproxy/lookup.hpp"
#include "haproxy/runtime.hpp"
#include "observe/log.hpp"
#include "rpc/probes.hpp"
#include "weighter/controller/controller.hpp"
#include "weighter/controller/observer.hpp"

namespace rpcw {

/// Carries out what a Controller asks for: sends checks, talks to HAProxys, waits. Decides nothing.
class Agent {
 public:
  struct Effects {
    /// Gives the state what an earlier process has known; called once, when the servers are known and before the first
    /// check. May be empty.
    std::function<void(SystemState&, Now)> recall;
    std::function<void(const LogLine&)> log = [](const LogLine& line) { log::write(line); };
    /// See events and actions, one after the other. Must outlive the agent.
    std::vector<control::Observer*> observers{};
    /// Asked when weights are about to leave; empty: they always may. Without it `Options::standby` must be false.
    std::function<bool()> may_push{};
    /// Names of dns: endpoints and of HAProxys' hosts.
    haproxy::Lookup::Function lookup = haproxy::Lookup::system();
    /// Makes the prober; empty: an rpc::Prober. Called once.
    std::function<std::unique_ptr<rpc::Probes>()> probes{};
    /// Makes the client of one endpoint's HAProxy; empty: a haproxy::Client.
    std::function<std::unique_ptr<haproxy::Runtime>(const config::Endpoint&)> haproxy{};
  };

  /// Keeps a reference to `file`. `legacy`: see Controller.
  Agent(boost::asio::io_context& io, const config::Config& file, const control::Options& options,
        control::Legacy legacy, Effects effects);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// Until the controller has finished. Throws std::runtime_error when the files of TLS cannot be used, and in a single
  /// pass when too few files can be opened.
  boost::asio::awaitable<void> run();
  /// Ends `run` as soon as the exchanges with HAProxy that are under way have ended.
  void request_stop();
  /// Ends `run` without waiting for them.
  void abandon();

  /// Of several agents this one sets the weights from now on, or does not.
  void set_acting(bool acting);
  /// The process stood still: everything is checked again, and until then `lacks` is not empty.
  void resumed();
  /// Why weights may not be set by this view yet, in words; empty: they may. Since the start or the last `resumed` each
  /// target must have answered, or failed often enough to be ejected, and each backend must have been decided.
  [[nodiscard]] std::string lacks() const;

  /// Before or after `run`, or between two turns of the loop.
  control::Controller& controller();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rpcw
