#include "weighter/daemon.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "observe/log.hpp"
#include "rpc/prober.hpp"
#include "weighter/alive.hpp"
#include "weighter/cadence.hpp"
#include "weighter/constants.hpp"
#include "weighter/latch.hpp"
#include "weighter/watches.hpp"

namespace rpcw {
namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;

/// Decisions follow news at once, but no faster than this: a burst of answers is one decision.
constexpr milliseconds kLeastBetweenDecisions{100};

/// Probes are spread by this part of the interval, so that many agents, or many servers of one, do not fall into step.
constexpr double kJitter = 0.1;

/// Without a Retry-After the interval between two probes doubles with each rate limit in a row, this often at the most.
constexpr unsigned kMostDoublings = 4;
/// However long a provider asks us to stay away: its head would be too old to say anything.
constexpr milliseconds kLongestRetryAfter{300'000};

std::vector<const config::Target*> targets_of(const Fleet& fleet) {
  std::vector<const config::Target*> out;
  for (std::size_t i = 0; i < fleet.targets().size(); ++i) out.push_back(&fleet.target_config(i));
  return out;
}

}  // namespace

class Daemon::Impl {
 public:
  Impl(asio::io_context& io, const config::Config& config, bool dry_run)
      : config_(config),
        fleet_(config),
        prober_(io, config.probe, targets_of(fleet_)),
        random_(std::random_device{}()),
        decide_timer_(io),
        silence_timer_(io),
        loops_(io.get_executor()),
        watches_(io, config, fleet_, dry_run, [this] {
          if (all_answered()) decide();
        }) {
    for (std::size_t i = 0; i < fleet_.targets().size(); ++i) probes_.emplace_back(io);
  }

  Fleet& fleet() { return fleet_; }

  asio::awaitable<void> run() {
    watches_.start(loops_);
    // What an earlier daemon has learned needs no first answer.
    for (std::size_t i = 0; i < probes_.size(); ++i)
      if (fleet_.history(i).observations > 0) answered(probes_[i]);
    for (std::size_t i = 0; i < probes_.size(); ++i) probe(i);
    listen_to_silence();
    loops_.expect();  // for request_stop
    if (stopping_) loops_.arrive();
    running_ = true;
    co_await loops_.wait();
  }

  void request_stop() {
    if (std::exchange(stopping_, true)) return;
    watches_.request_stop();
    for (Probe& p : probes_) p.timer.cancel();
    decide_timer_.cancel();
    silence_timer_.cancel();
    if (running_) loops_.arrive();
  }

  void abandon() {
    request_stop();
    watches_.abandon();
  }

 private:
  struct Probe {
    explicit Probe(asio::io_context& io) : timer(io) {}
    asio::steady_timer timer;
    steady_clock::time_point last_start{};
    steady_clock::time_point identity_due{};
    /// Head and identity answers that are still to come.
    unsigned under_way = 0;
    bool answered = false;
  };

  // ---- probing

  void probe(std::size_t i) {
    if (stopping_) return;
    Probe& p = probes_[i];
    p.last_start = steady_clock::now();
    ++p.under_way;
    fleet_.asked(i, read_clocks().mono);
    prober_.head(i, [this, i](HeadObservation o) {
      const bool failed = !o.head && o.head.error().code != Reason::kRateLimited;
      fleet_.observe(i, std::move(o));
      // Whoever comes back from a failure may be somebody else.
      if (failed) probes_[i].identity_due = {};
      settle(i);
    });
    if (!config_.backends[fleet_.targets()[i].backend].chain.chain_id ||
        (p.last_start < p.identity_due && fleet_.history(i).identity != TargetHistory::Identity::kWrong))
      return;
    p.identity_due = p.last_start + kIdentityEvery;
    ++p.under_way;
    prober_.identity(i, [this, i](const IdentityObservation& o) {
      if (!o.chain_id && is_transport(o.chain_id.error().code)) probes_[i].identity_due = {};
      fleet_.observe(i, o);
      settle(i);
    });
  }

  void settle(std::size_t i) {
    Probe& p = probes_[i];
    if (--p.under_way > 0) return;
    answered(p);
    to_schedule_.push_back(i);
    if (all_answered())
      want_decision();
    else
      schedule_all();
  }

  void answered(Probe& p) {
    if (!std::exchange(p.answered, true)) ++first_answers_;
  }

  /// The first decision waits until everybody had a chance: a share for whoever happens to answer first would swing the
  /// traffic at every start.
  bool all_answered() const { return first_answers_ == probes_.size(); }

  void schedule_all() {
    for (const std::size_t i : std::exchange(to_schedule_, {})) schedule(i);
  }

  bool in_doubt(const TargetHistory& h) const {
    return h.ejected ? h.good_in_row > 0 : h.failure.has_value() || h.bad_in_row > 0;
  }

  /// Probes must not keep a rate limit alive: they become rarer with each one, or as the provider asks.
  milliseconds next_interval(const TargetHistory& h) const {
    if (h.limited) {
      const milliseconds own = config_.probe.interval * (1U << std::min(h.limited_in_row, kMostDoublings));
      return std::clamp(h.limited->retry_after.value_or(own), config_.probe.interval,
                        std::max(kLongestRetryAfter, config_.probe.interval));
    }
    return in_doubt(h) ? config_.probe.fast_interval : config_.probe.interval;
  }

