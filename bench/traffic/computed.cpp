#include "traffic/computed.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <stdexcept>
#include <utility>

#include "config/load.hpp"
#include "traffic/oracle.hpp"
#include "weighter/schedule/agenda.hpp"
#include "weighter/strategy/strategy.hpp"
#include "weighter/state/system_state.hpp"
#include "weighter/state/live_delta.hpp"

namespace rpcw::bench {
namespace {

constexpr double kWarmUp = 8.0;
constexpr double kNever = std::numeric_limits<double>::infinity();
/// From a decision to HAProxy's confirmation, and how long it takes to refuse a connection.
constexpr double kPush = 0.002;
constexpr double kRefusal = 0.0005;
/// As in endpoint_control.cpp.
constexpr double kInDoubt = 0.25;
constexpr double kReadsWhenBusy = 4;
/// The chain's height at second 0.
constexpr std::uint64_t kHeight = 2000;
constexpr WallTime kWallStart{std::chrono::seconds{1'800'000'000}};

/// Things that happen, in the order of time; those at one moment as they were added.
class Time {
 public:
  using Handle = std::pair<double, std::uint64_t>;

  double now() const { return now_; }
  Handle at(double when, std::function<void()> what) {
    const Handle handle{std::max(when, now_), next_++};
    events_.emplace(handle, std::move(what));
    return handle;
  }
  Handle after(double seconds, std::function<void()> what) { return at(now_ + seconds, std::move(what)); }
  void cancel(const Handle& handle) { events_.erase(handle); }
  void run_until(double end) {
    while (!events_.empty() && events_.begin()->first.first < end) {
      auto node = events_.extract(events_.begin());
      now_ = node.key().first;
      node.mapped()();
    }
    now_ = end;
  }

 private:
  double now_ = -2 * kWarmUp;
  std::uint64_t next_ = 0;
  std::map<Handle, std::function<void()>> events_;
};

std::uint64_t true_height(double s) {
  return kHeight + static_cast<std::uint64_t>(s + 100) - 100;
}

/// What a provider answers, and when.
struct Outcome {
  enum class Kind : std::uint8_t { kResult, kStatus, kError, kLimited, kRefused, kSilence } kind = Kind::kResult;
  double seconds = 0;
};

class Provider {
 public:
  Provider(std::size_t index, std::uint64_t seed) : index_(index), random_(seed * 31 + index), now_(healthy(index)) {}

  void set(sim::Behaviour behaviour, double s) {
    now_ = std::move(behaviour);
    since_ = s;
    frozen_at_ = true_height(s);
    tokens_ = now_.quota_per_s;
    tokens_at_ = s;
  }

  Outcome check(std::string_view method, double s) {
    Outcome out;
    out.seconds =
        now_.latency_ms / 1000 *
        std::exp(std::normal_distribution<>(0.0, now_.latency_sigma > 0 ? now_.latency_sigma : 1e-9)(random_));
    if (now_.quota_per_s > 0) {
      tokens_ = std::min(now_.quota_per_s, tokens_ + now_.quota_per_s * (s - tokens_at_));
      tokens_at_ = s;
      if (tokens_ < 1) {
        out.kind = Outcome::Kind::kLimited;
        return out;
      }
      tokens_ -= 1;
    }
    if (!hit(method, s)) return out;
    switch (now_.fault) {
      case sim::Fault::none:
        break;
      case sim::Fault::hang:
        out = {Outcome::Kind::kSilence, kNever};
        break;
      case sim::Fault::refuse:
        out = {Outcome::Kind::kRefused, kRefusal};
        break;
      case sim::Fault::http_status:
        out.kind = Outcome::Kind::kStatus;
        break;
      case sim::Fault::rpc_error:
      case sim::Fault::html:
        out.kind = Outcome::Kind::kError;
        break;
      default:
        throw std::logic_error("a fault that is not computed");
    }
    return out;
  }

  std::uint64_t height(double s) const {
    return (now_.frozen ? frozen_at_ : true_height(s)) - now_.lag_blocks + now_.ahead_blocks;
  }
  std::uint64_t chain_id() const { return now_.chain_id.value_or(kChainId); }

 private:
  bool hit(std::string_view method, double s) {
    if (now_.fault == sim::Fault::none) return false;
    if (now_.flap_ms > 0 &&
        std::fmod((s - since_) * 1000, static_cast<double>(now_.flap_ms)) >= static_cast<double>(now_.flap_ms) / 2)
      return false;
    if (!now_.fault_methods.empty() && std::ranges::find(now_.fault_methods, method) == now_.fault_methods.end())
      return false;
    return now_.fault_ratio >= 1 || std::uniform_real_distribution<>(0, 1)(random_) < now_.fault_ratio;
  }

  std::size_t index_;
  std::mt19937_64 random_;
  sim::Behaviour now_;
  double since_ = 0;
  std::uint64_t frozen_at_ = 0;
  double tokens_ = 0;
  double tokens_at_ = 0;
};

/// HAProxy's roundrobin, and what it counts.
class Proxy {
 public:
  struct Server {
    unsigned weight = 100;
    double current = 0;
    std::uint64_t requests = 0;
    std::uint64_t redispatched = 0;
    std::uint64_t connect_failures = 0;
    std::uint64_t time_outs = 0;
    std::uint64_t good = 0;
    std::uint64_t client_errors = 0;
    std::uint64_t server_errors = 0;
    std::uint64_t open = 0;
    double rtime_ms = 0;

    std::uint64_t answers() const { return good + client_errors + server_errors; }
  };

  Proxy() : servers(providers().size()) {}

  /// `without`: one that was just tried.
  std::optional<std::size_t> choose(std::optional<std::size_t> without = {}) {
    double sum = 0;
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < servers.size(); ++i) {
      if (servers[i].weight == 0 || i == without) continue;
      servers[i].current += servers[i].weight;
      sum += servers[i].weight;
      if (!best || servers[i].current > servers[*best].current) best = i;
    }
    if (best) servers[*best].current -= sum;
    return best;
  }

  void answered(std::size_t i, double seconds) {
    // As HAProxy does: an average over the last 512 answers, once there are so many.
    const auto of = std::clamp(static_cast<double>(servers[i].answers()), 1.0, 512.0);
    servers[i].rtime_ms += (seconds * 1000 - servers[i].rtime_ms) / of;
  }

  std::vector<Server> servers;
};

class Lanes {
 public:
  Lanes(const Scenario& scenario, const Contestant& contestant, std::uint64_t seed, double phase)
      : scenario_(scenario), contestant_(contestant), phase_(phase), random_(seed) {
    lane_.contestant = contestant.name;
    for (std::size_t i = 0; i < rpcw::bench::providers().size(); ++i) providers_.emplace_back(i, seed);
    for (const Fault& f : scenario.faults) {
      time_.at(f.from_s, [this, &f] { providers_[f.provider].set(faulty(f), time_.now()); });
      time_.at(f.to_s, [this, &f] { providers_[f.provider].set(healthy(f.provider), time_.now()); });
    }
    note_shares();
    if (contestant.kind == Contestant::Kind::kWeighter) start_weighter();
    if (contestant.kind == Contestant::Kind::kOracle) follow_oracle();
    time_.at(-kWarmUp, [this] { shoot(0); });
  }

  Lane run() {
    time_.run_until(scenario_.seconds + longest_wait() + 1);
    std::ranges::sort(lane_.shots, {}, &Shot::scheduled_s);
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
    time_.at(at, [this, at] { send(at, draw_method(), proxy_.choose()); });
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
    ++proxy_.servers[i].requests;
    ++proxy_.servers[i].open;
    const Outcome outcome = providers_[i].check(method, sent);
    if (outcome.kind == Outcome::Kind::kRefused) {
      time_.after(outcome.seconds, [this, at, method, i, again] {
        --proxy_.servers[i].open;
        if (again) {
          ++proxy_.servers[i].connect_failures;
          note(at, Verdict::kError, -1);
        } else {
          ++proxy_.servers[i].redispatched;
          send(at, method, scenario_.setting.redispatch ? proxy_.choose(i) : i, true);
        }
      });
      return;
    }
    // HAProxy goes on waiting for an answer whose client has left.
    const double patience = at + scenario_.setting.patience_s - sent;
    const double timeout = scenario_.setting.server_timeout_s;
    const bool gives_up = std::min(outcome.seconds, timeout) > patience;
    if (gives_up) time_.after(patience, [this, at] { note(at, Verdict::kTimedOut, -1); });
    time_.after(std::min(outcome.seconds, timeout), [this, at, i, sent, outcome, timeout, gives_up] {
      Proxy::Server& s = proxy_.servers[i];
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
      proxy_.answered(i, time_.now() - sent);
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
      const bool wrong = height > true_height(time_.now()) || providers_[i].chain_id() != kChainId;
      note(at,
           wrong                                        ? Verdict::kWrong
           : height + kMaxLagBlocks < true_height(sent) ? Verdict::kStale
                                                        : Verdict::kGood,
           who);
    });
  }

  void set_weights(const std::vector<unsigned>& weights) {
    for (std::size_t i = 0; i < weights.size(); ++i) proxy_.servers[i].weight = weights[i];
    note_shares();
  }

  void note_shares() {
    double sum = 0;
    for (const Proxy::Server& s : proxy_.servers) sum += s.weight;
    Shares now{time_.now(), {}};
    for (const Proxy::Server& s : proxy_.servers) now.parts.push_back(sum > 0 ? s.weight / sum : 0.0);
    if (lane_.shares.empty() || lane_.shares.back().parts != now.parts) lane_.shares.push_back(std::move(now));
  }

  void follow_oracle() {
    set_weights(oracle_weights(scenario_, time_.now()));
    time_.after(0.05, [this] { follow_oracle(); });
  }

  // ---- rpc-weighter: what its loop does

  struct Probe {
    std::optional<Time::Handle> timer;
    double last_start = 0;
    bool under_way = false;
    bool answered = false;
  };

  Now clocks() const {
    const auto us = static_cast<std::int64_t>((time_.now() + 100) * 1e6);
    return {kWallStart + std::chrono::floor<milliseconds>(std::chrono::microseconds{us}), MonoTime{us}};
  }

  void start_weighter() {
    const std::vector<std::uint16_t> ports(providers_.size(), 1);
    auto loaded = config::parse(weighter_toml(contestant_, "/nowhere.sock", ports), "computed",
                                config::Surroundings::of_process(strategy_names()));
    if (!loaded) throw std::logic_error("the configuration: " + loaded.error().front().message);
    config_ = std::move(loaded->config);
    state_.emplace(config_);
    haproxy::Instance& instance = instance_;
    haproxy::BackendRow& row = instance.backends.emplace_back();
    row.name = "rpc";
    row.algo = "roundrobin";
    for (const config::Server& s : config_.backends[0].servers) {
      haproxy::ServerRow& r = row.servers.emplace_back();
      r.name = s.name;
      r.status = "no check";
      r.active = true;
      r.uweight = 100;
      r.iweight = 100;
      r.admin_state = 0;
    }
    time_.at(-kWarmUp - 0.5, [this] {
      static_cast<void>(state_->update_views(&instance_));
      probes_.resize(state_->targets().size());
      for (std::size_t i = 0; i < probes_.size(); ++i) probe(i);
      static_cast<void>(count());
      watch_timer_ = time_.after(std::uniform_real_distribution<>(0, 1)(random_), [this] { watch(); });
    });
  }

  void probe(std::size_t i) {
    Probe& p = probes_[i];
    p.last_start = time_.now();
    p.under_way = true;
    for (const Check& check : state_->begin_probe(i, clocks().mono)) answer(i, check);
    state_->probe_sent(i, clocks().mono);
    const Outcome outcome = providers_[i].check("eth_getBlockByNumber", time_.now());
    const double timeout = seconds(config_.probe.timeout);
    const double began = time_.now();
    listen_to_silence(i);
    time_.after(std::min(outcome.seconds, timeout), [this, i, outcome, timeout, began] {
      stop_timer(i);
      HeadObservation o;
      o.received = clocks();
      o.latency = std::chrono::microseconds{static_cast<std::int64_t>((time_.now() - began) * 1e6)};
      if (const auto failure = failure_of(outcome, timeout))
        o.head = std::unexpected(*failure);
      else
        o.head = head(i);
      state_->observe(i, std::move(o));
      Probe& mine = probes_[i];
      mine.under_way = false;
      mine.answered = true;
      schedule(i);
      want_decision();
    });
  }

  Head head(std::size_t i) const {
    const std::uint64_t height = providers_[i].height(time_.now());
    const auto second = static_cast<std::int64_t>(std::min(height, true_height(time_.now())) - kHeight);
    return {height, hash(i, height), kWallStart + std::chrono::seconds{100 + second}};
  }
  std::string hash(std::size_t i, std::uint64_t height) const {
    return fmt::format("0x{:032x}{:032x}", height * 0x9e3779b97f4a7c15U,
                       providers_[i].chain_id() * 0x9e3779b97f4a7c15U);
  }

  static std::optional<ProbeFailure> failure_of(const Outcome& outcome, double timeout) {
    if (outcome.seconds >= timeout) return ProbeFailure{Reason::kTimeout, "no answer", {}};
    switch (outcome.kind) {
      case Outcome::Kind::kStatus:
        return ProbeFailure{Reason::kHttpStatus, "HTTP 500", {}};
      case Outcome::Kind::kError:
        return ProbeFailure{Reason::kRpcError, "an error", {}};
      case Outcome::Kind::kLimited:
        return ProbeFailure{Reason::kRateLimited, "HTTP 429", {}};
      case Outcome::Kind::kRefused:
        return ProbeFailure{Reason::kConnectFailed, "refused", {}};
      default:
        return std::nullopt;
    }
  }

  void answer(std::size_t i, const Check& check) {
    const Outcome outcome = providers_[i].check("eth_chainId", time_.now());
    const double timeout = seconds(config_.probe.timeout);
    time_.after(std::min(outcome.seconds, timeout), [this, i, check, outcome, timeout] {
      rpcw::Answer a{clocks(), check, AnswerValue{}};
      if (const auto failure = failure_of(outcome, timeout))
        a.value = std::unexpected(*failure);
      else if (check.kind == CheckKind::kIdentity)
        a.value->text = std::to_string(providers_[i].chain_id());
      else if (check.kind == CheckKind::kBlock && check.argument <= providers_[i].height(time_.now()))
        a.value->text = hash(i, check.argument);
      state_->observe(i, a);
      want_decision();
    });
  }

  void schedule(std::size_t i) {
    Probe& p = probes_[i];
    if (p.under_way) return;
    stop_timer(i);
    const double interval = seconds(probe_interval(state_->history(i), config_.probe));
    p.timer = time_.at(p.last_start + interval * std::uniform_real_distribution<>(0.9, 1.1)(random_), [this, i] {
      probes_[i].timer.reset();
      probe(i);
    });
  }

  static double seconds(milliseconds t) { return std::chrono::duration<double>(t).count(); }

  void listen_to_silence(std::size_t i) {
    const double usual_ms = state_->history(i).latency.smoothed_ms.value_or(0);
    const double suspected = seconds(silence_suspected(usual_ms));
    const double noticed = seconds(no_answer_noticed(usual_ms));
    if (usual_ms <= 0) {
      wait_for_silence(i, noticed);
      return;
    }
    probes_[i].timer = time_.after(suspected, [this, i, rest = noticed - suspected] {
      probes_[i].timer.reset();
      if (!state_->history(i).ejection.is_out) look();
      wait_for_silence(i, rest);
    });
  }

  void wait_for_silence(std::size_t i, double from_now) {
    probes_[i].timer = time_.after(from_now, [this, i] {
      probes_[i].timer.reset();
      state_->note_no_answer(i);
      want_decision();
      wait_for_silence(i, (time_.now() - probes_[i].last_start) / 4);
    });
  }

  void look() {
    if (time_.now() - last_read_ < kInDoubt) return;
    time_.cancel(watch_timer_);
    watch();
  }

  /// As `show stat` would have it now.
  haproxy::BackendRow row() const {
    haproxy::BackendRow out = instance_.backends[0];
    for (std::size_t i = 0; i < out.servers.size(); ++i) {
      const Proxy::Server& s = proxy_.servers[i];
      out.servers[i].uweight = s.weight;
      haproxy::Counters& c = out.servers[i].counters;
      c.stot = c.lbtot = s.requests;
      c.wretr = c.cli_abrt = c.qcur = 0;
      c.wredis = s.redispatched;
      c.econ = s.connect_failures;
      c.eresp = s.time_outs;
      c.hrsp_2xx = s.good;
      c.hrsp_4xx = s.client_errors;
      c.hrsp_5xx = s.server_errors;
      c.scur = s.open;
      c.rtime = static_cast<std::uint64_t>(std::ceil(s.rtime_ms));
    }
    return out;
  }

  std::vector<LiveDelta> count() {
    std::vector<std::string_view> names;
    for (const config::Server& s : config_.backends[0].servers) names.push_back(s.name);
    haproxy::BackendRow now = row();
    const MonoTime elapsed{before_ ? static_cast<std::int64_t>((time_.now() - last_read_) * 1e6) : 0};
    std::vector<LiveDelta> out = count_traffic(before_ ? &*before_ : nullptr, now, names, elapsed);
    before_ = std::move(now);
    last_read_ = time_.now();
    return out;
  }

  void watch() {
    const std::vector<LiveDelta> deltas = count();
    const std::vector<std::size_t> suspects = state_->observe_live(0, deltas, clocks().mono);
    for (const std::size_t i : suspects) look_at(i);
    want_decision();
    // The load is far above what endpoint_control.cpp calls busy.
    const double interval = std::max(seconds(config_.haproxy.watch_interval) / kReadsWhenBusy, kInDoubt);
    watch_timer_ = time_.after(interval, [this] { watch(); });
  }

  void stop_timer(std::size_t i) {
    if (probes_[i].timer) time_.cancel(*std::exchange(probes_[i].timer, std::nullopt));
  }

  void look_at(std::size_t i) {
    Probe& p = probes_[i];
    if (p.under_way || state_->history(i).probes.limited || time_.now() - p.last_start < 0.2) return;
    stop_timer(i);
    probe(i);
  }

  void want_decision() {
    if (std::ranges::any_of(probes_, [](const Probe& p) { return !p.answered; })) return;
    if (std::exchange(wanted_, true)) return;
    time_.at(last_decision_ + 0.1, [this] { decide(); });
  }

  void decide() {
    wanted_ = false;
    last_decision_ = time_.now();
    static_cast<void>(state_->decide(clocks()));
    for (const SystemState::TargetCheck& q : state_->urgent_checks()) answer(q.target, q.check);
    for (std::size_t i = 0; i < probes_.size(); ++i)
      if (!probes_[i].under_way) schedule(i);
    std::vector<unsigned> weights;
    for (const ServerDecision& s : state_->decision(0).servers) weights.push_back(s.weight);
    time_.after(kPush, [this, weights] { set_weights(weights); });
  }

  const Scenario& scenario_;
  const Contestant& contestant_;
  const double phase_;
  std::mt19937_64 random_;
  Time time_;
  std::vector<Provider> providers_;
  Proxy proxy_;
  Lane lane_;

  config::Config config_;
  std::optional<SystemState> state_;
  haproxy::Instance instance_;
  std::vector<Probe> probes_;
  /// The last read; absent: there was none.
  std::optional<haproxy::BackendRow> before_;
  bool wanted_ = false;
  double last_read_ = -kNever;
  Time::Handle watch_timer_;
  double last_decision_ = -kNever;
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
