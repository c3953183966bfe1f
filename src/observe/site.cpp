#include "observe/site.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "observe/page.hpp"
#include "observe/render.hpp"

namespace rpcw::observe {
namespace {

using std::chrono::steady_clock;

/// Between two measurements of the loop's lag.
constexpr milliseconds kBeat{100};
/// The contract of /healthz: the last turn of the loop was less than this ago.
constexpr milliseconds kTurns{5000};
/// Between two status events.
constexpr milliseconds kStatus{1000};
/// Requests within this time share one report: many clients cost as much as one.
constexpr milliseconds kReportAge{100};

MonoTime mono(steady_clock::time_point at) {
  return std::chrono::duration_cast<MonoTime>(at.time_since_epoch());
}

HttpAnswer json(std::string text) {
  return {.content_type = "application/json", .body = std::move(text), .compress = true};
}

std::string value_of(const HttpRequest& request, std::string_view key) {
  const auto at = request.query.find(key);
  return at == request.query.end() ? std::string{} : at->second;
}

}  // namespace

Site::Site(boost::asio::io_context& io)
    : metrics_(std::make_shared<Metrics>(read_clocks().wall)),
      events_(io.get_executor()),
      beat_timer_(io),
      last_beat_(read_clocks().mono),
      server_(io.get_executor(), [this](const HttpRequest& request) { return answer(request); }) {}

void Site::follow(Source source) {
  const bool first = !source_.report;
  source_ = std::move(source);
  report_.reset();
  if (!first) return;
  last_beat_ = next_status_ = mono(steady_clock::now());
  next_point_ = last_beat_ + History::kStep;
  beat_timer_.expires_after(kBeat);
  beat_timer_.async_wait(lifetime_.guard([this] { beat(); }));
}

void Site::beat() {
  const auto now = steady_clock::now();
  metrics_->loop_was_late(std::max(now - beat_timer_.expiry(), steady_clock::duration::zero()));
  last_beat_ = mono(now);
  if (last_beat_ >= next_point_) {
    // After a long sleep of the machine one point is enough.
    next_point_ = std::max(next_point_ + History::kStep, last_beat_);
    history_->add(*report());
    metrics_->forget_gone(*report());
  }
  if (last_beat_ >= next_status_) {
    next_status_ = last_beat_ + kStatus;
    if (events_.has_listeners()) events_.status(report_json());
  }
  beat_timer_.expires_after(kBeat);
  beat_timer_.async_wait(lifetime_.guard([this] { beat(); }));
}

void Site::on_actions(std::span<const control::Action> actions, Now now, std::chrono::nanoseconds took) {
  metrics_->on_actions(actions, now, took);
  for (const control::Action& a : actions) {
    const auto* decided = std::get_if<control::action::Decided>(&a);
    if (decided == nullptr) continue;
    for (const ServerChange& change : decided->changes) {
      decisions_.add(change, now.wall);
      if (events_.has_listeners()) events_.decision(Decisions::json(change, now.wall));
    }
  }
}

std::shared_ptr<const Report> Site::report() {
  const Now now = read_clocks();
  if (report_ == nullptr || now.mono - report_at_ >= kReportAge) {
    report_ = std::make_shared<const Report>(source_.report(now));
    report_at_ = now.mono;
    report_json_.clear();
  }
  return report_;
}

const std::string& Site::report_json() {
  const auto current = report();
  if (report_json_.empty()) {
    report_json_ = render_json(*current);
    if (report_json_.ends_with('\n')) report_json_.pop_back();
  }
  return report_json_;
}

bool Site::knows(const std::string& backend) {
  const auto current = report();
  return std::ranges::find(current->backends, backend, &BackendReport::name) != current->backends.end();
}

HttpAnswer Site::answer(const HttpRequest& request) {
  if (request.path == "/healthz") return health();
  if (request.path == "/readyz") return readiness();
  if (request.path == "/metrics") return metrics(request);
  if (request.path == "/api/v1/status") return status(request);
  if (request.path == "/api/v1/history") return history(request);
  if (request.path == "/api/v1/decisions") return decisions(request);
  if (request.path == "/api/v1/events") return events();
  if (request.path == "/") return status_page();
  return http_error(404, "there is no such path; see / and docs/operating.md");
}

HttpAnswer Site::health() const {
  const milliseconds ago = std::chrono::floor<milliseconds>(read_clocks().mono - last_beat_);
  if (ago < kTurns) return {.body = std::string(kAlive)};
  return http_error(503, fmt::format("the loop has not turned for {}", span_text(ago)));
}

HttpAnswer Site::readiness() {
  if (!ready_) {
    const std::vector<std::string> missing = source_.unsettled();
    if (!missing.empty()) return http_error(503, fmt::format("{}", fmt::join(missing, "\n")));
    ready_ = true;
  }
  return {.body = "ready\n"};
}

HttpAnswer Site::metrics(const HttpRequest& request) {
  const bool open = accepts_openmetrics(request.accept);
  HttpAnswer out;
  out.content_type =
      open ? "application/openmetrics-text; version=1.0.0; charset=utf-8" : "text/plain; version=0.0.4; charset=utf-8";
  out.compress = true;
  out.stream = [counted = metrics_, shown = report(), open](BodyWriter& writer) {
    return Metrics::write(counted, shown, open, writer);
  };
  return out;
}

HttpAnswer Site::status(const HttpRequest& request) {
  const auto wanted = request.query.find("backend");
  if (wanted == request.query.end()) return json(report_json() + "\n");
  if (!knows(wanted->second)) return http_error(404, "there is no such backend");
  Report part = *report();
  std::erase_if(part.backends, [&](const BackendReport& b) { return b.name != wanted->second; });
  return json(render_json(part));
}

HttpAnswer Site::history(const HttpRequest& request) {
  const std::string backend = value_of(request, "backend");
  if (!backend.empty() && !knows(backend)) return http_error(404, "there is no such backend");
  HttpAnswer out = json({});
  out.stream = [known = history_, shown = report(), backend](BodyWriter& writer) {
    return History::write(known, shown, backend, writer);
  };
  return out;
}

HttpAnswer Site::decisions(const HttpRequest& request) {
  Decisions::Filter filter;
  filter.backend = value_of(request, "backend");
  filter.server = value_of(request, "server");
  if (!filter.backend.empty() && !knows(filter.backend)) return http_error(404, "there is no such backend");
  if (const auto limit = request.query.find("limit"); limit != request.query.end()) {
    const std::string& text = limit->second;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), filter.limit);
    if (ec != std::errc{} || end != text.data() + text.size() || filter.limit < 1 || filter.limit > Decisions::kMost)
      return http_error(400, fmt::format("limit: expected a number from 1 to {}", Decisions::kMost));
  }
  return json(decisions_.json(filter));
}

HttpAnswer Site::events() {
  if (events_.full())
    return http_error(503, fmt::format("{} listeners are served at a time", EventStreams::kMostListeners));
  return events_.listen(report_json());
}

}  // namespace rpcw::observe
