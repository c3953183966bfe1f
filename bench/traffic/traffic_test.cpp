// The parts that decide what the figures mean: judging answers, the oracle, and what is computed from a run.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "sim/sim.hpp"
#include "traffic/answer.hpp"
#include "traffic/computed.hpp"
#include "traffic/oracle.hpp"
#include "traffic/result.hpp"

using namespace rpcw::bench;

namespace {

constexpr Truth kTruth{.sent = 2000, .received = 2001};
const std::string kResult = R"({"jsonrpc":"2.0","id":1,"result":"0x1"})";

Verdict judged(std::string body, std::uint64_t height = 2000, unsigned status = 200,
               std::uint64_t chain_id = kChainId) {
  return judge({Answer::End::kComplete, status, std::move(body),
                fmt::format("{} {}", height, sim::block_hash(chain_id, height)), "p15"},
               kTruth);
}

/// Answers evenly over ten seconds, ten a second; those of seconds [from, to) are stale ones of provider 0.
Lane lane_with_stale(double from, double to, std::vector<Shares> shares) {
  Lane lane{.contestant = "x", .shots = {}, .shares = std::move(shares), .probes = 0, .log = {}};
  for (int i = -10; i < 100; ++i) {
    const double at = i / 10.0;
    const bool stale = at >= from && at < to;
    lane.shots.push_back({at, 20.0 + i % 10, 0.5, stale ? Verdict::kStale : Verdict::kGood, 0});
  }
  return lane;
}

Scenario one_fault(double from, double to) {
  return {"x", "x", 10, {{"stale", 0, from, to, R"({"frozen":true})"}}};
}

}  // namespace

TEST_CASE("an answer is judged by what it is worth to its client") {
  CHECK(judged(kResult) == Verdict::kGood);
  CHECK(judged(kResult, 2001) == Verdict::kGood);
  CHECK(judged(kResult, 2000 - kMaxLagBlocks) == Verdict::kGood);
  CHECK(judged(kResult, 2000 - kMaxLagBlocks - 1) == Verdict::kStale);
  CHECK(judged(kResult, 2002) == Verdict::kWrong);
  CHECK(judged(kResult, 2000, 200, 5) == Verdict::kWrong);
  CHECK(judged(R"({"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"x"}})") == Verdict::kError);
  CHECK(judged(R"({"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"x"}})") == Verdict::kLimited);
  CHECK(judged(R"({"jsonrpc":"2.0","id":1,"result":null})") == Verdict::kError);
  CHECK(judged("<html></html>") == Verdict::kError);
  CHECK(judged("", 2000, 429) == Verdict::kLimited);
  CHECK(judged("", 2000, 500) == Verdict::kError);
  CHECK(judged("", 2000, 504) == Verdict::kTimedOut);
  CHECK(judge({.end = Answer::End::kTimeout}, kTruth) == Verdict::kTimedOut);
  CHECK(judge({.end = Answer::End::kBroken}, kTruth) == Verdict::kError);
}

TEST_CASE("the oracle leaves a provider before its fault and returns after it") {
  const Scenario s = one_fault(3, 6);
  CHECK(oracle_weights(s, 0) == std::vector<unsigned>{119, 66, 38, 21, 12});
  CHECK(oracle_weights(s, 2.9)[0] == 0);
  CHECK(oracle_weights(s, 5.9)[0] == 0);
  CHECK(oracle_weights(s, 6.2)[0] == 119);
}

TEST_CASE("the oracle keeps within quotas, and gives what is cut off to the others") {
  const Scenario s{"x", "x", 10, {{"quota", 0, 0, 10, R"({"quota_per_s":15})"}}};
  const auto weights = oracle_weights(s, 5);
  CHECK(weights[0] == 23);  // nine tenths of 15 of 150 a second, of 256
  CHECK(weights[1] == 112);
}

