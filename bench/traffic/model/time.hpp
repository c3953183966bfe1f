#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "base/time.hpp"

namespace rpcw::bench::model {

/// Time as a number: things happen in its order, those of one moment as they were added. Seconds since the scenario's
/// start; negative while contestants warm up.
class Time {
 public:
  using Handle = std::pair<double, std::uint64_t>;

  explicit Time(double begin) : now_(begin) {}

  [[nodiscard]] double now() const { return now_; }
  /// As a program's clocks would show it: the monotonic one is positive, and the other one begins in 2027.
  [[nodiscard]] Now clocks() const {
    constexpr WallTime kBegin{std::chrono::seconds{1'800'000'000}};
    const auto us = static_cast<std::int64_t>((now_ + kBeforeStart) * 1e6);
    return {kBegin + std::chrono::floor<milliseconds>(std::chrono::microseconds{us}), MonoTime{us}};
  }
  /// The other way round.
  [[nodiscard]] static double at_mono(MonoTime time) {
    // Half a microsecond later: the clock must not show a moment before it.
    return (static_cast<double>(time.count()) + 0.5) / 1e6 - kBeforeStart;
  }
  /// When that second of the scenario begins by the wall clock.
  [[nodiscard]] static WallTime wall(double s) { return Time(s).clocks().wall; }
  /// Of a HAProxy that had started long before.
  [[nodiscard]] double uptime() const { return now_ + kBeforeStart; }

  Handle at(double when, std::function<void()> action) {
    const Handle handle{std::max(when, now_), next_++};
    events_.emplace(handle, std::move(action));
    return handle;
  }
  Handle after(double seconds, std::function<void()> action) { return at(now_ + seconds, std::move(action)); }
  void cancel(const Handle& handle) { events_.erase(handle); }
  void run_until(double end) {
    while (!events_.empty() && events_.begin()->first.first < end) {
      auto node = events_.extract(events_.begin());
      now_ = node.key().first;
      node.mapped()();
    }
    now_ = end;
  }

 private:
  static constexpr double kBeforeStart = 100;

  double now_;
  std::uint64_t next_ = 0;
  std::map<Handle, std::function<void()>> events_;
};

}  // namespace rpcw::bench::model
