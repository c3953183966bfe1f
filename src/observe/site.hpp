#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/lifetime_guard.hpp"
#include "base/time.hpp"
#include "config/config.hpp"
#include "observe/decisions.hpp"
#include "observe/event_streams.hpp"
#include "observe/history.hpp"
#include "observe/http_server.hpp"
#include "observe/metrics.hpp"
#include "weighter/controller/observer.hpp"
#include "weighter/report.hpp"

namespace rpcw::observe {

/// Everything that a running agent serves over HTTP: metrics, health, status, history, decisions, events and the page.
/// It stays while agents come and go with configurations.
class Site final : public control::Observer {
 public:
  /// Where the present state comes from.
  struct Source {
    std::function<Report(Now)> report;
    /// What is missing before the agent is ready, each a line.
    std::function<std::vector<std::string>()> unsettled;
  };

  explicit Site(boost::asio::io_context& io);

  /// See HttpServer::configure.
  std::expected<void, std::string> configure(const config::Http& http) { return server_.configure(http); }
  /// From now on the state is `source`'s. Until the first call nothing may be served.
  void follow(Source source);
  void config_reloaded(bool ok, WallTime now) { metrics_->config_reloaded(ok, now); }

  void on_event(const control::Event& event, Now now) override { metrics_->on_event(event, now); }
  void on_actions(std::span<const control::Action> actions, Now now, std::chrono::nanoseconds took) override;

 private:
  HttpAnswer answer(const HttpRequest& request);
  HttpAnswer metrics(const HttpRequest& request);
  HttpAnswer health() const;
  HttpAnswer readiness();
  HttpAnswer status(const HttpRequest& request);
  HttpAnswer history(const HttpRequest& request);
  HttpAnswer decisions(const HttpRequest& request);
  HttpAnswer events();
  /// The report, at most kReportAge old.
  std::shared_ptr<const Report> report();
  /// The JSON document of the whole report, as old as that.
  const std::string& report_json();
  [[nodiscard]] bool knows(const std::string& backend);
  void beat();

  Source source_;
  std::shared_ptr<Metrics> metrics_;
  std::shared_ptr<History> history_ = std::make_shared<History>();
  Decisions decisions_;
  EventStreams events_;
  std::shared_ptr<const Report> report_;
  MonoTime report_at_{};
  /// Of `report_`; empty: not made yet.
  std::string report_json_;
  bool ready_ = false;

  boost::asio::steady_timer beat_timer_;
  MonoTime last_beat_{};
  MonoTime next_status_{};
  MonoTime next_point_{};
  LifetimeGuard lifetime_;
  /// Last, so that no request reaches what is gone.
  HttpServer server_;
};

}  // namespace rpcw::observe
