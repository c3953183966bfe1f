#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

#include "base/time.hpp"
#include "weighter/controller/server_change.hpp"

namespace rpcw::observe {

/// The last changes of state or weight.
class Decisions {
 public:
  static constexpr std::size_t kMost = 200;

  void add(const ServerChange& change, WallTime now);

  struct Filter {
    /// Empty: all.
    std::string backend{};
    std::string server{};
    std::size_t limit = kMost;
  };
  /// The document of /api/v1/decisions, newest first.
  [[nodiscard]] std::string json(const Filter& filter) const;
  /// One change as a JSON object.
  [[nodiscard]] static std::string json(const ServerChange& change, WallTime now);

 private:
  struct Entry {
    WallTime time;
    ServerChange change;
  };
  /// Newest first.
  std::deque<Entry> entries_;
};

}  // namespace rpcw::observe
