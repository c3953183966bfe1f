#include "weighter/daemon.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "observe/log.hpp"
#include "rpc/prober.hpp"
#include "weighter/agenda.hpp"
#include "weighter/alive.hpp"
#include "weighter/constants.hpp"
#include "weighter/latch.hpp"
#include "weighter/subjects.hpp"
#include "weighter/watches.hpp"

namespace rpcw {
namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;

/// Decisions follow news at once, but no faster than this: a burst of answers is one decision.
constexpr milliseconds kLeastBetweenDecisions{100};

/// Probes are spread by this part of the interval, so that many agents, or many servers of one, do not fall into step.
constexpr double kJitter = 0.1;


}  // namespace

class Daemon::Impl {
 public:
  Impl(asio::io_context& io, const config::Config& config, bool dry_run)
      : config_(config),
        fleet_(config),
        prober_(io, config.probe, subjects(fleet_)),
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
    const milliseconds interval = probe_interval(fleet_.history(i), config_.probe);
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
    watches_.wake();
  }

  static std::string reasons_text(const std::vector<ReasonNote>& reasons) {
    std::string out;
    for (const ReasonNote& r : reasons)
      out += fmt::format("{}{}: {}", out.empty() ? "" : "; ", to_string(r.code), r.detail);
    return out;
  }

  /// Whether a server that stays degraded or ejected now has another first reason, which was not told since it came into
  /// this state. So each is told once a state, however often they take turns: a server whose time-outs and 503s alternate
  /// all night, or that lags and warms up in turn, makes one line of each. Details are left out of it: their numbers
  /// change all the time.
  bool new_reason(std::size_t b, std::size_t i, const ServerDecision& before, const ServerDecision& now) const {
    if (now.state != State::kDegraded && now.state != State::kEjected) return false;
    if (now.reasons.empty() || before.reasons.empty() || before.reasons[0].code == now.reasons[0].code) return false;
    const auto told = told_.find({b, i});
    return told == told_.end() || !told->second.contains(now.reasons[0].code);
  }

  void note_told(std::size_t b, std::size_t i, State old_state, const ServerDecision& now) {
    auto& told = told_[{b, i}];
    if (old_state != now.state) told.clear();
    if (!now.reasons.empty()) told.insert(now.reasons[0].code);
  }

  void tell(std::size_t b, const BackendDecision& before, const BackendDecision& after) {
    const config::Backend& cfg = config_.backends[b];
    for (std::size_t i = 0; i < after.servers.size(); ++i) {
      const ServerDecision& now = after.servers[i];
      const bool known = i < before.servers.size();
      const State old_state = known ? before.servers[i].state : State::kUnknown;
      const bool moved = !known || old_state != now.state || before.servers[i].weight != now.weight;
      if (!moved && !new_reason(b, i, before.servers[i], now)) continue;
      note_told(b, i, old_state, now);
      const std::string reasons = now.reasons.empty() ? slowness_text(now) : reasons_text(now.reasons);
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
  /// By backend and server: the first reasons that were logged since the server came into its present state.
  std::map<std::pair<std::size_t, std::size_t>, std::set<Reason>> told_;
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
