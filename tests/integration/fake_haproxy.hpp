#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace rpcw::test {

/// A runtime API without a HAProxy, for what a real one does not do when asked: it starts again with the same pid, or
/// answers reads and drops sets. It has one backend, `rpc`, with the servers a, b and c.
class FakeHaproxy {
 public:
  /// Listens on a Unix socket at `path`.
  explicit FakeHaproxy(std::string path);
  FakeHaproxy(const FakeHaproxy&) = delete;
  FakeHaproxy& operator=(const FakeHaproxy&) = delete;
  ~FakeHaproxy();

  /// Another worker with the same pid, just started: all weights are 1 again.
  /// `failed`: requests of server a that it has counted already, all of them failed, as from a stats-file.
  void restart(std::uint64_t failed);
  /// From now on a line with `set weight` in it is cut off without an answer.
  void drop_sets(bool on) { drops_sets_ = on; }

  [[nodiscard]] std::map<std::string, unsigned> weights() const;
  /// Lines that were answered, and those that were cut off.
  [[nodiscard]] std::uint64_t answered() const { return answered_; }
  [[nodiscard]] std::uint64_t cut_off() const { return cut_off_; }

 private:
  void serve();
  [[nodiscard]] std::string reply(std::string_view command);

  const std::string path_;
  int listener_ = -1;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> drops_sets_ = false;
  std::atomic<std::uint64_t> answered_ = 0;
  std::atomic<std::uint64_t> cut_off_ = 0;
  mutable std::mutex mutex_;
  std::map<std::string, unsigned> weights_{{"a", 1}, {"b", 1}, {"c", 1}};
  std::chrono::steady_clock::time_point started_;
  std::uint64_t failed_ = 0;
  std::thread thread_;
};

}  // namespace rpcw::test
