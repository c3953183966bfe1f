#include "weighter/allocate/scale.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

namespace rpcw {
namespace {

/// Scores relative to the best, each in [0, 1]; all 1 when none is above 0.
std::vector<double> relative_to_best(std::span<const double> scores) {
  std::vector<double> out(scores.size());
  std::ranges::transform(scores, out.begin(), [](double s) { return std::isfinite(s) && s > 0 ? s : 0.0; });
  const double best = out.empty() ? 0.0 : std::ranges::max(out);
  for (double& s : out) s = best > 0 ? s / best : 1.0;
  return out;
}

/// Shares `total` among `scores`, none above its cap; what is cut off goes to the others by score.
/// Precondition: the caps add up to at least `total`, but for rounding.
std::vector<double> share_below_caps(std::span<const double> scores, double total, std::span<const double> caps) {
  std::vector<double> quota(scores.size(), 0.0);
  std::vector<bool> capped(scores.size(), false);
  double left = total;
  for (;;) {
    double sum = 0;
    std::size_t open = 0;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (capped[i]) continue;
      sum += scores[i];
      ++open;
    }
    bool again = false;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (capped[i]) continue;
      quota[i] = sum > 0 ? left * scores[i] / sum : left / static_cast<double>(open);
      if (quota[i] > caps[i]) again = true;
    }
    if (!again) return quota;
    // Cap all that overflow in one go: capping one only raises the others.
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (capped[i] || quota[i] <= caps[i]) continue;
      capped[i] = true;
      quota[i] = caps[i];
      left -= caps[i];
    }
  }
}

std::vector<double> share_below_cap(std::span<const double> scores, double total, double cap) {
  return share_below_caps(scores, total, std::vector<double>(scores.size(), cap));
}

}  // namespace

std::vector<unsigned> scale_share(std::span<const double> scores, double max_share) {
  const std::size_t n = scores.size();
  assert(n <= kFullWeight && max_share > 0 && max_share <= 1);
  if (n == 0) return {};
  const std::vector<double> relative = relative_to_best(scores);
  // A whole cap, so that rounding cannot push a capped server over it.
  const auto least_that_works = static_cast<unsigned>((kFullWeight + n - 1) / n);
  const unsigned cap = std::max(static_cast<unsigned>(std::floor(kFullWeight * max_share)), least_that_works);

  std::vector<unsigned> weight(n, 0);
  std::vector<std::size_t> open(n);
  std::iota(open.begin(), open.end(), std::size_t{0});
  unsigned left = kFullWeight;
  std::vector<double> quota;
  for (;;) {
    std::vector<double> open_scores;
    open_scores.reserve(open.size());
    for (std::size_t i : open) open_scores.push_back(relative[i]);
    quota = share_below_cap(open_scores, left, cap);
    std::vector<std::size_t> rest;
    for (std::size_t k = 0; k < open.size(); ++k) {
      if (quota[k] < 1.0) {
        weight[open[k]] = 1;
        --left;
      } else {
        rest.push_back(open[k]);
      }
    }
    if (rest.size() == open.size()) break;
    open = std::move(rest);
    if (open.empty()) return weight;
  }

  unsigned given = 0;
  for (std::size_t k = 0; k < open.size(); ++k) {
    weight[open[k]] = std::min(static_cast<unsigned>(std::floor(quota[k])), cap);
    given += weight[open[k]];
  }
  std::vector<std::size_t> by_remainder(open.size());
  std::iota(by_remainder.begin(), by_remainder.end(), std::size_t{0});
  std::ranges::stable_sort(by_remainder, [&](std::size_t a, std::size_t b) {
    return quota[a] - std::floor(quota[a]) > quota[b] - std::floor(quota[b]);
  });
  // Rounding noise can make the floors miss by more than one a server when quotas sit on whole numbers, so go round.
  for (std::size_t at = 0; given < left; at = (at + 1) % by_remainder.size()) {
    unsigned& w = weight[open[by_remainder[at]]];
    if (w >= cap) continue;
    ++w;
    ++given;
  }
  return weight;
}

std::vector<double> shares_below(std::span<const double> scores, std::span<const double> caps) {
  const double room = std::accumulate(caps.begin(), caps.end(), 0.0);
  if (room > 1.0) return share_below_caps(relative_to_best(scores), 1.0, caps);
  std::vector<double> out(caps.begin(), caps.end());
  for (double& part : out) part = room > 0 ? part / room : 1.0 / static_cast<double>(caps.size());
  return out;
}

std::vector<unsigned> scale_peak(std::span<const double> scores, double max_share) {
  std::vector<double> relative = relative_to_best(scores);
  const auto n = static_cast<double>(scores.size());
  if (max_share < 1.0 && n > 1) {
    const double total = std::accumulate(relative.begin(), relative.end(), 0.0);
    relative = share_below_cap(relative, total, std::max(max_share, 1.0 / n) * total);
    relative = relative_to_best(relative);
  }
  std::vector<unsigned> weight(scores.size());
  std::ranges::transform(relative, weight.begin(),
                         [](double r) { return std::max(1U, static_cast<unsigned>(std::lround(r * kFullWeight))); });
  return weight;
}

}  // namespace rpcw
