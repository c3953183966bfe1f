#include "scale/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "common/json.hpp"
#include "common/markdown.hpp"
#include "common/quantile.hpp"
#include "common/svg.hpp"

namespace rpcw::bench {
namespace {

struct Measure {
  std::string_view name;
  double Spent::*value;
  /// Of the floor's.
  double goal;
};
constexpr std::array<Measure, 3> kMeasures{
    {{"wall time", &Spent::wall_s, 1.25}, {"CPU", &Spent::cpu_s, 1.5}, {"memory", &Spent::memory_mb, 1.3}}};

constexpr std::size_t kAbsoluteAt = 1000;
constexpr double kMostCpuS = 0.15;
constexpr double kMostMb = 40;
constexpr double kMostIdlePercent = 0.3;
constexpr double kMostIdleMb = 12;
constexpr double kMostStartS = 0.050;

std::vector<double> values(const std::vector<Spent>& runs, double Spent::*value) {
  std::vector<double> out;
  for (const Spent& s : runs) out.push_back(s.*value);
  return out;
}

double median(std::vector<double> of) {
  return quantile(of, 0.5).value_or(0);
}
double median(const std::vector<Spent>& runs, double Spent::*value) {
  return median(values(runs, value));
}

/// Of each run to the floor's run beside it, so that what the machine did meanwhile falls on both.
double ratio(const Passes& p, double Spent::*value) {
  std::vector<double> out;
  for (std::size_t i = 0; i < p.ours.size(); ++i) out.push_back(p.ours[i].*value / p.floor[i].*value);
  return median(std::move(out));
}

std::string judged(double value, double goal, int digits) {
  return fmt::format("{:.{}f} ({})", value, digits, value <= goal ? "met" : "missed");
}

std::string spent_text(const std::vector<Spent>& runs) {
  return fmt::format("{:.0f} ms, {:.0f} ms, {:.1f} MB", 1e3 * median(runs, &Spent::wall_s),
                     1e3 * median(runs, &Spent::cpu_s), median(runs, &Spent::memory_mb));
}

void passes_tables(Markdown& out, const ScaleResults& results) {
  out.head({"providers", "runs", "rpc-weighter: wall, CPU, memory", "floor", "floor, heads alone",
            "script for Node.js, heads alone", "requests", "connections (floor)"});
  for (const Passes& p : results.passes)
    out.row({fmt::format("{}", p.providers), fmt::format("{}", p.ours.size()), spent_text(p.ours), spent_text(p.floor),
             spent_text(p.heads_floor), p.script.empty() ? "-" : spent_text(p.script), fmt::format("{}", p.requests),
             fmt::format("{} ({})", p.our_connections, p.floor_connections)});
  out.line("");
  std::vector<std::string> head{"rpc-weighter / floor"};
  for (const Measure& m : kMeasures) head.push_back(fmt::format("{} (goal {})", m.name, m.goal));
  out.head(head);
  for (const Passes& p : results.passes) {
    std::vector<std::string> row{fmt::format("{}", p.providers)};
    for (const Measure& m : kMeasures) row.push_back(judged(ratio(p, m.value), m.goal, 2));
    out.row(row);
  }
  out.line("");
}

void goals(Markdown& out, const ScaleResults& results) {
  out.head({"", "measured", "goal"});
  const auto at = std::ranges::find(results.passes, kAbsoluteAt, &Passes::providers);
  if (at != results.passes.end()) {
    out.row({"CPU of a pass over 1,000 providers, s", judged(median(at->ours, &Spent::cpu_s), kMostCpuS, 3),
             fmt::format("{}", kMostCpuS)});
    out.row({"memory of that pass, MB", judged(median(at->ours, &Spent::memory_mb), kMostMb, 1),
             fmt::format("{}", kMostMb)});
  }
  if (results.idle) {
    out.row({fmt::format("idle agent over {:.0f} s, five providers over TLS: CPU, % of a core", results.idle->seconds),
             judged(results.idle->cpu_percent, kMostIdlePercent, 2), fmt::format("{}", kMostIdlePercent)});
    out.row({fmt::format("its own memory (RssAnon), MB; resident are {:.1f}", results.idle->resident_mb),
             judged(results.idle->own_mb, kMostIdleMb, 1), fmt::format("{}", kMostIdleMb)});
  }
  if (results.starts) {
    const auto row = [&](std::string_view what, const std::vector<double>& times) {
      out.row({fmt::format("{} beyond the slowest provider's {:.0f} ms, median of {}, ms (slowest run {:.0f})", what,
                           1e3 * results.starts->slowest_s, times.size(), 1e3 * std::ranges::max(times)),
               judged(1e3 * median(times), 1e3 * kMostStartS, 0), fmt::format("{:.0f}", 1e3 * kMostStartS)});
    };
    row("`run`, from its start to the first weight that HAProxy has,", results.starts->run_s);
    row("`once`, from its start to its end,", results.starts->once_s);
  }
}

using Writer = JsonResults::Writer;

void put(Writer& w, const char* key, double value) {
  w.Key(key);
  w.Double(value);
}

void put(Writer& w, const char* key, const std::vector<double>& these) {
  w.Key(key);
  w.StartArray();
  for (const double v : these) w.Double(v);
  w.EndArray();
}

void put(Writer& w, const char* key, const std::vector<Spent>& runs) {
  w.Key(key);
  w.StartObject();
  put(w, "wall_s", values(runs, &Spent::wall_s));
  put(w, "cpu_s", values(runs, &Spent::cpu_s));
  put(w, "memory_mb", values(runs, &Spent::memory_mb));
  w.EndObject();
}

}  // namespace

std::string to_markdown(const ScaleResults& results, const Machine& machine) {
  Markdown out;
  out.line("{}", machine.sentence());
  out.line("");
  if (!results.passes.empty()) passes_tables(out, results);
  goals(out, results);
  return std::move(out).end();
}

std::string to_json(const ScaleResults& results, const Machine& machine) {
  JsonResults out(machine);
  auto& w = out.writer;
  w.Key("passes");
  w.StartArray();
  for (const Passes& p : results.passes) {
    w.StartObject();
    w.Key("providers");
    w.Uint64(p.providers);
    w.Key("requests");
    w.Uint64(p.requests);
    put(w, "ours", p.ours);
    put(w, "floor", p.floor);
    put(w, "floor_heads_alone", p.heads_floor);
    put(w, "script_heads_alone", p.script);
    w.Key("ratios");
    w.StartObject();
    put(w, "wall", ratio(p, &Spent::wall_s));
    put(w, "cpu", ratio(p, &Spent::cpu_s));
    put(w, "memory", ratio(p, &Spent::memory_mb));
    w.EndObject();
    w.EndObject();
  }
  w.EndArray();
  if (results.idle) {
    w.Key("idle");
    w.StartObject();
    put(w, "seconds", results.idle->seconds);
    put(w, "cpu_percent", results.idle->cpu_percent);
    put(w, "rss_anon_mb", results.idle->own_mb);
    put(w, "rss_mb", results.idle->resident_mb);
    w.EndObject();
  }
  if (results.starts) {
    w.Key("starts");
    w.StartObject();
    put(w, "slowest_provider_s", results.starts->slowest_s);
    put(w, "run_beyond_s", results.starts->run_s);
    put(w, "once_beyond_s", results.starts->once_s);
    w.EndObject();
  }
  return std::move(out).end();
}

std::string ratio_chart(const ScaleResults& results) {
  constexpr int kWidth = 720;
  constexpr int kLeft = 120;
  constexpr int kPlot = 520;
  constexpr int kTop = 64;
  constexpr int kBar = 16;
  constexpr int kGroup = 72;
  constexpr std::array<const char*, 3> kColours{"#0072b2", "#e69f00", "#009e73"};
  double most = 1.6;
  for (const Passes& p : results.passes)
    for (const Measure& m : kMeasures) most = std::max(most, ratio(p, m.value));
  const int height = kTop + kGroup * static_cast<int>(results.passes.size()) + 16;
  Svg svg(kWidth, height, "A pass of rpc-weighter beside a bare libcurl loop, which is 1; grey marks are the goals");
  svg.legend(kLeft, std::array<std::string_view, 3>{"wall time", "CPU", "memory"}, kColours);
  const auto x_of = [&](double value) { return kLeft + kPlot * value / most; };
  for (std::size_t g = 0; g < results.passes.size(); ++g) {
    const Passes& p = results.passes[g];
    const double top = kTop + kGroup * static_cast<double>(g);
    svg.text(kLeft - 8, top + 30, fmt::format("{} providers", p.providers), "end");
    for (std::size_t m = 0; m < kMeasures.size(); ++m) {
      const double value = ratio(p, kMeasures[m].value);
      const double y = top + (kBar + 3) * static_cast<double>(m);
      svg.rect(kLeft, y, kPlot * value / most, kBar, kColours[m]);
      svg.rect(x_of(kMeasures[m].goal), y, 2, kBar, "#777777", fmt::format("goal {}", kMeasures[m].goal));
      svg.text(std::max(x_of(value), x_of(kMeasures[m].goal)) + 6, y + 12, fmt::format("{:.2f}", value));
    }
  }
  svg.rect(x_of(1), kTop - 6, 1, height - kTop - 10, "#000000");
  return std::move(svg).end();
}

}  // namespace rpcw::bench
