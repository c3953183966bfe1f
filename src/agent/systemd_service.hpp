#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <string>

#include "observe/sd_notify.hpp"

namespace rpcw {

/// Tells systemd how the service is: ready once its first weights are in HAProxy, a line of status from then on, alive
/// as often as its watchdog asks. Does nothing where systemd has not started this process.
class SystemdService {
 public:
  struct Effects {
    /// Whether the first weights are in HAProxy, or no HAProxy can be reached.
    std::function<bool()> settled;
    /// One line for `systemctl status`.
    std::function<std::string()> status;
  };

  SystemdService(boost::asio::io_context& io, Effects effects);

  void start();
  void reload_begins() { notify_.reloading(); }
  void reload_ended();
  void stopping();

 private:
  boost::asio::awaitable<void> tend();
  boost::asio::awaitable<void> feed_watchdog(std::chrono::microseconds every);

  boost::asio::io_context& io_;
  const Effects effects_;
  observe::SdNotify notify_;
  bool ready_ = false;
  bool stopping_ = false;
  boost::asio::steady_timer tend_timer_;
  boost::asio::steady_timer watchdog_timer_;
};

}  // namespace rpcw
