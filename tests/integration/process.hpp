#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace rpcw::test {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

/// Far above what anything here takes, so that a busy machine fails no test.
inline constexpr Clock::duration kPatience = 60s;

/// Waits until the condition holds; false when it has not within `limit`.
template <class Condition>
bool eventually(Condition condition, Clock::duration limit = kPatience) {
  const auto deadline = Clock::now() + limit;
  while (!condition()) {
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

/// A program that was started, with all that it writes. Killed at the end if it is still there.
class Process {
 public:
  struct Setup {
    std::vector<std::string> arguments{};
    /// NAME=value; nothing is inherited.
    std::vector<std::string> environment{};
    /// A file that standard output goes to instead; "-" closes it.
    std::string out_to{};
    /// The same for standard error.
    std::string err_to{};
    /// Soft and hard limit.
    std::optional<rlim_t> open_files{};
    /// The soft limit alone; the hard one stays.
    std::optional<rlim_t> soft_open_files{};
  };

  /// Throws std::system_error if it cannot be started; a program that does not exist exits with 127.
  Process(const std::string& program, const Setup& setup);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const;
  /// The exit code, or minus the number of the signal that ended it; nullopt: it still runs.
  std::optional<int> wait(Clock::duration limit = kPatience);

  /// What it has written so far.
  [[nodiscard]] std::string out() const;
  [[nodiscard]] std::string err() const;

 private:
  pid_t pid_ = -1;
  int out_ = -1;
  int err_ = -1;
  std::optional<int> result_;
};

}  // namespace rpcw::test
