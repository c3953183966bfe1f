#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/time.hpp"

namespace rpcw::control {

/// Moments that a controller waits for, each with a key. Those of the same moment come in the order of their keys.
class Timers {
 public:
  enum class Kind : std::uint8_t { kProbe, kRetry, kFirstAnswer, kDecide, kEndpoint, kName, kPatience };
  struct Key {
    Kind kind{};
    /// TargetId, EndpointId or an index, as the kind has it.
    std::uint32_t id = 0;

    friend auto operator<=>(const Key&, const Key&) = default;
  };

  /// Replaces the moment that was set for this key.
  void set(Key key, MonoTime at);
  void cancel(Key key);
  void clear();
  [[nodiscard]] bool is_set(Key key) const { return at_.contains(key); }

  /// The earliest moment; absent: nothing is waited for.
  [[nodiscard]] std::optional<MonoTime> next() const;
  /// Takes out the earliest one that is not after `now`; absent: there is none.
  std::optional<Key> take(MonoTime now);

 private:
  std::map<Key, MonoTime> at_;
  std::set<std::pair<MonoTime, Key>> order_;
};

}  // namespace rpcw::control
