#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "model/world.hpp"

/// An hour of five providers of 25 to 150 ms (lognormal latency, 1 % spikes, 0.2 % losses), and what goes wrong in it.
namespace rpcw::model {

enum class Trouble { kNone, kOutage, kSlow, kErrors, kFlapper };

inline constexpr std::array kTroubles{Trouble::kNone, Trouble::kOutage, Trouble::kSlow, Trouble::kErrors,
                                      Trouble::kFlapper};

inline std::string_view to_string(Trouble t) {
  switch (t) {
    case Trouble::kNone:
      return "noise alone";
    case Trouble::kOutage:
      return "outage of 60 s";
    case Trouble::kSlow:
      return "five times slower for 10 min";
    case Trouble::kErrors:
      return "20 % errors for 10 min";
    case Trouble::kFlapper:
      return "up 2 s, down 2 s, for the hour";
  }
  return "";
}

struct HourResult {
  unsigned pushes = 0;
  /// Times that a server went to weight 0: the one in trouble, and all others together.
  unsigned ejections = 0;
  unsigned others_ejected = 0;
  /// Part of the traffic of the one in trouble, in [0, 1], averaged over time: before, during, and in the ten minutes
  /// after the trouble.
  double share_before = 0;
  double share_during = 0;
  double share_after = 0;
  /// From the beginning of the trouble, in s; absent: it never came to that.
  std::optional<double> seconds_to_half;
  std::optional<double> seconds_to_zero;
  /// From the trouble's end to three quarters of the share before: nearer than a dead band no return comes.
  std::optional<double> seconds_to_recover;
};

inline HourResult run_hour(Trouble trouble, std::string_view strategy, unsigned seed) {
  constexpr double kStart = 1800;
  const double end = trouble == Trouble::kOutage ? kStart + 60 : kStart + 600;
  constexpr std::array kLatencies{25.0, 40.0, 60.0, 90.0, 150.0};
  World w(kLatencies.size(), strategy, seed, [&](std::size_t i, double s) {
    Behaviour b;
    b.latency_ms = kLatencies[i];
    b.sigma = 0.25;
    b.spike = 10;
    b.spike_ratio = 0.01;
    b.loss = 0.002;
    const bool in_trouble = i == 0 && s >= kStart && s < end;
    if (trouble == Trouble::kFlapper && i == 0 && std::fmod(s, 4.0) >= 2.0) b.loss = 1;
    if (!in_trouble) return b;
    if (trouble == Trouble::kOutage) b.loss = 1;
    if (trouble == Trouble::kSlow) b.latency_ms *= 5;
    if (trouble == Trouble::kErrors) {
      b.loss = 0.2;
      b.loss_reason = Reason::kHttpStatus;
    }
    return b;
  });
  HourResult out;
  std::vector<unsigned> last(kLatencies.size(), 1);
  struct Mean {
    double sum = 0;
    double time = 0;
  } before, during, after;
  double last_s = 0;
  double share = 0;
  w.run(3600, [&](const BackendDecision& d, double s) {
    const double start = trouble == Trouble::kFlapper ? 0.0 : kStart;
    Mean& m = s < start ? before : (s < end || trouble == Trouble::kFlapper) ? during : after;
    const bool counts = s >= 60 && s < end + 600;
    if (counts || trouble == Trouble::kFlapper) {
      m.sum += share * (s - last_s);
      m.time += s - last_s;
    }
    last_s = s;
    share = d.servers[0].weight / 256.0;
    const double usual = before.time > 0 ? before.sum / before.time : 0.0;
    if (s >= kStart && s < end && !out.seconds_to_half && share <= usual / 2) out.seconds_to_half = s - kStart;
    if (s >= kStart && s < end && !out.seconds_to_zero && d.servers[0].weight == 0) out.seconds_to_zero = s - kStart;
    if (s >= end && !out.seconds_to_recover && share >= 0.75 * usual) out.seconds_to_recover = s - end;
    for (std::size_t i = 0; i < last.size(); ++i) {
      if (last[i] > 0 && d.servers[i].weight == 0) ++(i == 0 ? out.ejections : out.others_ejected);
      last[i] = d.servers[i].weight;
    }
  });
  const auto mean = [](const Mean& m) { return m.time > 0 ? m.sum / m.time : 0.0; };
  out.share_before = mean(before);
  out.share_during = mean(during);
  out.share_after = mean(after);
  out.pushes = w.pushes;
  return out;
}

}  // namespace rpcw::model
