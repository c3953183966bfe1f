#include "traffic/chart.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "common/svg.hpp"

namespace rpcw::bench {
namespace {

constexpr int kWidth = 960;
constexpr int kLeft = 150;
constexpr int kRight = 60;
constexpr int kPlot = kWidth - kLeft - kRight;
constexpr int kTop = 64;

/// By verdict; good answers are not drawn.
constexpr std::array<const char*, kVerdicts> kColours{"#ffffff", "#e69f00", "#cc79a7", "#d55e00", "#56b4e9", "#444444"};
/// By provider, fastest first.
constexpr std::array<const char*, 5> kProviderColours{"#0072b2", "#56b4e9", "#009e73", "#f0e442", "#cccccc"};

void verdict_legend(Svg& svg) {
  std::vector<std::string> names;
  std::vector<const char*> colours;
  for (std::size_t v = 1; v < kVerdicts; ++v) {
    names.emplace_back(to_string(static_cast<Verdict>(v)));
    colours.push_back(kColours[v]);
  }
  svg.legend(kLeft, names, colours);
}

double x_of(double second, const Scenario& scenario) {
  return kLeft + kPlot * second / scenario.seconds;
}

/// Shaded bands, behind the strips that follow.
void faults(Svg& svg, const Scenario& scenario, int height) {
  for (const Fault& f : scenario.faults) {
    const double x = x_of(f.bad_from_s(), scenario);
    svg.rect(x, kTop, x_of(f.to_s, scenario) - x, height, "#f3f3f3",
             fmt::format("{}: {}", providers()[f.provider].name, f.kind));
  }
  // Faults that begin together share a label's place.
  double last = -1e9;
  int row = 0;
  for (const Fault& f : scenario.faults) {
    const double x = x_of(f.bad_from_s(), scenario);
    row = x - last < 90 ? row + 1 : 0;
    if (row == 0) last = x;
    svg.add(R"(<text x="{:.1f}" y="{}" font-size="10" fill="#555555">{}</text>)", x + 2, kTop + height + 12 + 11 * row,
            escaped(fmt::format("{} {}", providers()[f.provider].name, f.kind)));
  }
}

constexpr int kStrip = 42;
constexpr int kGap = 8;

int strips_height(const Summary& summary) {
  return static_cast<int>(summary.scores.size()) * (kStrip + kGap);
}

Svg strips(const Summary& summary, std::string_view title) {
  const int height = strips_height(summary);
  Svg svg(kWidth, kTop + height + 76, title);
  faults(svg, summary.scenario, height);
  for (std::size_t c = 0; c < summary.scores.size(); ++c)
    svg.text(kLeft - 8, kTop + static_cast<double>(c) * (kStrip + kGap) + kStrip - 6, summary.scores[c].contestant,
             "end");
  return svg;
}

}  // namespace

std::string bars(const Summary& summary) {
  constexpr int kBar = 18;
  constexpr int kStep = 26;
  const auto n = static_cast<int>(summary.scores.size());
  double most = 0.1;
  for (const Score& s : summary.scores) most = std::max(most, s.bad_percent());
  Svg svg(kWidth, kTop + n * kStep + 16, fmt::format("{}: bad answers, per cent", summary.scenario.name));
  verdict_legend(svg);
  for (int c = 0; c < n; ++c) {
    const Score& s = summary.scores[static_cast<std::size_t>(c)];
    const double y = kTop + c * kStep;
    double x = kLeft;
    svg.text(kLeft - 8, y + 13, s.contestant, "end");
    for (std::size_t v = 1; v < kVerdicts; ++v) {
      const double percent = s.percent(static_cast<Verdict>(v));
      const double width = kPlot * percent / most;
      if (width > 0)
        svg.rect(x, y, width, kBar, kColours[v],
                 fmt::format("{} {:.2f} %", to_string(static_cast<Verdict>(v)), percent));
      x += width;
    }
    svg.text(x + 6, y + 13, fmt::format("{:.2f} %", s.bad_percent()));
  }
  return std::move(svg).end();
}

std::string timeline(const Summary& summary) {
  std::size_t most = 1;
  for (const Score& s : summary.scores)
    for (const auto& second : s.by_second) {
      std::size_t bad = 0;
      for (const std::size_t n : second) bad += n;
      most = std::max(most, bad);
    }
  Svg svg =
      strips(summary, fmt::format("{}: bad answers in each second (a full strip is {})", summary.scenario.name, most));
  verdict_legend(svg);
  const double width = kPlot / summary.scenario.seconds;
  for (std::size_t c = 0; c < summary.scores.size(); ++c) {
    const Score& s = summary.scores[c];
    const double base = kTop + static_cast<double>(c) * (kStrip + kGap) + kStrip;
    svg.rect(kLeft, base, kPlot, 0.5, "#999999");
    svg.text(kLeft + kPlot + 6, base - 6, fmt::format("{:.2f} %", s.bad_percent()));
    for (std::size_t i = 0; i < s.by_second.size(); ++i) {
      double y = base;
      for (std::size_t v = 1; v < kVerdicts; ++v) {
        const double height = kStrip * static_cast<double>(s.by_second[i][v]) / static_cast<double>(most);
        y -= height;
        if (height > 0) svg.rect(kLeft + width * static_cast<double>(i), y, width, height, kColours[v]);
      }
    }
  }
  return std::move(svg).end();
}

std::string shares(const Summary& summary) {
  Svg svg = strips(summary, fmt::format("{}: the providers' shares of the traffic", summary.scenario.name));
  std::vector<std::string> names;
  for (const ProviderSpec& p : providers()) names.push_back(p.name);
  svg.legend(kLeft, names, kProviderColours);
  const Run& run = summary.runs.front();
  for (std::size_t c = 0; c < run.lanes.size(); ++c) {
    const std::vector<Shares>& steps = run.lanes[c].shares;
    const double base = kTop + static_cast<double>(c) * (kStrip + kGap) + kStrip;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const double from = std::max(steps[i].at_s, 0.0);
      const double to = std::min(i + 1 < steps.size() ? steps[i + 1].at_s : run.scenario.seconds, run.scenario.seconds);
      if (to <= from) continue;
      double y = base;
      for (std::size_t p = 0; p < providers().size(); ++p) {
        const double height = kStrip * steps[i].parts[p];
        y -= height;
        if (height > 0)
          svg.rect(x_of(from, run.scenario), y, kPlot * (to - from) / run.scenario.seconds, height,
                   kProviderColours[p]);
      }
    }
    // The faulty one's times, over its strip.
    for (const Fault& f : run.scenario.faults)
      svg.add(R"(<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="3" fill="#d55e00"/>)",
              x_of(f.bad_from_s(), run.scenario), base + 1, kPlot * (f.to_s - f.bad_from_s()) / run.scenario.seconds);
  }
  return std::move(svg).end();
}

}  // namespace rpcw::bench
