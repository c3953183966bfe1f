#include "traffic/result.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/quantile.hpp"

namespace rpcw::bench {
namespace {

/// The share of one provider over time, as a staircase.
class Staircase {
 public:
  Staircase(const std::vector<Shares>& shares, std::size_t provider) : shares_(shares), provider_(provider) {}

  double at(double s) const {
    const auto after = std::ranges::upper_bound(shares_, s, {}, &Shares::at_s);
    return after == shares_.begin() ? 0.0 : std::prev(after)->parts[provider_];
  }

  /// Mean over [from, to).
  double mean(double from, double to) const {
    return integral(from, to, [](double part) { return part; }) / (to - from);
  }

  /// Seconds of [from, to) with any weight.
  double weighted(double from, double to) const {
    return integral(from, to, [](double part) { return part > 0 ? 1.0 : 0.0; });
  }

  /// The first moment in [from, to) at which it holds.
  template <class Condition>
  std::optional<double> first(double from, double to, Condition holds) const {
    if (holds(at(from))) return from;
    for (const Shares& s : shares_)
      if (s.at_s >= from && s.at_s < to && holds(s.parts[provider_])) return s.at_s;
    return std::nullopt;
  }

 private:
  template <class Value>
  double integral(double from, double to, Value value) const {
    double sum = 0;
    double since = from;
    for (const Shares& s : shares_) {
      if (s.at_s <= since) continue;
      if (s.at_s >= to) break;
      sum += value(at(since)) * (s.at_s - since);
      since = s.at_s;
    }
    return since < to ? sum + value(at(since)) * (to - since) : sum;
  }

  const std::vector<Shares>& shares_;
  const std::size_t provider_;
};

std::optional<double> since(std::optional<double> moment, double start) {
  if (moment) *moment -= start;
  return moment;
}

Reaction reaction_to(const Fault& fault, const Lane& lane, const Scenario& scenario) {
  constexpr double kBefore = 2.0;
  constexpr double kReturned = 0.75;
  const Staircase share(lane.shares, fault.provider);
  const double bad_from = fault.bad_from_s();
  Reaction out;
  out.share_before = share.mean(fault.from_s - kBefore, fault.from_s);
  const auto zero = share.first(bad_from, fault.to_s, [](double part) { return part <= 0; });
  out.to_half_s =
      since(share.first(bad_from, fault.to_s, [&](double part) { return part <= out.share_before / 2; }), bad_from);
  out.to_zero_s = since(zero, bad_from);
  if (zero) out.back_in_s = share.weighted(*zero, fault.to_s);
  out.to_return_s = since(
      share.first(fault.to_s, scenario.seconds, [&](double part) { return part >= kReturned * out.share_before; }),
      fault.to_s);
  for (const Shot& shot : lane.shots) {
    if (shot.verdict == Verdict::kGood || shot.scheduled_s < bad_from || shot.scheduled_s >= fault.to_s) continue;
    // The provider that has not answered, or refused, is not told; with one fault at a time it is clear.
    if (shot.provider >= 0 && static_cast<std::size_t>(shot.provider) != fault.provider) continue;
    ++(!zero || shot.scheduled_s < *zero ? out.bad_until_zero : out.bad_later);
  }
  return out;
}

void add_latencies(const Lane& lane, std::vector<double>& good, std::vector<double>& late) {
  for (const Shot& shot : lane.shots) {
    if (shot.scheduled_s < 0) continue;
    late.push_back(shot.late_ms);
    if (shot.verdict == Verdict::kGood) good.push_back(shot.latency_ms);
  }
}

void set_latencies(Score& score, std::vector<double>& good, std::vector<double>& late) {
  score.median_ms = quantile(good, 0.5);
  score.p99_ms = quantile(good, 0.99);
  score.late_p99_ms = quantile(late, 0.99).value_or(0);
}

}  // namespace

Score score_of(const Lane& lane, const Scenario& scenario) {
  Score out;
  out.contestant = lane.contestant;
  out.by_second.resize(static_cast<std::size_t>(std::ceil(scenario.seconds)));
  for (const Shot& shot : lane.shots) {
    if (shot.scheduled_s < 0) continue;
    const auto verdict = static_cast<std::size_t>(shot.verdict);
    ++out.requests;
    ++out.by_verdict[verdict];
    if (shot.verdict != Verdict::kGood) ++out.by_second[static_cast<std::size_t>(shot.scheduled_s)][verdict];
  }
  std::vector<double> good;
  std::vector<double> late;
  add_latencies(lane, good, late);
  set_latencies(out, good, late);
  for (const Fault& f : scenario.faults) out.reactions.push_back(reaction_to(f, lane, scenario));
  out.probes = lane.probes;
  out.changes =
      static_cast<std::size_t>(std::ranges::count_if(lane.shares, [](const Shares& s) { return s.at_s >= 0; }));
  return out;
}

Summary summarize(std::vector<Run> runs) {
  Summary out;
  out.scenario = runs.front().scenario;
  for (std::size_t c = 0; c < runs.front().lanes.size(); ++c) {
    Score all;
    std::vector<double> good;
    std::vector<double> late;
    std::vector<std::vector<Reaction>> reactions(out.scenario.faults.size());
    for (const Run& run : runs) {
      Score one = score_of(run.lanes[c], run.scenario);
      for (std::size_t f = 0; f < reactions.size(); ++f) reactions[f].push_back(one.reactions[f]);
      add_latencies(run.lanes[c], good, late);
      if (&run == &runs.front()) {
        all = std::move(one);
        continue;
      }
      all.requests += one.requests;
      all.changes += one.changes;
      all.probes += one.probes;
      for (std::size_t v = 0; v < kVerdicts; ++v) all.by_verdict[v] += one.by_verdict[v];
    }
    set_latencies(all, good, late);
    out.scores.push_back(std::move(all));
    out.reactions.push_back(std::move(reactions));
  }
  out.runs = std::move(runs);
  return out;
}

std::vector<std::string> better_than(const Summary& summary, const Score& contestant,
                                     const std::function<bool(std::string_view)>& may_beat) {
  constexpr double kPart = 0.9;
  constexpr double kPercent = 0.05;
  std::vector<std::string> out;
  for (const Score& s : summary.scores) {
    const double theirs = s.bad_percent();
    if (!may_beat(s.contestant) || theirs >= kPart * contestant.bad_percent()) continue;
    if (contestant.bad_percent() - theirs >= kPercent) out.push_back(s.contestant);
  }
  return out;
}

const Score* find(const Summary& summary, std::string_view contestant) {
  const auto it = std::ranges::find(summary.scores, contestant, &Score::contestant);
  return it == summary.scores.end() ? nullptr : &*it;
}

}  // namespace rpcw::bench
