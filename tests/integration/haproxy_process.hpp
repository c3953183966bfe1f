#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace rpcw::test {

/// A real HAProxy in a directory of its own, for as long as the object lives. The program is $HAPROXY, or else
/// `haproxy` in PATH or /usr/sbin. Everything that fails, or takes longer than `patience`, throws std::runtime_error
/// with what HAProxy has printed.
class HaproxyProcess {
 public:
  static constexpr std::chrono::seconds kPatience{10};

  struct Options {
    /// -W -S: a master with a worker, and the master's socket as master.sock; else one process (-db).
    bool master = false;
    /// The socket that tells readiness and the process id; in haproxy.cfg as `stats socket @DIR@/admin.sock level
    /// admin`.
    std::string admin_socket = "admin.sock";
  };

  /// Starts it and returns once its socket answers. "@DIR@" in the configuration stands for the directory.
  explicit HaproxyProcess(std::string_view config) : HaproxyProcess(config, Options{}) {}
  HaproxyProcess(std::string_view config, Options options);
  HaproxyProcess(const HaproxyProcess&) = delete;
  HaproxyProcess& operator=(const HaproxyProcess&) = delete;
  ~HaproxyProcess();

  const std::string& directory() const { return directory_; }
  /// Path of a file in the directory.
  std::string path(std::string_view name) const { return directory_ + "/" + std::string(name); }
  std::string admin_socket() const { return path(options_.admin_socket); }

  /// The process that was started: the master if there is one.
  pid_t pid() const { return pid_; }
  /// The process that serves, as `show info` tells.
  pid_t worker_pid() const;

  /// SIGSTOP and SIGCONT to the process that serves.
  void pause();
  void resume();

  /// Writes another haproxy.cfg for the next reload or restart.
  void configure(std::string_view config);
  /// SIGUSR2 to the master; returns when another worker serves.
  void reload();
  void restart();
  /// Returns when it has ended. The socket files stay, as after a crash.
  void stop();

  /// What it has printed so far.
  std::string output() const;

  /// One command over a connection of its own, by blocking calls; empty when no answer comes in time.
  static std::string check(const std::string& socket_path, std::string_view command,
                           std::chrono::milliseconds timeout = kPatience);

 private:
  void start();
  void wait_for_worker_other_than(pid_t old);
  [[noreturn]] void fail(std::string_view what) const;

  Options options_;
  std::string directory_;
  pid_t pid_ = -1;
  pid_t paused_ = -1;
};

/// A TCP port of 127.0.0.1 that was free a moment ago.
std::uint16_t free_port();

}  // namespace rpcw::test
