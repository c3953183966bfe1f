#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "weighter/report.hpp"

namespace rpcw::observe {

/// "3 of 4 servers of 2 backends healthy; HAProxy answers", for a person.
std::string status_line(const Report& report);

/// Tells systemd how the service is, by datagrams to $NOTIFY_SOCKET as sd_notify(3) describes them. Does nothing where
/// that is not set. Never waits.
class SdNotify {
 public:
  /// Reads $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID.
  SdNotify();
  ~SdNotify();
  SdNotify(const SdNotify&) = delete;
  SdNotify& operator=(const SdNotify&) = delete;

  /// Whether systemd, or another service manager, wants to be told.
  [[nodiscard]] bool wanted() const { return socket_ >= 0; }
  /// How often `watchdog` must be called: half of what systemd waits for; absent: it does not.
  [[nodiscard]] std::optional<std::chrono::microseconds> watchdog_interval() const { return watchdog_; }

  /// The first weights are in HAProxy, or HAProxy can't be reached. Further calls end a reload.
  void ready(std::string_view status) const;
  /// One line for `systemctl status`. The same text is not sent twice in a row.
  void status(std::string_view text);
  void reloading() const;
  void stopping() const;
  void watchdog() const;

 private:
  void send(const std::string& text) const;

  int socket_ = -1;
  std::string path_;
  std::optional<std::chrono::microseconds> watchdog_;
  std::string last_status_;
};

}  // namespace rpcw::observe
