#include "observe/history.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "observe/json.hpp"

namespace rpcw::observe {

void History::Ring::push(Point point) {
  if (points.size() < kMostPoints) {
    points.push_back(point);
    return;
  }
  points[first] = point;
  first = (first + 1) % kMostPoints;
}

void History::add(const Report& report) {
  points_ = std::min(points_ + 1, kMostPoints);
  std::map<Server, Ring> next;
  for (const BackendReport& b : report.backends)
    for (const ServerReport& s : b.servers) {
      Point point;
      if (s.decision.inputs.latency_used_ms) point.latency_ms = static_cast<float>(*s.decision.inputs.latency_used_ms);
      if (s.lag) point.lag_ms = static_cast<float>(s.lag->count());
      point.state = static_cast<std::uint8_t>(s.decision.state);
      if (s.decision.state != State::kUnknown) point.weight = static_cast<std::int16_t>(s.decision.weight);
      auto known = servers_.extract({b.name, s.name});
      Ring& ring = next[{b.name, s.name}];
      if (!known.empty()) ring = std::move(known.mapped());
      ring.push(point);
    }
  servers_ = std::move(next);
}

template <typename Value>
void History::write_row(std::string& out, std::string_view name, const Ring& ring, std::size_t points, Value value) {
  fmt::format_to(std::back_inserter(out), ",\"{}\":[", name);
  const std::size_t have = std::min(ring.points.size(), points);
  for (std::size_t i = 0; i < points; ++i) {
    if (i > 0) out += ',';
    if (i < points - have)
      out += "null";
    else
      value(out, ring.at(ring.points.size() - points + i));
  }
  out += ']';
}

boost::asio::awaitable<void> History::write(std::shared_ptr<const History> self, std::shared_ptr<const Report> report,
                                            std::string backend, BodyWriter& out) {
  out.text += fmt::format("{{\"schema\":1,\"step_ms\":{},\"backends\":[", kStep.count());
  const std::size_t points = self->points_;
  static const Ring kEmpty;
  bool first_backend = true;
  for (const BackendReport& b : report->backends) {
    if (!backend.empty() && b.name != backend) continue;
    out.text += fmt::format("{}{{\"name\":{},\"servers\":[", std::exchange(first_backend, false) ? "" : ",",
                            json_string(b.name));
    bool first_server = true;
    for (const ServerReport& s : b.servers) {
      const auto at = self->servers_.find({b.name, s.name});
      const Ring& ring = at == self->servers_.end() ? kEmpty : at->second;
      out.text += fmt::format("{}{{\"name\":{}", std::exchange(first_server, false) ? "" : ",", json_string(s.name));
      const auto number = [](std::string& text, double value) {
        if (value < 0)
          text += "null";
        else
          fmt::format_to(std::back_inserter(text), "{}", std::round(value * 10) / 10);
      };
      write_row(out.text, "weight", ring, points, [&](std::string& t, const Point& p) { number(t, p.weight); });
      write_row(out.text, "latency_ms", ring, points,
                [&](std::string& t, const Point& p) { number(t, static_cast<double>(p.latency_ms)); });
      write_row(out.text, "lag_ms", ring, points,
                [&](std::string& t, const Point& p) { number(t, static_cast<double>(p.lag_ms)); });
      write_row(out.text, "state", ring, points, [](std::string& t, const Point& p) {
        t += p.state == kNone ? "null" : fmt::format("\"{}\"", to_string(static_cast<State>(p.state)));
      });
      out.text += '}';
      if (!co_await out.next()) co_return;
    }
    out.text += "]}";
  }
  out.text += "]}\n";
}

}  // namespace rpcw::observe
