#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "traffic/arena.hpp"

/// What a run comes to: pure functions of what was recorded.
namespace rpcw::bench {

/// One contestant and one fault. Shares are parts of the traffic that HAProxy was told to give, in [0, 1].
struct Reaction {
  /// Mean over the two seconds before the fault began.
  double share_before = 0;
  /// Too little for the rest to mean anything.
  bool had_none() const { return share_before < 0.01; }
  /// From the moment that the answers were bad until the share was at most half of `share_before`, and 0. 0: it was so
  /// already. Absent: never before the fault's end.
  std::optional<double> to_half_s;
  std::optional<double> to_zero_s;
  /// Bad answers of this provider, and failures without a provider, to requests of the time of the fault: while it
  /// first had a weight, and after that.
  std::size_t bad_until_zero = 0;
  std::size_t bad_later = 0;
  /// Seconds of the fault during which it had a weight again.
  double back_in_s = 0;
  /// From the fault's end until it had three quarters of `share_before` again. Absent: not within the scenario.
  std::optional<double> to_return_s;
};

struct Score {
  std::string contestant;
  std::size_t requests = 0;
  std::array<std::size_t, kVerdicts> by_verdict{};
  /// Of the good answers; absent if there are none.
  std::optional<double> median_ms;
  std::optional<double> p99_ms;
  /// Bad answers by verdict, for each second of the scenario.
  std::vector<std::array<std::size_t, kVerdicts>> by_second;
  /// As the scenario's faults.
  std::vector<Reaction> reactions;
  /// Times that the shares changed.
  std::size_t changes = 0;
  /// As Lane::probes.
  std::uint64_t probes = 0;
  /// The 99th percentile of how late the load generator sent: noise of the machine that all contestants share.
  double late_p99_ms = 0;

  std::size_t bad() const { return requests - by_verdict[0]; }
  /// Per cent of the requests; 0 without any.
  double bad_percent() const { return percent(bad()); }
  double percent(Verdict verdict) const { return percent(by_verdict[static_cast<std::size_t>(verdict)]); }

 private:
  double percent(std::size_t n) const {
    return requests == 0 ? 0.0 : 100.0 * static_cast<double>(n) / static_cast<double>(requests);
  }
};

Score score_of(const Lane& lane, const Scenario& scenario);

/// The runs of one scenario under several seeds as one. Counts are sums; percentiles are of all answers together.
struct Summary {
  Scenario scenario;
  std::vector<Run> runs;
  /// By contestant, all runs together. `by_second` is the first run's, as are the reactions' moments below.
  std::vector<Score> scores;
  /// By contestant, by fault, by run.
  std::vector<std::vector<std::vector<Reaction>>> reactions;
};

/// `runs` are of one scenario and the same contestants, and at least one.
Summary summarize(std::vector<Run> runs);

/// Those that had fewer bad answers than `contestant` in this scenario, among the ones that `may_beat` takes. Within a
/// tenth, or a twentieth of a per cent of all answers, none is better: that is chance.
std::vector<std::string> better_than(const Summary& summary, const Score& contestant,
                                     const std::function<bool(std::string_view)>& may_beat);

/// nullptr if it did not take part.
const Score* find(const Summary& summary, std::string_view contestant);

}  // namespace rpcw::bench
