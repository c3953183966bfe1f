#include "weighter/daemon.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "haproxy/client.hpp"
#include "observe/log.hpp"
#include "rpc/prober.hpp"
#include "weighter/alive.hpp"
#include "weighter/constants.hpp"
#include "weighter/latch.hpp"
#include "weighter/subjects.hpp"

namespace rpcw {
namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;

/// Decisions follow news at once, but no faster than this: a burst of answers is one decision.
constexpr milliseconds kLeastBetweenDecisions{100};

/// Probes are spread by this part of the interval, so that many agents, or many servers of one, do not fall into step.
constexpr double kJitter = 0.1;

/// A HAProxy that cannot be reached is tried again after the watch interval, then ever less often up to this.
constexpr milliseconds kLongestBackOff{5000};

/// A weight that HAProxy refused is not sent again for this long: its words will be the same.
constexpr milliseconds kRefusalPause{30'000};

/// Without a Retry-After the interval between two probes doubles with each rate limit in a row, this often at the most.
constexpr unsigned kMostDoublings = 4;
/// However long a provider asks us to stay away: its head would be too old to say anything.
constexpr milliseconds kLongestRetryAfter{300'000};

/// One HAProxy and what is known of it.
struct Watched {
  Watched(asio::io_context& io, const config::Haproxy& settings, const config::Endpoint& endpoint)
      : name(endpoint.text), client(io.get_executor(), endpoint, settings.tls, settings.timeout), wake(io) {}

  std::string name;
  haproxy::Client client;
  /// Ends an exchange that is under way.
  asio::cancellation_signal give_up;
  /// Ends the wait for the next watch early, when there is something to push.
  asio::steady_timer wake;
  bool woken = false;
  /// As last read, with what was confirmed since; absent: not reachable.
  std::optional<haproxy::Instance> instance;
  bool ever_reached = false;
  /// The kinds of trouble that were told since it was last there.
  std::set<haproxy::Error> troubles;
  milliseconds back_off{0};
  /// Servers that were refused, until when.
  std::map<std::pair<std::uint32_t, std::uint32_t>, steady_clock::time_point> refused;
  /// What was said about this worker already, so that it is said once.
  std::set<std::string> said;
};

}  // namespace

class Daemon::Impl {
 public:
  Impl(asio::io_context& io, const config::Config& config, bool dry_run)
      : io_(io),
        config_(config),
        dry_run_(dry_run),
        fleet_(config),
        prober_(io, config.probe, subjects(fleet_)),
        random_(std::random_device{}()),
        decide_timer_(io),
        silence_timer_(io),
        loops_(io.get_executor()) {
    for (std::size_t i = 0; i < fleet_.targets().size(); ++i) probes_.emplace_back(io);
    for (const config::Endpoint& e : config.haproxy.endpoints) watched_.emplace_back(io, config.haproxy, e);
  }

  Fleet& fleet() { return fleet_; }

  asio::awaitable<void> run() {
    for (Watched& w : watched_) {
      loops_.expect();
      asio::co_spawn(io_, watch(w), asio::bind_cancellation_slot(w.give_up.slot(), rethrow));
    }
    // What an earlier daemon has learned needs no first answer.
    for (std::size_t i = 0; i < probes_.size(); ++i)
      if (fleet_.history(i).observations > 0 && !fleet_.cold()) answered(probes_[i]);
    for (std::size_t i = 0; i < probes_.size(); ++i) probe(i);
    listen_to_silence();
    loops_.expect();  // for request_stop
    if (stopping_) loops_.arrive();
    running_ = true;
    co_await loops_.wait();
  }

  void request_stop() {
    if (std::exchange(stopping_, true)) return;
    for (Watched& w : watched_) wake(w);
    for (Probe& p : probes_) p.timer.cancel();
    decide_timer_.cancel();
    silence_timer_.cancel();
    if (running_) loops_.arrive();
  }

  void abandon() {
    request_stop();
    for (Watched& w : watched_) w.give_up.emit(asio::cancellation_type::terminal);
  }

 private:
  struct Probe {
    explicit Probe(asio::io_context& io) : timer(io) {}
    asio::steady_timer timer;
    steady_clock::time_point last_start{};
    /// Its head is asked for, and has not come.
    bool head_under_way = false;
    /// Answers of its first round that are still to come: the first decision waits for them.
    unsigned first_round = 0;
    bool begun = false;
    bool answered = false;
  };

  // ---- probing

  void probe(std::size_t i) {
    if (stopping_) return;
    Probe& p = probes_[i];
    p.last_start = steady_clock::now();
    p.head_under_way = true;
    const bool first_round = !std::exchange(p.begun, true);
    const std::vector<Ask> beside = fleet_.begin_probe(i, read_clocks().mono);
    if (first_round) p.first_round = static_cast<unsigned>(1 + beside.size());
    prober_.head(i, [this, i, first_round](HeadObservation o) {
      fleet_.observe(i, std::move(o));
      probes_[i].head_under_way = false;
      to_schedule_.push_back(i);
      settle(i, first_round);
    });
    for (const Ask& question : beside) ask(i, question, first_round);
  }

  void ask(std::size_t i, const Ask& question, bool first_round) {
    prober_.ask(i, question, [this, i, first_round](const Answer& a) {
      fleet_.observe(i, a);
      settle(i, first_round);
    });
  }

  void settle(std::size_t i, bool first_round) {
    if (first_round && --probes_[i].first_round == 0) answered(probes_[i]);
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
      if (!probes_[i].head_under_way || now - probes_[i].last_start < constants::kSilenceLeast) continue;
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
    for (const Fleet::TargetAsk& q : fleet_.urgent_questions()) ask(q.target, q.ask, false);
    schedule_all();
    for (Watched& w : watched_) wake(w);
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

  // ---- HAProxy

  static void wake(Watched& w) {
    w.woken = true;
    w.wake.cancel();
  }

  asio::awaitable<void> watch(Watched& w) {
    auto next_read = steady_clock::now();
    while (!stopping_) {
      if (steady_clock::now() >= next_read) {
        co_await read(w);
        next_read = steady_clock::now() + (w.instance ? config_.haproxy.watch_interval : w.back_off);
      }
      if (w.instance && !stopping_) {
        const bool fine = co_await push(w);
        if (!fine) next_read = steady_clock::now() + w.back_off;
      }
      if (stopping_) break;
      if (!std::exchange(w.woken, false)) {
        w.wake.expires_at(next_read);
        co_await w.wake.async_wait(asio::as_tuple(asio::use_awaitable));
        w.woken = false;
      }
    }
    loops_.arrive();
  }

  asio::awaitable<void> read(Watched& w) {
    std::vector<std::string> backends = fleet_.backend_names();
    auto got = co_await w.client.read(backends);
    if (!got) {
      lost(w, got.error().code, got.error().detail);
      co_return;
    }
    const bool was_reachable = w.instance.has_value();
    const std::int64_t old_pid = was_reachable ? w.instance->pid : 0;
    w.instance = std::move(*got);
    w.back_off = milliseconds{0};
    if (!was_reachable) {
      log::info(fmt::format("HAProxy {} is {}: version {}, pid {}", w.name, w.ever_reached ? "back" : "there",
                            w.instance->version, w.instance->pid),
                {{"endpoint", w.name}});
    } else if (old_pid != w.instance->pid) {
      log::info(fmt::format("HAProxy {} was reloaded: pid {} -> {}", w.name, old_pid, w.instance->pid),
                {{"endpoint", w.name}});
    }
    if (!was_reachable || old_pid != w.instance->pid) {
      w.refused.clear();
      w.said.clear();
      fleet_.drive_by_weight();
    }
    w.ever_reached = true;
    w.troubles.clear();
    for (const std::string& what : fleet_.missing(*w.instance)) say_once(w, what);
    // At once, so that nothing is pushed that was decided without knowing of a backup or of a maintenance.
    if (&w == first_reachable() && fleet_.see(&*w.instance) && all_answered()) decide();
  }

  const Watched* first_reachable() const {
    const auto it = std::ranges::find_if(watched_, [](const Watched& w) { return w.instance.has_value(); });
    return it == watched_.end() ? nullptr : &*it;
  }

  void say_once(Watched& w, const std::string& what) {
    if (w.said.insert(what).second) log::warn(fmt::format("{}: {}", w.name, what), {{"endpoint", w.name}});
  }

  /// `why` begins with the endpoint.
  void lost(Watched& w, haproxy::Error kind, const std::string& why) {
    if (stopping_) return;
    // Each kind once: how many replies came before a time-out differs from one attempt to the next.
    if (w.troubles.insert(kind).second)
      log::error(fmt::format("HAProxy cannot be used: {}", why),
                 {{"endpoint", w.name}, {"error", haproxy::to_string(kind)}});
    w.instance.reset();
    w.back_off = std::clamp(w.back_off * 2, config_.haproxy.watch_interval,
                            std::max(kLongestBackOff, config_.haproxy.watch_interval));
  }

  /// Brings this HAProxy to what was decided. False when that failed and it has to be read again.
  asio::awaitable<bool> push(Watched& w) {
    const auto now = steady_clock::now();
    std::erase_if(w.refused, [&](const auto& entry) { return entry.second <= now; });
    std::vector<WeightChange> changes = fleet_.plan(*w.instance);
    std::erase_if(changes, [&](const WeightChange& c) { return w.refused.contains({c.backend, c.server}); });
    if (changes.empty()) co_return true;
    if (dry_run_) {
      for (const WeightChange& c : changes)
        say_once(w, fmt::format("dry run: would set weight {}/{} {} -> {}", config_.backends[c.backend].name,
                                config_.backends[c.backend].servers[c.server].name, c.from, c.to));
      co_return true;
    }
    std::vector<haproxy::Client::Push> commands;
    commands.reserve(changes.size());
    for (const WeightChange& c : changes)
      commands.push_back(
          {config_.backends[c.backend].name, config_.backends[c.backend].servers[c.server].name, c.percent, c.to});
    const std::vector<haproxy::Outcome> outcomes = co_await w.client.push(std::move(commands));
    std::string unconfirmed;
    haproxy::Error kind{};
    for (std::size_t k = 0; k < outcomes.size(); ++k) {
      const WeightChange& c = changes[k];
      const config::Backend& cfg = config_.backends[c.backend];
      const std::string& server = cfg.servers[c.server].name;
      if (outcomes[k].kind == haproxy::Outcome::Kind::kDone) {
        if (haproxy::BackendRow* row = w.instance->backend(cfg.name))
          if (haproxy::ServerRow* s = row->server(server)) s->uweight = c.percent && c.to > 0 ? s->iweight.value_or(1) : c.to;
        log::debug(fmt::format("{}: {}/{} set to {}", w.name, cfg.name, server, c.to), {{"endpoint", w.name}});
      } else if (outcomes[k].kind == haproxy::Outcome::Kind::kRefused) {
        if (outcomes[k].refusal == haproxy::Refusal::kStaticAlgorithm) {
          say_once(w, fmt::format("{} has a static algorithm and takes only 0 % and 100 %: servers are switched off and "
                                  "on, their shares are those of haproxy.cfg",
                                  cfg.name));
          fleet_.drive_by_percent(c.backend);
          w.woken = true;
          continue;
        }
        w.refused[{c.backend, c.server}] = steady_clock::now() + kRefusalPause;
        say_once(w, fmt::format("set weight {}/{} {} was refused: {}", cfg.name, server, c.to, outcomes[k].detail));
      } else {
        unconfirmed = outcomes[k].detail;
        kind = outcomes[k].error.value_or(haproxy::Error::kIo);
      }
    }
    if (unconfirmed.empty()) co_return true;
    lost(w, kind, unconfirmed);
    co_return false;
  }

  asio::io_context& io_;
  const config::Config& config_;
  const bool dry_run_;
  Fleet fleet_;
  rpc::Prober prober_;
  std::minstd_rand random_;
  std::deque<Probe> probes_;
  std::deque<Watched> watched_;
  std::vector<std::size_t> to_schedule_;
  std::size_t first_answers_ = 0;
  asio::steady_timer decide_timer_;
  asio::steady_timer silence_timer_;
  steady_clock::time_point last_decision_{};
  bool decision_wanted_ = false;
  bool stopping_ = false;
  bool running_ = false;
  Latch loops_;
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
