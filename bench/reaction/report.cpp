#include "reaction/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "common/json.hpp"
#include "common/quantile.hpp"

namespace rpcw::bench {
namespace {

/// The chain id is asked for every 60 s, which trials are too short to see.
constexpr double kIdentityADay = 1440;

std::vector<double> reached(const std::vector<std::optional<double>>& times) {
  std::vector<double> out;
  for (const auto& t : times)
    if (t) out.push_back(*t);
  return out;
}
std::vector<double> reached(const Reactions& r) {
  return reached(r.to_zero_s);
}

void write(JsonResults::Writer& w, const char* name, const std::vector<std::optional<double>>& times) {
  w.Key(name);
  w.StartArray();
  for (const auto& t : times) {
    if (t)
      w.Double(*t);
    else
      w.Null();
  }
  w.EndArray();
}

std::string seconds(std::vector<double> values, double q) {
  const auto value = quantile(values, q);
  return value ? fmt::format("{:.1f} s", *value) : "-";
}

/// The intervals in ascending order.
std::vector<unsigned> intervals(const ReactionResults& results) {
  std::vector<unsigned> out;
  for (const Reactions& r : results.reactions) out.push_back(r.kind.interval_ms);
  std::ranges::sort(out);
  const auto [first, last] = std::ranges::unique(out);
  out.erase(first, last);
  return out;
}

double requests_a_day(const ReactionResults& results, unsigned interval_ms) {
  double sum = 0;
  double n = 0;
  for (const Reactions& r : results.reactions) {
    if (r.kind.interval_ms != interval_ms) continue;
    sum += r.requests_a_day;
    ++n;
  }
  return n > 0 ? sum / n + kIdentityADay : 0;
}

const Reactions* find(const ReactionResults& results, const std::string& kind, unsigned interval_ms) {
  const auto it = std::ranges::find_if(results.reactions, [&](const Reactions& r) {
    return r.kind.kind.name == kind && r.kind.interval_ms == interval_ms;
  });
  return it == results.reactions.end() ? nullptr : &*it;
}

}  // namespace

std::string to_markdown(const ReactionResults& results, const Machine& machine) {
  std::string out;
  const auto to = std::back_inserter(out);
  fmt::format_to(to, "{}\n\n", machine.sentence());
  fmt::format_to(
      to,
      "| fault | interval | trials | to a tenth: median | 90 % | weight 0 in | fastest | median | 90 % | slowest |\n");
  fmt::format_to(to, "|---|---|---|---|---|---|---|---|---|---|\n");
  for (const Reactions& r : results.reactions) {
    const std::vector<double> times = reached(r);
    const std::vector<double> tenth = reached(r.to_tenth_s);
    fmt::format_to(to, "| {} | {} ms | {} | {} | {} | {} | {} | {} | {} | {} |\n", r.kind.kind.name, r.kind.interval_ms,
                   r.to_zero_s.size(), seconds(tenth, 0.5), seconds(tenth, 0.9), times.size(), seconds(times, 0),
                   seconds(times, 0.5), seconds(times, 0.9), seconds(times, 1));
  }
  if (!results.reloads_s.empty())
    fmt::format_to(to,
                   "\nFrom a reload's new worker to the weights that were: {} reloads, fastest {:.2f} s, median {:.2f} "
                   "s, slowest {:.2f} s.\n",
                   results.reloads_s.size(), std::ranges::min(results.reloads_s),
                   *quantile(std::vector<double>(results.reloads_s), 0.5), std::ranges::max(results.reloads_s));

  fmt::format_to(to, "\n| interval | requests a day and server |");
  for (const Kind& k : kinds()) fmt::format_to(to, " {} |", k.name);
  fmt::format_to(to, "\n|---|---|");
  for (std::size_t i = 0; i < kinds().size(); ++i) fmt::format_to(to, "---|");
  for (const unsigned interval : intervals(results)) {
    fmt::format_to(to, "\n| {} ms | {:.0f} |", interval, requests_a_day(results, interval));
    for (const Kind& k : kinds()) {
      const Reactions* r = find(results, k.name, interval);
      fmt::format_to(to, " {} |", r == nullptr ? "" : seconds(reached(*r), 0.5));
    }
  }
  return out + '\n';
}

std::string to_json(const ReactionResults& results, const Machine& machine) {
  JsonResults out(machine, 4);
  auto& w = out.writer;
  w.Key("reactions");
  w.StartArray();
  for (const Reactions& r : results.reactions) {
    w.StartObject();
    w.Key("fault");
    w.String(r.kind.kind.name);
    w.Key("interval_ms");
    w.Uint(r.kind.interval_ms);
    w.Key("requests_a_day");
    w.Double(r.requests_a_day + kIdentityADay);
    write(w, "to_tenth_s", r.to_tenth_s);
    write(w, "to_zero_s", r.to_zero_s);
    w.EndObject();
  }
  w.EndArray();
  w.Key("reloads_s");
  w.StartArray();
  for (const double t : results.reloads_s) w.Double(t);
  w.EndArray();
  return std::move(out).end();
}

std::string cost_chart(const ReactionResults& results) {
  constexpr int kWidth = 720;
  constexpr int kHeight = 420;
  constexpr int kLeft = 60;
  constexpr int kBottom = 360;
  constexpr int kTop = 60;
  constexpr int kPlot = 500;
  constexpr std::array<const char*, 6> kColours{"#0072b2", "#56b4e9", "#009e73", "#e69f00", "#cc79a7", "#d55e00"};
  double most_s = 1;
  double least_a_day = 1e12;
  double most_a_day = 1;
  for (const Reactions& r : results.reactions) {
    std::vector<double> times = reached(r);
    most_s = std::max(most_s, quantile(times, 1).value_or(0));
    const double requests = requests_a_day(results, r.kind.interval_ms);
    least_a_day = std::min(least_a_day, requests);
    most_a_day = std::max(most_a_day, requests);
  }
  const auto x_of = [&](double requests) {
    const double span = std::log(std::max(most_a_day / least_a_day, 1.01));
    return kLeft + 20 + (kPlot - 40) * std::log(requests / least_a_day) / span;
  };
  const auto y_of = [&](double s) { return kBottom - (kBottom - kTop) * s / most_s; };

  std::string out;
  const auto to = std::back_inserter(out);
  fmt::format_to(to,
                 R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" )"
                 R"(font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#ffffff"/>)"
                 R"(<text x="12" y="22" font-size="14" font-weight="bold">Seconds to weight 0 against probe requests )"
                 R"(a day and server</text><text x="12" y="40">median, and from the fastest to the slowest</text>)"
                 "\n",
                 kWidth, kHeight);
  for (double s = 0; s <= most_s; s += most_s > 20 ? 10 : most_s > 8 ? 5 : 1)
    fmt::format_to(to,
                   R"(<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}" stroke="#dddddd"/><text x="{}" y="{:.1f}" )"
                   R"(text-anchor="end">{:.0f} s</text>)"
                   "\n",
                   kLeft, kLeft + kPlot, y_of(s), y_of(s), kLeft - 6, y_of(s) + 4, s);
  for (const unsigned interval : intervals(results)) {
    const double requests = requests_a_day(results, interval);
    fmt::format_to(to,
                   R"(<text x="{0:.1f}" y="{1}" text-anchor="middle">{2:.0f}</text><text x="{0:.1f}" y="{3}" )"
                   R"(text-anchor="middle" fill="#666666">{4} ms</text>)"
                   "\n",
                   x_of(requests), kBottom + 18, requests, kBottom + 34, interval);
  }
  for (std::size_t k = 0; k < kinds().size(); ++k) {
    std::string path;
    for (const unsigned interval : intervals(results)) {
      const Reactions* r = find(results, kinds()[k].name, interval);
      if (r == nullptr) continue;
      std::vector<double> times = reached(*r);
      const auto median = quantile(times, 0.5);
      if (!median) continue;
      const double x = x_of(requests_a_day(results, interval)) + 3.0 * static_cast<double>(k) - 7.5;
      path += fmt::format("{}{:.1f} {:.1f} ", path.empty() ? "M" : "L", x, y_of(*median));
      fmt::format_to(to,
                     R"(<line x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}" stroke="{3}" stroke-opacity="0.5"/>)"
                     R"(<circle cx="{0:.1f}" cy="{4:.1f}" r="3" fill="{3}"/>)"
                     "\n",
                     x, y_of(*quantile(times, 0)), y_of(*quantile(times, 1)), kColours[k], y_of(*median));
    }
    fmt::format_to(to,
                   R"(<path d="{}" fill="none" stroke="{}"/><text x="{}" y="{}" fill="{}">{}{}</text>)"
                   "\n",
                   path, kColours[k], kLeft + kPlot + 12, kTop + 20 + 18 * k, kColours[k], kinds()[k].name,
                   path.empty() ? ": never" : "");
  }
  return out + "</svg>\n";
}

}  // namespace rpcw::bench
