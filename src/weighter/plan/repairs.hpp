#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/time.hpp"

namespace rpcw {

/// Finds servers whose weight another writer keeps changing: putting it back again and again would only make the
/// traffic swing. No clock: the time is an argument.
class Repairs {
 public:
  /// Backend and server, by name: their numbers change with HAProxy's list.
  using Key = std::pair<std::string, std::string>;

  /// So many within the window are a fight. One writer that sets a few weights is none.
  static constexpr std::size_t kFight = 5;
  static constexpr milliseconds kWindow{60'000};
  /// The first time it is left alone; doubles with each fight that follows, up to the longest.
  static constexpr milliseconds kFirstPause{60'000};
  static constexpr milliseconds kLongestPause{600'000};

  /// A weight of this server has to be put back. Returns how long it should be left alone instead; nullopt: go on.
  std::optional<milliseconds> repaired(const Key& key, MonoTime now);

 private:
  struct Server {
    std::deque<MonoTime> times;
    milliseconds pause = kFirstPause;
    MonoTime paused_until{};
  };
  std::map<Key, Server> servers_;
};

}  // namespace rpcw
