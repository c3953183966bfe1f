#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "observe/http.hpp"
#include "weighter/report.hpp"

namespace rpcw::observe {

/// The last hour of each server, a point every ten seconds: about 4 kB a server.
class History {
 public:
  static constexpr milliseconds kStep{10'000};
  static constexpr std::size_t kMostPoints = 360;

  /// Adds a point of each server of the report. Servers that it does not have are forgotten; one that is new has
  /// unknown points before.
  void add(const Report& report);

  /// The document of /api/v1/history, limited to one backend unless `backend` is empty. `self` keeps the history while
  /// it is written; a point that is added meanwhile may be missing.
  static boost::asio::awaitable<void> write(std::shared_ptr<const History> self, std::shared_ptr<const Report> report,
                                            std::string backend, BodyWriter& out);

 private:
  struct Point {
    /// Negative: not known.
    float latency_ms = -1;
    float lag_ms = -1;
    std::int16_t weight = -1;
    /// State, or kNone.
    std::uint8_t state = kNone;
  };
  static constexpr std::uint8_t kNone = 255;

  struct Server {
    std::string backend;
    std::string name;
    friend auto operator<=>(const Server&, const Server&) = default;
  };
  /// at(0) is the oldest point. A full ring overwrites it.
  struct Ring {
    std::vector<Point> points;
    std::size_t first = 0;
    void push(Point point);
    [[nodiscard]] const Point& at(std::size_t i) const { return points[(first + i) % points.size()]; }
  };

  template <typename Value>
  static void write_row(std::string& out, std::string_view name, const Ring& ring, std::size_t points, Value value);

  std::map<Server, Ring> servers_;
  /// Points of the oldest server.
  std::size_t points_ = 0;
};

}  // namespace rpcw::observe
