#include "weighter/allocate/scale.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "model/effort.hpp"

using namespace rpcw;

namespace {

using Weights = std::vector<unsigned>;

unsigned sum(const Weights& w) {
  return std::accumulate(w.begin(), w.end(), 0U);
}

/// A higher score never has the smaller weight.
bool keeps_order(const std::vector<double>& scores, const Weights& weights) {
  for (std::size_t i = 0; i < scores.size(); ++i)
    for (std::size_t j = 0; j < scores.size(); ++j)
      if (scores[i] > scores[j] && weights[i] < weights[j]) return false;
  return true;
}

std::vector<double> random_scores(std::mt19937& random, std::size_t n) {
  std::uniform_int_distribution<int> kind(0, 4);
  std::vector<double> out(n);
  for (double& s : out) {
    switch (kind(random)) {
      case 0:
        s = std::uniform_real_distribution<>(0, 1)(random);
        break;
      case 1:
        s = std::exp(std::uniform_real_distribution<>(-600, 600)(random));
        break;
      case 2:
        s = 1;
        break;
      case 3:
        s = std::uniform_int_distribution<int>(1, 20)(random);
        break;
      default:
        s = 1e-12;
    }
  }
  return out;
}

}  // namespace

TEST_CASE("share: literal cases") {
  struct Row {
    std::vector<double> scores;
    double max_share;
    Weights weights;
  };
  const std::vector<Row> rows{
      {{}, 1, {}},
      {{7}, 1, {256}},
      {{1, 1}, 1, {128, 128}},
      // 85.33 each: the odd one goes to the first in the file.
      {{1, 1, 1}, 1, {86, 85, 85}},
      {{3, 1}, 1, {192, 64}},
      // 0.0078 : 0.0039 : 0.0013 of 256
      {{6, 3, 1}, 1, {153, 77, 26}},
      // A quota of 0.26 becomes 1, and the other two share 255.
      {{500, 499, 1}, 1, {128, 127, 1}},
      {{1, 0}, 1, {255, 1}},
      {{0, 0}, 1, {128, 128}},
      {{100, 1, 1}, 0.5, {128, 64, 64}},
      // The cut goes to the others by score.
      {{100, 2, 1}, 0.5, {128, 85, 43}},
      // 0.3 × 256 is 76.8, and 77 would be over it; but three times 76 is not 256, so there the cap is 86.
      {{9, 8, 7}, 0.3, {86, 86, 84}},
      {{9, 5, 4, 1}, 0.3, {76, 76, 76, 28}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.scores);
    CAPTURE(row.max_share);
    CHECK(scale_share(row.scores, row.max_share) == row.weights);
  }
}

TEST_CASE("peak: literal cases") {
  CHECK(scale_peak(std::vector<double>{}, 1) == Weights{});
  CHECK(scale_peak(std::vector<double>{4, 2, 1}, 1) == Weights{256, 128, 64});
  CHECK(scale_peak(std::vector<double>{4, 0.0001}, 1) == Weights{256, 1});
  CHECK(scale_peak(std::vector<double>{0, 0}, 1) == Weights{256, 256});
  CHECK(scale_peak(std::vector<double>{100, 1, 1}, 0.5) == Weights{256, 128, 128});
}

TEST_CASE("scaling holds its promises for any scores of 1 to 300 servers") {
  for (unsigned seed = 1; seed <= model::tried(3000); ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const std::size_t n = std::uniform_int_distribution<std::size_t>(1, 300)(random);
    const std::vector<double> scores = random_scores(random, n);
    const double max_share = seed % 3 == 0 ? std::uniform_real_distribution<>(0.01, 1)(random) : 1.0;

    const Weights peak = scale_peak(scores, max_share);
    REQUIRE(peak.size() == n);
    REQUIRE(std::ranges::max(peak) == 256);
    REQUIRE(std::ranges::min(peak) >= 1);
    REQUIRE(keeps_order(scores, peak));

    if (n > kFullWeight) continue;
    const Weights share = scale_share(scores, max_share);
    REQUIRE(share.size() == n);
    REQUIRE(sum(share) == kFullWeight);
    REQUIRE(std::ranges::min(share) >= 1);
    REQUIRE(keeps_order(scores, share));
    const auto cap =
        std::max(static_cast<unsigned>(std::floor(256 * max_share)), static_cast<unsigned>((kFullWeight + n - 1) / n));
    REQUIRE(std::ranges::max(share) <= cap);
  }
}

TEST_CASE("scaling survives what is not a score") {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInf = std::numeric_limits<double>::infinity();
  for (const std::vector<double>& scores : {std::vector<double>{kNan, 1},
                                            {kInf, 1},
                                            {-kInf, -1},
                                            {kNan, kNan, kNan},
                                            {1e308, 1e308, 1e308},
                                            {5e-324, 5e-324}}) {
    const Weights share = scale_share(scores, 1);
    CHECK(sum(share) == kFullWeight);
    CHECK(std::ranges::min(share) >= 1);
    const Weights peak = scale_peak(scores, 1);
    CHECK(std::ranges::max(peak) == 256);
    CHECK(std::ranges::min(peak) >= 1);
  }
  CHECK(scale_share(std::vector<double>{kNan, 1}, 1) == Weights{1, 255});
}

TEST_CASE("shares below their caps") {
  using Parts = std::vector<double>;
  const auto check = [](const Parts& scores, const Parts& caps, const Parts& expected) {
    const Parts got = shares_below(scores, caps);
    REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(expected[i]));
  };
  check({3, 1}, {2, 2}, {0.75, 0.25});
  check({3, 1}, {0.5, 2}, {0.5, 0.5});
  check({6, 3, 1}, {0.1, 2, 2}, {0.1, 0.675, 0.225});
  check({3, 1}, {0.3, 0.3}, {0.5, 0.5});
  check({0, 0}, {2, 2}, {0.5, 0.5});
  check({}, {}, {});
}
