#include "observe/repeat_filter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/text.hpp"

namespace rpcw::observe {
namespace {

/// Empty: such a line is never summed up.
std::string kind_of(const LogLine& line) {
  // Each of these has a fault that can come back for good. A weight that moves is no fault, and the others are written
  // once by themselves.
  constexpr std::array<std::string_view, 9> kRepeating{"state_changed", "fallback_on", "fallback_off",
                                                       "note_on",       "note_off",    "haproxy_up",
                                                       "haproxy_down",  "refused",     "repaired"};
  if (std::ranges::find(kRepeating, line.event) == kRepeating.end()) return {};
  std::string out(line.event);
  for (const auto& [key, value] : line.fields)
    if (key == "backend" || key == "server" || key == "endpoint" || key == "to_state" || key == "note" ||
        key == "error")
      out += fmt::format("\n{}={}", key, value);
  return out;
}

LogLine summary_of(const LogLine& last, unsigned more) {
  LogLine out = last;
  out.event = "summary";
  out.message = fmt::format("{} in a minute: {}", counted(more, "more time"), last.message);
  out.fields.emplace_back("count", fmt::format("{}", more));
  return out;
}

}  // namespace

bool RepeatFilter::end_window(Kind& kind, MonoTime now, std::vector<LogLine>& out) {
  if (now - kind.begun < kWindow) return true;
  if (kind.seen <= kWritten) return false;
  out.push_back(summary_of(kind.last, kind.seen - kWritten));
  // It goes on being summed up as long as it repeats.
  kind.begun = now;
  kind.seen = kWritten;
  return true;
}

std::vector<LogLine> RepeatFilter::due(MonoTime now) {
  std::vector<LogLine> out;
  for (auto at = kinds_.begin(); at != kinds_.end();)
    at = end_window(at->second, now, out) ? std::next(at) : kinds_.erase(at);
  return out;
}

std::vector<LogLine> RepeatFilter::pass(LogLine line, MonoTime now) {
  std::vector<LogLine> out;
  const std::string name = kind_of(line);
  if (name.empty()) {
    out.push_back(std::move(line));
    return out;
  }
  Kind& kind = kinds_.try_emplace(name, Kind{now, 0, {}}).first->second;
  if (!end_window(kind, now, out)) kind = {now, 0, {}};
  if (++kind.seen > kWritten)
    kind.last = std::move(line);
  else
    out.push_back(std::move(line));
  return out;
}

}  // namespace rpcw::observe
