#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace rpcw {

/// HAProxy's largest weight, and the sum that shares add up to.
inline constexpr unsigned kFullWeight = 256;

/// The weight of each of so many servers that share equally; at least 1. Precondition: `servers` is above 0.
constexpr unsigned equal_weight(std::size_t servers) {
  return std::max(1U, kFullWeight / static_cast<unsigned>(servers));
}

/// More servers than this in a backend: shares would be too coarse (a typical one is 4 of 256, so that one step is a
/// quarter of it), and `peak` is used instead.
inline constexpr std::size_t kMostServersForShares = 64;

/// Scores to weights that add up to exactly 256, by largest remainder, ties to the earlier. A quota below 1 becomes 1
/// and leaves; the rest is shared again. No weight exceeds `floor(256 × max_share)`, unless there are too few servers
/// to hold 256 between them, when the cap rises to the least that works.
///
/// The order of the scores is kept: a higher one never gets the smaller weight. Scores that are not finite or below 0
/// count as 0; if all are 0 they are equal. Empty in, empty out.
/// Precondition: at most 256 scores, 0 < max_share <= 1.
std::vector<unsigned> scale_share(std::span<const double> scores, double max_share);

/// `max(1, round(256 × score ÷ best))`, with the same treatment of scores that are not finite. `max_share` caps the
/// part of the sum that one weight holds, as far as whole weights and the number of servers allow.
std::vector<unsigned> scale_peak(std::span<const double> scores, double max_share);

/// Parts of 1 in proportion to `scores`, none above its cap; what is cut off goes to the others by score. If all caps
/// together do not reach 1, the parts are the caps made to add up to 1. Scores are treated as in scale_share; `caps` is
/// as long as `scores`, none negative; if all are 0, all parts are equal.
std::vector<double> shares_below(std::span<const double> scores, std::span<const double> caps);

}  // namespace rpcw
