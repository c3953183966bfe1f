#include "traffic/computed.hpp"

#include <algorithm>
#include <optional>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "traffic/model/balancer.hpp"
#include "traffic/model/provider.hpp"
#include "traffic/model/time.hpp"
#include "traffic/model/weighter.hpp"
#include "traffic/oracle.hpp"

namespace rpcw::bench {
namespace {

using model::Outcome;

/// Of the longest probe interval: a contestant starts up to this long before the warm-up, so that the faults of a
/// scenario meet its probes at another moment for each seed.
constexpr double kPhase = 5.0;

class Lanes {
 public:
  Lanes(const Scenario& scenario, const Contestant& contestant, std::uint64_t seed, double phase)
      : scenario_(scenario), phase_(phase), random_(seed) {
    lane_.contestant = contestant.name;
    for (std::size_t i = 0; i < providers().size(); ++i) providers_.emplace_back(i, seed);
    for (const Fault& f : scenario.faults) {
      time_.at(f.from_s, [this, &f] { providers_[f.provider].set(faulty(f), time_.now()); });
      time_.at(f.to_s, [this, &f] { providers_[f.provider].set(healthy(f.provider), time_.now()); });
    }
    note_shares();
    if (contestant.kind == Contestant::Kind::kWeighter) {
      weighter_.emplace(contestant, time_, providers_, haproxy_, seed, [this] { note_shares(); });
      time_.at(-kWarmUp - std::uniform_real_distribution<>(0, kPhase)(random_), [this] { weighter_->start(); });
    }
    if (contestant.kind == Contestant::Kind::kOracle) follow_oracle();
    time_.at(-kWarmUp, [this] { shoot(0); });
  }

  Lane run() {
    time_.run_until(scenario_.seconds + longest_wait() + 1);
    std::ranges::sort(lane_.shots, {}, &Shot::scheduled_s);
    if (weighter_) {
      lane_.probes = weighter_->asked();
      lane_.log = weighter_->log();
    }
    return std::move(lane_);
  }

 private:
  double longest_wait() const { return std::max(scenario_.setting.server_timeout_s, scenario_.setting.patience_s); }

  // ---- load

  std::string_view draw_method() {
    auto left = std::uniform_int_distribution<unsigned>(0, 99)(random_);
    const auto* method = methods().data();
    while (left >= method->share) left -= (method++)->share;
    return method->name;
  }

  void shoot(std::uint64_t k) {
    const double at = -kWarmUp + (static_cast<double>(k) + phase_) / kRequestsPerSecond;
    if (at >= scenario_.seconds) return;
    time_.at(at, [this, at] { send(at, draw_method(), haproxy_.choose()); });
    time_.at(at, [this, k] { shoot(k + 1); });
  }

  void note(double at, Verdict verdict, int provider) {
    lane_.shots.push_back({at, (time_.now() - at) * 1000, 0, verdict, provider});
  }

  void send(double at, std::string_view method, std::optional<std::size_t> server, bool again = false) {
    if (!server) {
      note(at, Verdict::kError, -1);
      return;
    }
    const std::size_t i = *server;
    const double sent = time_.now();
    ++haproxy_.servers[i].requests;
    ++haproxy_.servers[i].open;
    const Outcome outcome = providers_[i].ask(method, sent);
    if (outcome.kind == Outcome::Kind::kRefused) {
      time_.after(outcome.seconds, [this, at, method, i, again] {
        --haproxy_.servers[i].open;
        if (again) {
          ++haproxy_.servers[i].connect_failures;
          note(at, Verdict::kError, -1);
        } else {
          ++haproxy_.servers[i].redispatched;
          send(at, method, scenario_.setting.redispatch ? haproxy_.choose(i) : i, true);
        }
      });
      return;
    }
    // Without `option abortonclose` HAProxy goes on waiting for an answer whose client has left.
    const double patience = at + scenario_.setting.patience_s - sent;
    const double timeout = scenario_.setting.server_timeout_s;
    const bool gives_up = std::min(outcome.seconds, timeout) > patience;
    const bool ends = gives_up && scenario_.setting.abort_on_close;
    if (gives_up)
      time_.after(patience, [this, at, i, ends] {
        note(at, Verdict::kTimedOut, -1);
        if (!ends) return;
        --haproxy_.servers[i].open;
        ++haproxy_.servers[i].aborted;
      });
    if (ends) return;
    time_.after(std::min(outcome.seconds, timeout), [this, at, i, sent, outcome, timeout, gives_up] {
      model::Balancer::Server& s = haproxy_.servers[i];
      --s.open;
      const int who = static_cast<int>(i);
      if (outcome.seconds >= timeout) {
        ++s.time_outs;
        if (!gives_up) note(at, Verdict::kTimedOut, -1);
        return;
      }
      ++(outcome.kind == Outcome::Kind::kStatus    ? s.server_errors
         : outcome.kind == Outcome::Kind::kLimited ? s.client_errors
                                                   : s.good);
      haproxy_.answered(i, time_.now() - sent, outcome.bytes);
      if (gives_up) return;
      switch (outcome.kind) {
        case Outcome::Kind::kStatus:
          note(at, Verdict::kError, who);
          return;
        case Outcome::Kind::kLimited:
          note(at, Verdict::kLimited, who);
          return;
        case Outcome::Kind::kError:
          note(at, Verdict::kError, who);
          return;
        default:
          break;
      }
      const std::uint64_t height = providers_[i].height(time_.now());
      const bool wrong = height > model::true_height(time_.now()) || providers_[i].chain_id() != kChainId;
      note(at,
           wrong                                               ? Verdict::kWrong
           : height + kMaxLagBlocks < model::true_height(sent) ? Verdict::kStale
                                                               : Verdict::kGood,
           who);
    });
  }

  void note_shares() {
    double sum = 0;
    for (const model::Balancer::Server& s : haproxy_.servers) sum += s.weight;
    Shares now{time_.now(), {}};
    for (const model::Balancer::Server& s : haproxy_.servers) now.parts.push_back(sum > 0 ? s.weight / sum : 0.0);
    if (lane_.shares.empty() || lane_.shares.back().parts != now.parts) lane_.shares.push_back(std::move(now));
  }

  void follow_oracle() {
    const std::vector<unsigned> weights = oracle_weights(scenario_, time_.now());
    for (std::size_t i = 0; i < weights.size(); ++i) haproxy_.servers[i].weight = weights[i];
    note_shares();
    time_.after(0.05, [this] { follow_oracle(); });
  }

  const Scenario& scenario_;
  const double phase_;
  std::mt19937_64 random_;
  model::Time time_{-kWarmUp - kPhase - 1};
  std::vector<model::Provider> providers_;
  model::Balancer haproxy_;
  std::optional<model::Weighter> weighter_;
  Lane lane_;
};

}  // namespace

Scenario shifted(Scenario scenario, double seconds) {
  for (Fault& f : scenario.faults) {
    f.from_s += seconds;
    f.to_s += seconds;
    if (f.bad_after_s > 0) f.bad_after_s -= seconds;
  }
  return scenario;
}

Run compute_scenario(const Scenario& scenario, std::span<const Contestant> contestants, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Run out{.scenario = shifted(scenario, std::uniform_real_distribution<double>(0.0, 1.0)(random)),
          .seed = seed,
          .lanes = {}};
  for (std::size_t i = 0; i < contestants.size(); ++i)
    out.lanes.push_back(
        Lanes(out.scenario, contestants[i], seed, static_cast<double>(i) / static_cast<double>(contestants.size()))
            .run());
  return out;
}

}  // namespace rpcw::bench