  /// A provider that does not answer loses weight before its time-out, so its silence is news from time to time.
  void listen_to_silence() {
    if (stopping_) return;
    const auto now = steady_clock::now();
    bool any = false;
    for (std::size_t i = 0; i < probes_.size(); ++i) {
      if (probes_[i].under_way == 0 || now - probes_[i].last_start < constants::kSilenceLeast) continue;
      fleet_.silent(i);
      any = true;
    }
    if (any && all_answered()) want_decision();
    silence_timer_.expires_after(constants::kSilenceLeast);
    silence_timer_.async_wait(alive_.guard([this] { listen_to_silence(); }));
  }

  void schedule(std::size_t i) {
    Probe& p = probes_[i];
    const milliseconds interval = next_interval(fleet_.history(i));
    std::uniform_real_distribution<double> spread(1.0 - kJitter, 1.0 + kJitter);
    const auto wait = std::chrono::duration_cast<steady_clock::duration>(interval * spread(random_));
    p.timer.expires_at(p.last_start + wait);
    p.timer.async_wait(alive_.guard([this, i] { probe(i); }));
  }

  // ---- deciding

  void want_decision() {
    if (stopping_ || std::exchange(decision_wanted_, true)) return;
    decide_timer_.expires_at(std::max(last_decision_ + kLeastBetweenDecisions, steady_clock::now()));
    decide_timer_.async_wait(alive_.guard([this] { decide(); }));
  }

  void decide() {
    decision_wanted_ = false;
    if (stopping_) return;
    last_decision_ = steady_clock::now();
    const bool was_blind = fleet_.blind();
    const std::vector<Fleet::Change> changes = fleet_.decide(read_clocks());
    for (const Fleet::Change& c : changes) tell(c.backend, c.before, fleet_.decision(c.backend));
    if (fleet_.blind() && !was_blind)
      log::warn("no provider of any backend can be reached: look at this machine's network and name servers first",
                {{"reason", to_string(Reason::kBlind)}});
    else if (was_blind && !fleet_.blind())
      log::info("providers can be reached again");
    schedule_all();
    watches_.wake();
  }

  static std::string reasons_text(const std::vector<ReasonNote>& reasons) {
    std::string out;
    for (const ReasonNote& r : reasons)
      out += fmt::format("{}{}: {}", out.empty() ? "" : "; ", to_string(r.code), r.detail);
    return out;
  }

  void tell(std::size_t b, const BackendDecision& before, const BackendDecision& after) {
    const config::Backend& cfg = config_.backends[b];
    for (std::size_t i = 0; i < after.servers.size(); ++i) {
      const ServerDecision& now = after.servers[i];
      const bool known = i < before.servers.size();
      const State old_state = known ? before.servers[i].state : State::kUnknown;
      if (known && old_state == now.state && before.servers[i].weight == now.weight) continue;
      const std::string reasons = reasons_text(now.reasons);
      const std::string state = old_state == now.state
                                    ? std::string(to_string(now.state))
                                    : fmt::format("{} -> {}", to_string(old_state), to_string(now.state));
      const std::string weight = known && before.servers[i].weight != now.weight
                                     ? fmt::format("{} -> {}", before.servers[i].weight, now.weight)
                                     : fmt::format("{}", now.weight);
      const std::string message = fmt::format("{}/{}: {}, weight {}{}", cfg.name, cfg.servers[i].name, state, weight,
                                              reasons.empty() ? "" : " (" + reasons + ")");
      const bool bad = now.state == State::kEjected && old_state != State::kEjected;
      log::write(bad ? config::LogLevel::kWarn : config::LogLevel::kInfo, message,
                 {{"backend", cfg.name},
                  {"server", cfg.servers[i].name},
                  {"state", to_string(now.state)},
                  {"weight", fmt::format("{}", now.weight)},
                  {"reason", now.reasons.empty() ? std::string_view{} : to_string(now.reasons.front().code)}});
    }
    if (before.fallback == after.fallback) return;
    if (!after.fallback)
      log::info(fmt::format("{}: enough servers are healthy again, weights follow the scores", cfg.name),
                {{"backend", cfg.name}});
    else
      log::warn(fmt::format("{}: {} of {} servers healthy, min_healthy is {}: {}", cfg.name, after.healthy,
                            after.servers.size(), cfg.min_healthy,
                            *after.fallback == config::Fallback::kEqual ? "all get the same weight"
                                                                        : "the last weights are kept"),
                {{"backend", cfg.name}, {"fallback", config::to_string(*after.fallback)}});
  }

  const config::Config& config_;
  Fleet fleet_;
  rpc::Prober prober_;
  std::minstd_rand random_;
  std::deque<Probe> probes_;
  std::vector<std::size_t> to_schedule_;
  std::size_t first_answers_ = 0;
  asio::steady_timer decide_timer_;
  asio::steady_timer silence_timer_;
  steady_clock::time_point last_decision_{};
  bool decision_wanted_ = false;
  bool stopping_ = false;
  bool running_ = false;
  Latch loops_;
  Watches watches_;
  Alive alive_;
};

Daemon::Daemon(boost::asio::io_context& io, const config::Config& config, bool dry_run)
    : impl_(std::make_unique<Impl>(io, config, dry_run)) {}
Daemon::~Daemon() = default;
boost::asio::awaitable<void> Daemon::run() {
  return impl_->run();
}
void Daemon::request_stop() {
  impl_->request_stop();
}
void Daemon::abandon() {
  impl_->abandon();
}
Fleet& Daemon::fleet() {
  return impl_->fleet();
}

}  // namespace rpcw
