// Prints the table of docs/tuning.md: an hour of noise and trouble for each strategy, averaged over seeds. It is a
// computation, not a measurement: the same figures on every machine with the same standard library.

#include <fmt/format.h>

#include "model/hour.hpp"

using namespace rpcw;
using namespace rpcw::model;

namespace {

constexpr unsigned kSeeds = 10;

/// Mean over the seeds in which it happened.
class Average {
 public:
  void add(std::optional<double> v) {
    if (!v) return;
    sum_ += *v;
    ++count_;
  }
  /// "-" when it happened in none.
  [[nodiscard]] std::string text(int digits, std::string_view unit) const {
    return count_ == 0 ? "-" : fmt::format("{:.{}f}{}", sum_ / count_, digits, unit);
  }

 private:
  double sum_ = 0;
  unsigned count_ = 0;
};

void row(std::string_view strategy, Trouble trouble) {
  Average pushes, ejections, others, before, during, half, zero, recover;
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    const HourResult r = run_hour(trouble, strategy, seed);
    pushes.add(r.pushes);
    ejections.add(r.ejections);
    others.add(r.others_ejected);
    before.add(r.share_before * 100);
    during.add(r.share_during * 100);
    half.add(r.seconds_to_half);
    zero.add(r.seconds_to_zero);
    recover.add(r.seconds_to_recover);
  }
  const bool has_edges = trouble != Trouble::kNone && trouble != Trouble::kFlapper;
  const auto if_edges = [&](std::string text) { return has_edges ? text : std::string("-"); };
  fmt::print("| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", strategy, to_string(trouble), pushes.text(0, ""),
             ejections.text(1, ""), others.text(1, ""), if_edges(before.text(0, " %")),
             trouble == Trouble::kNone ? "-" : during.text(1, " %"),
             if_edges(half.text(0, " s") + " / " + zero.text(0, " s")), if_edges(recover.text(0, " s")));
}

}  // namespace

int main() {
  fmt::print(
      "| strategy | trouble of the fastest of five | pushes | its ejections | others' | share before | during | "
      "to half / to 0 | back to 3/4 |\n|---|---|---|---|---|---|---|---|---|\n");
  for (const std::string_view strategy : {"adaptive", "inverse-latency", "equal", "leader"})
    for (const Trouble trouble : kTroubles) row(strategy, trouble);
}
