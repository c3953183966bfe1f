#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "observe/http.hpp"
#include "weighter/controller/observer.hpp"
#include "weighter/report.hpp"

namespace rpcw::observe {

/// Counts in buckets, as Prometheus wants them. Bounds in seconds, rising; the last bucket has none.
class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds) : bounds_(bounds), counts_(bounds.size() + 1) {}
  void observe(double seconds);

  [[nodiscard]] std::span<const double> bounds() const { return bounds_; }
  /// One more than `bounds`; not added up.
  [[nodiscard]] std::span<const std::uint64_t> counts() const { return counts_; }
  [[nodiscard]] double sum() const { return sum_; }

 private:
  std::span<const double> bounds_;
  std::vector<std::uint64_t> counts_;
  double sum_ = 0;
};

/// Counts what happens, and writes it together with a report in Prometheus' text format. Written by hand, since
/// prometheus-cpp writes all series in one go, while the loop must turn in between, and knows no OpenMetrics.
class Metrics final : public control::Observer {
 public:
  /// All counters are 0. `config_loaded`: when the configuration was first read.
  explicit Metrics(WallTime config_loaded) : reloaded_at_(config_loaded) {}

  void on_event(const control::Event& event, Now now) override;
  void on_actions(std::span<const control::Action> actions, Now now, std::chrono::nanoseconds took) override;
  void loop_was_late(std::chrono::nanoseconds by);
  void config_reloaded(bool ok, WallTime now);
  /// Forgets counters of servers, backends and endpoints that the report does not have. To be called from time to time,
  /// since servers may come and go without a scrape.
  void forget_gone(const Report& report);

  /// Forgets what is gone, too. `self` keeps the metrics while they are written. The format is OpenMetrics 1.0, or
  /// Prometheus' text format 0.0.4.
  static boost::asio::awaitable<void> write(std::shared_ptr<Metrics> self, std::shared_ptr<const Report> report,
                                            bool open_metrics, BodyWriter& out);

 private:
  friend class MetricsText;

  struct ServerCounters {
    ServerCounters();
    /// By result: "ok" or a reason's code. Those that did not happen may be missing; a scrape tells them as 0.
    std::map<std::string_view, std::uint64_t> probes;
    std::uint64_t head_requests = 0;
    /// Requests for other checks, by CheckKind.
    std::array<std::uint64_t, 5> checks{};
    /// By the code of the first reason; "": there was none. As `probes`.
    std::map<std::string_view, std::uint64_t> ejections;
    std::uint64_t weight_changes = 0;
    Histogram probe_seconds;
  };
  struct EndpointCounters {
    EndpointCounters();
    std::uint64_t confirmed = 0;
    std::uint64_t refused = 0;
    std::uint64_t lost = 0;
    /// By backend.
    std::map<std::string, std::uint64_t> repairs;
    std::uint64_t reloads = 0;
    Histogram read_seconds;
    Histogram set_seconds;
  };
  using ServerKey = std::pair<std::string, std::string>;
  struct Target {
    ServerKey server;
    /// Requests that one head takes.
    unsigned head_requests = 1;
  };
  struct Endpoint {
    std::string name;
    /// When the exchange under way began; absent: none is.
    std::optional<MonoTime> since;
  };

  /// nullptr: a reference, which has no series.
  ServerCounters* server_of(control::TargetId target);
  void count_check(control::TargetId target, const Check& check);
  void begin_exchange(control::EndpointId id, Now now);
  /// `set`: weights were sent; else HAProxy was read. nullptr: there is no such endpoint any more.
  EndpointCounters* end_exchange(control::EndpointId id, Now now, bool set);

  // Of the controller at work; another one numbers anew.
  std::map<control::TargetId, Target> targets_;
  std::map<control::EndpointId, Endpoint> endpoints_;

  std::map<ServerKey, ServerCounters> server_counters_;
  std::map<std::string, EndpointCounters> endpoint_counters_;
  std::uint64_t reloads_ok_ = 0;
  std::uint64_t reloads_failed_ = 0;
  bool reload_ok_ = true;
  WallTime reloaded_at_;
  static constexpr std::array kDecisionBounds{0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1};
  static constexpr std::array kLagBounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0};
  Histogram decision_seconds_{kDecisionBounds};
  Histogram loop_lag_seconds_{kLagBounds};
};

}  // namespace rpcw::observe