TEST_CASE("a reaction is measured from the moment that answers are bad") {
  const std::vector<Shares> shares{
      {-1, {0.5, 0.5}}, {4.0, {0.2, 0.8}}, {5.0, {0, 1}}, {6.0, {0.1, 0.9}}, {8.0, {0.4, 0.6}}};
  const Score score = score_of(lane_with_stale(3, 6.5, shares), one_fault(3, 7));
  CHECK(score.requests == 100);
  CHECK(score.bad_percent() == doctest::Approx(35));
  CHECK(score.by_second[3][static_cast<std::size_t>(Verdict::kStale)] == 10);
  REQUIRE(score.reactions.size() == 1);
  const Reaction& r = score.reactions[0];
  CHECK(r.share_before == doctest::Approx(0.5));
  CHECK(r.to_half_s.value() == doctest::Approx(1.0));
  CHECK(r.to_zero_s.value() == doctest::Approx(2.0));
  CHECK(r.bad_until_zero == 20);
  CHECK(r.bad_later == 15);
  CHECK(r.back_in_s == doctest::Approx(1.0));
  CHECK(r.to_return_s.value() == doctest::Approx(1.0));
}

TEST_CASE("seeds are added up") {
  const Scenario s = one_fault(3, 7);
  std::vector<Run> runs(2);
  runs[0].scenario = runs[1].scenario = s;
  runs[0].lanes = {lane_with_stale(3, 4, {{-1, {1.0}}})};
  runs[1].lanes = {lane_with_stale(3, 6, {{-1, {1.0}}})};
  const Summary sum = summarize(std::move(runs));
  CHECK(sum.scores[0].requests == 200);
  CHECK(sum.scores[0].bad() == 40);
  CHECK(sum.reactions[0][0].size() == 2);
  CHECK_FALSE(sum.reactions[0][0][0].to_zero_s);
}

TEST_CASE("the scenarios are free of contradictions") {
  for (const Scenario& s : scenarios())
    for (double at = 0; at < s.seconds; at += 0.5) CHECK(oracle_weights(s, at).size() == providers().size());
}

TEST_CASE("in the model rpc-weighter is far better than HAProxy alone, and no worse than it was") {
  const auto bad = [](const char* scenario) {
    std::vector<Contestant> who;
    for (const char* name : {"adaptive 1s", "haproxy alone", "oracle"})
      who.push_back(*std::ranges::find(contestants(), name, &Contestant::name));
    std::vector<Run> runs;
    for (std::uint64_t seed = 1; seed <= 10; ++seed)
      runs.push_back(compute_scenario(*std::ranges::find(scenarios(), scenario, &Scenario::name), who, seed));
    return summarize(std::move(runs)).scores;
  };
  const auto crashes = bad("crashes");
  CHECK(crashes[0].bad_percent() < 0.35);
  CHECK(crashes[1].bad_percent() == doctest::Approx(6.5).epsilon(0.05));
  CHECK(crashes[2].bad_percent() < 0.02);
  CHECK(crashes[0].median_ms.value() < 1.3 * crashes[2].median_ms.value());
  CHECK(crashes[0].p99_ms.value() < 1.3 * crashes[2].p99_ms.value());
  CHECK(bad("lies")[0].bad_percent() < 1.6);
  CHECK(bad("crashes-30s")[0].bad_percent() < 0.4);
  CHECK(bad("apart")[0].bad_percent() < 1.05);
  CHECK(bad("quotas")[0].bad_percent() < 1.3);
  CHECK(bad("hidden")[0].bad_percent() < 0.8);
  CHECK(bad("flapping")[0].bad_percent() < 0.45);
  const auto blackout = bad("blackout");
  CHECK(blackout[0].bad_percent() < blackout[2].bad_percent() + 1.0);
}

TEST_CASE("a computed run is the same each time") {
  const auto once = [] {
    const Run run = compute_scenario(scenarios()[0], std::span(&contestants()[6], 1), 7);
    double sum = 0;
    for (const Shot& s : run.lanes[0].shots) sum += s.latency_ms;
    return std::pair(run.lanes[0].shots.size(), sum);
  };
  CHECK(once() == once());
}
