#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "config/config.hpp"
#include "weighter/state/haproxy_view.hpp"

namespace rpcw {

/// Finds weights that another writer has changed at one HAProxy. A server whose weight another writer keeps changing is
/// left alone for a while: to set it again and again would only make the traffic swing. Pure.
class OtherWriters {
 public:
  /// Backend and server, by name: their numbers change with HAProxy's list.
  using Key = std::pair<std::string, std::string>;

  /// So many repairs within the window are a fight. One writer that sets a few weights is none.
  static constexpr std::size_t kFight = 5;
  static constexpr milliseconds kWindow{60'000};
  /// The first time it is left alone; doubles with each fight that follows, up to the longest.
  static constexpr milliseconds kFirstPause{60'000};
  static constexpr milliseconds kLongestPause{600'000};

  /// HAProxy was read. `before`: the same worker's last read; nullptr: there was none. `unconfirmed`: servers whose
  /// weight may have been set by us since then. Servers that `after` does not have are forgotten.
  void compare_reads(const std::vector<config::Backend>& ours, const haproxy::Instance* before,
                     const haproxy::Instance& after, const std::set<Key>& unconfirmed);

  enum class Repair : std::uint8_t {
    /// No other writer has changed it since the last read but one, or it was counted already.
    kNone,
    /// It is put back.
    kPutBack,
    /// It is a fight, and left alone from now on.
    kFight,
  };
  /// A weight of this server is to be set. Counts one repair for each time that it was seen changed, however often the
  /// push is tried.
  Repair repair(const Key& key, MonoTime now);

  /// Servers that are left alone.
  [[nodiscard]] std::vector<Key> left_alone(MonoTime now) const;
  /// A server that is left alone may be put out or back all the same, but not more often than each kCrossing: the other
  /// writer may be gone, and an ejection must not wait for that to be known.
  static constexpr milliseconds kCrossing{10'000};
  [[nodiscard]] bool may_cross(const Key& key, MonoTime now) const;
  /// It is put out or back now.
  void crosses(const Key& key, MonoTime now);

 private:
  struct Server {
    std::deque<MonoTime> repairs;
    milliseconds pause = kFirstPause;
    MonoTime left_alone_until{};
    /// When it was put out or back last while it was left alone; absent: it was not.
    std::optional<MonoTime> crossed_at{};
  };
  std::map<Key, Server> servers_;
  /// Those that were changed between the last two reads, and whose repair is not counted yet.
  std::set<Key> changed_;
};

}  // namespace rpcw
