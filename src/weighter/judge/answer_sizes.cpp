#include "weighter/judge/answer_sizes.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "weighter/constants.hpp"
#include "weighter/state/decay.hpp"

namespace rpcw {

std::optional<double> note_sizes(AnswerSizes& s, const LiveDelta& d, MonoTime now) {
  s.answers += static_cast<double>(d.sized);
  s.bytes += static_cast<double>(d.bytes);
  if (s.answers < constants::kSizeAnswers) return std::nullopt;
  const double sample = natural_log(std::max(s.bytes / s.answers, 1.0));
  s.answers = s.bytes = 0;
  std::optional<double> previous;
  if (s.level.count > 0) previous = s.newest;
  s.newest = sample;
  const LevelTest before = s.level;
  if (s.change && now - s.change->began > constants::kSizeChangeLongest) s.change.reset();
  std::optional<double> off;
  if (before.count > 0) off = sample - (s.change ? s.change->usual : before.centre);
  if (!level_has_changed(s.level, sample, previous, 1.0 / constants::kSizeSpreadSamples)) return off;
  s.level = {.spread = s.level.spread, .centre = sample, .count = 1};
  s.changed_at = now;
  if (s.change) {
    if (std::abs(*off) < constants::kLevelStep / 2) s.change.reset();
  } else if (before.count >= constants::kSizeSamples) {
    s.change = {.usual = before.centre, .began = now};
  }
  return off;
}

void compare_sizes(std::span<TargetHistory> servers, std::span<const std::optional<double>> off, double left) {
  double samples = 0;
  double sum = 0;
  for (const auto& one : off) {
    if (!one) continue;
    samples += 1;
    sum += *one;
  }
  for (std::size_t i = 0; i < servers.size(); ++i) {
    std::optional<SizeChange>& change = servers[i].live.sizes.change;
    if (!change) continue;
    change->others = change->others * left + samples - (off[i] ? 1.0 : 0.0);
    change->others_off = change->others_off * left + sum - off[i].value_or(0.0);
  }
}

bool sizes_differ(const AnswerSizes& s) {
  if (!s.change || s.level.count < constants::kSizeConfirmed) return false;
  const double own = s.level.centre - s.change->usual;
  const double beside_others = own - s.change->others_off / (s.change->others + 1.0);
  const double by_chance = constants::kLiveDeviations * s.level.spread / std::sqrt(s.level.count);
  return std::min(std::abs(own), std::abs(beside_others)) >= std::max(constants::kLevelStep / 2, by_chance);
}

void keep_usual_size(AnswerSizes& sizes) {
  const AnswerSizes before = std::exchange(sizes, {});
  sizes.level.spread = before.level.spread;
  sizes.level.centre = sizes.newest = before.change ? before.change->usual : before.level.centre;
  sizes.level.count = before.change ? constants::kSizeSamples : before.level.count;
}

}  // namespace rpcw
