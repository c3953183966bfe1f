#include "observe/render_top.hpp"

#include <fmt/format.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "base/columns.hpp"
#include "base/json_parse.hpp"
#include "base/text.hpp"
#include "observe/report_json.hpp"

namespace rpcw::observe {
namespace {

using rapidjson::Value;

constexpr std::size_t kSpark = 16;
/// From this width on there is room for sparklines.
constexpr std::size_t kWide = 120;

/// Without control characters: an agent's words must do nothing to a terminal.
std::string shown(const Value& object, const char* name) {
  std::string out(text(object, name));
  std::ranges::replace_if(
      out, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  return out;
}

/// -1: not known.
double number_or_none(const Value& object, const char* name) {
  return number(object, name).value_or(-1);
}

/// The one of `history` for this backend or server; nullptr: none.
const Value* same_named(const Value* history, const Value& item) {
  return history != nullptr ? named(*history, text(item, "name")) : nullptr;
}

std::vector<double> row(const Value* server, const char* name) {
  std::vector<double> out;
  const Value* values = server != nullptr ? list(*server, name) : nullptr;
  if (values == nullptr) return out;
  for (const Value& v : values->GetArray()) out.push_back(v.IsNumber() ? v.GetDouble() : -1);
  return out;
}

TopServer read_server(const Value& server, const Value* history) {
  TopServer out;
  out.name = shown(server, "name");
  out.state = shown(server, "state");
  if (const Value* reasons = list(server, "reasons"))
    for (const Value& r : reasons->GetArray())
      out.reason += fmt::format("{}{}: {}", out.reason.empty() ? "" : "; ", shown(r, "code"), shown(r, "detail"));
  out.weight = static_cast<unsigned>(std::clamp(number(server, "weight").value_or(0), 0.0, 256.0));
  out.share = number_or_none(server, "share");
  out.latency_ms = number_or_none(server, "latency_ms");
  if (const Value* block = member(server, "block")) out.lag_ms = number_or_none(*block, "lag_ms");
  if (const Value* inputs = member(server, "inputs")) out.errors = number_or_none(*inputs, "error_rate");
  out.latency_hour = row(history, "latency_ms");
  out.weight_hour = row(history, "weight");
  return out;
}

TopBackend read_backend(const Value& backend, const Value* history) {
  TopBackend out;
  out.name = shown(backend, "name");
  out.facts = fmt::format("{}, {}", shown(backend, "chain"), shown(backend, "strategy"));
  if (const std::string follows = shown(backend, "follows"); !follows.empty()) out.facts += ", follows " + follows;
  if (const Value* head = member(backend, "head"))
    out.facts +=
        fmt::format(", head {:.0f} by {:.0f}", number_or_none(*head, "number"), number_or_none(*head, "agreed_by"));
  else
    out.facts += ", no agreed head";
  if (const std::string fallback = shown(backend, "fallback"); !fallback.empty()) out.facts += ", fallback " + fallback;
  const Value* servers = list(backend, "servers");
  const Value* hours = history != nullptr ? list(*history, "servers") : nullptr;
  if (servers != nullptr)
    for (const Value& s : servers->GetArray()) out.servers.push_back(read_server(s, same_named(hours, s)));
  return out;
}

// ---- lines

/// Exactly so many columns.
std::string padded(std::string_view text, std::size_t columns) {
  return padded_to(first_columns(text, columns), columns);
}

std::string span(double ms) {
  if (ms < 0) return "-";
  return span_text(milliseconds{std::llround(ms)});
}

std::string coloured(std::string text, std::string_view code, bool colour) {
  return colour ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
}

std::string_view colour_of(const std::string& state) {
  return state == "healthy" ? "32" : state == "degraded" ? "33" : state == "ejected" ? "31" : "2";
}

unsigned rank(const std::string& state) {
  return state == "ejected" ? 0 : state == "degraded" ? 1 : state == "unknown" ? 2 : state == "disabled" ? 3 : 4;
}

std::vector<const TopServer*> sorted(const TopBackend& backend, TopSort sort) {
  std::vector<const TopServer*> out;
  for (const TopServer& s : backend.servers) out.push_back(&s);
  std::ranges::stable_sort(out, [sort](const TopServer* a, const TopServer* b) {
    switch (sort) {
      case TopSort::kFile:
        return false;
      case TopSort::kShare:
        return a->share > b->share;
      case TopSort::kLatency:
        return a->latency_ms > b->latency_ms;
      case TopSort::kState:
        return rank(a->state) < rank(b->state);
    }
    return false;
  });
  return out;
}

/// Negative: not known.
std::string percent(double part) {
  return part < 0 ? "-" : fmt::format("{:.1f}%", 100 * part);
}

std::string_view name_of(TopSort sort) {
  constexpr std::array<std::string_view, 4> kNames{"file", "share", "latency", "state"};
  return kNames.at(static_cast<std::size_t>(sort));
}

std::string server_line(const TopServer& s, const TopView& view, std::size_t name_width) {
  const bool wide = view.columns >= kWide && view.utf8;
  const std::string numbers = fmt::format(" {:>4} {:>6} {:>8} {:>7} {:>6} ", s.weight, percent(s.share),
                                          span(s.latency_ms), span(s.lag_ms), percent(s.errors));
  const std::string name = padded(s.name, name_width) + " ";
  const std::string state = padded(s.state, 8);
  std::size_t used = name_width + 1 + 8 + 6 + 6 + 9 + 8 + 7 + 1;
  // A line that wraps would push the first ones off the screen.
  if (view.columns < used) return first_columns(name + state + numbers, view.columns);
  std::string out = name + coloured(state, colour_of(s.state), view.colour) + numbers;
  if (wide) {
    out += sparkline(s.latency_hour, kSpark) + " " + sparkline(s.weight_hour, kSpark) + " ";
    used += 2 * (kSpark + 1);
  }
  return out + (view.columns > used ? first_columns(s.reason, view.columns - used) : "");
}

std::string header(const TopView& view, std::size_t name_width) {
  std::string out = padded("SERVER", name_width) + fmt::format(" {:<8} {:>4} {:>6} {:>8} {:>7} {:>6} ", "STATE", "W",
                                                               "SHARE", "LATENCY", "LAG", "ERRORS");
  if (view.columns >= kWide && view.utf8) out += fmt::format("{:<16} {:<16} ", "LATENCY, HOUR", "WEIGHT, HOUR");
  return coloured(padded(out + "REASON", view.columns), "1", view.colour);
}

}  // namespace

bool read_top(const std::string& status, const std::string& history, TopState& out) {
  rapidjson::Document report;
  const Value* backends = parse_json(status, report).IsError() ? nullptr : list(report, "backends");
  if (backends == nullptr) return false;
  rapidjson::Document hour;
  const Value* hours = parse_json(history, hour).IsError() ? nullptr : list(hour, "backends");
  TopState fresh;
  fresh.time = shown(report, "time");
  std::size_t reachable = 0;
  std::size_t all = 0;
  if (const Value* endpoints = list(report, "haproxy"))
    for (const Value& e : endpoints->GetArray()) {
      ++all;
      const Value* up = member(e, "reachable");
      if (up != nullptr && up->IsBool() && up->GetBool()) ++reachable;
      if (const std::string error = shown(e, "error"); !error.empty())
        fresh.errors.push_back(fmt::format("HAProxy {}: {}", shown(e, "endpoint"), error));
    }
  fresh.haproxy = fmt::format("HAProxy {} of {}", reachable, all);
  if (const Value* standby = member(report, "standby")) {
    const Value* acts = member(*standby, "acts");
    fresh.standby = {.lease = shown(*standby, "lease"),
                     .acts = acts != nullptr && acts->IsBool() && acts->GetBool(),
                     .holder = shown(*standby, "holder"),
                     .error = shown(*standby, "error")};
    // A holder whose lease is over sets no weights either.
    if (shown(*standby, "identity") == fresh.standby->holder) fresh.standby->holder.clear();
    fresh.haproxy += fresh.standby->acts ? "  acts" : "  stands by";
  }
  for (const Value& b : backends->GetArray()) fresh.backends.push_back(read_backend(b, same_named(hours, b)));
  out = std::move(fresh);
  return true;
}

std::string to_text(const TopStandby& standby) {
  if (standby.acts) return fmt::format("this agent holds {} and sets the weights", standby.lease);
  std::string out = standby.holder.empty()
                        ? fmt::format("no agent is known to hold {}", standby.lease)
                        : fmt::format("{} holds {} and sets the weights", standby.holder, standby.lease);
  out += "; this agent stands by";
  if (!standby.error.empty()) out += " (" + standby.error + ")";
  return out;
}

std::string sparkline(const std::vector<double>& values, std::size_t width) {
  constexpr std::array<std::string_view, 8> kHeights{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const std::size_t first = values.size() > width ? values.size() - width : 0;
  double most = 0;
  for (std::size_t i = first; i < values.size(); ++i) most = std::max(most, values[i]);
  std::string out(width - (values.size() - first), ' ');
  for (std::size_t i = first; i < values.size(); ++i) {
    const double part = most > 0 ? values[i] / most : 0;
    if (values[i] < 0)
      out += ' ';
    else
      out += kHeights.at(static_cast<std::size_t>(std::min(7.0, part * 8)));
  }
  return out;
}

std::vector<std::string> render_top(const TopState& state, const TopView& view) {
  std::vector<std::string> out;
  const bool screen = view.rows > 0;
  std::string title =
      state.time.empty() ? "rpc-weighter" : fmt::format("rpc-weighter  {}  {}", state.time, state.haproxy);
  if (view.paused) title += "  paused";
  out.push_back(coloured(padded(title, view.columns), "1", view.colour));
  if (state.standby) out.push_back(padded(to_text(*state.standby), view.columns));
  constexpr std::size_t kMostErrors = 3;
  for (std::size_t i = 0; i < std::min(state.errors.size(), kMostErrors); ++i)
    out.push_back(coloured(padded(state.errors[i], view.columns), "31", view.colour));
  if (!view.trouble.empty()) out.push_back(coloured(padded(view.trouble, view.columns), "31", view.colour));
  std::size_t name_width = 12;
  for (std::size_t b = 0; b < state.backends.size(); ++b) {
    const TopBackend& backend = state.backends[b];
    if (screen && b != view.backend % state.backends.size()) continue;
    out.push_back(padded(screen && state.backends.size() > 1 ? fmt::format("{} ({} of {}): {}", backend.name, b + 1,
                                                                           state.backends.size(), backend.facts)
                                                             : fmt::format("{}: {}", backend.name, backend.facts),
                         view.columns));
    for (const TopServer& s : backend.servers)
      name_width = std::max(name_width, std::min<std::size_t>(columns_of(s.name), view.columns >= kWide ? 24 : 16));
    out.push_back(header(view, name_width));
    const std::vector<const TopServer*> servers = sorted(backend, view.sort);
    const std::size_t room = screen ? (view.rows > out.size() + 1 ? view.rows - out.size() - 1 : 0) : servers.size();
    const std::size_t first = screen ? std::min(view.scroll, servers.size() > room ? servers.size() - room : 0) : 0;
    for (std::size_t i = first; i < servers.size() && i - first < room; ++i)
      out.push_back(server_line(*servers[i], view, name_width));
  }
  if (!screen) return out;
  while (out.size() + 1 < view.rows) out.emplace_back();
  out.push_back(first_columns(fmt::format("q quit  b backend  s sort: {}  p pause  arrows scroll", name_of(view.sort)),
                              view.columns));
  if (out.size() > view.rows) out.resize(view.rows);
  return out;
}

}  // namespace rpcw::observe
