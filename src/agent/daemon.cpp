#include "agent/daemon.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "agent/decision_log.hpp"
#include "agent/subjects.hpp"
#include "agent/watches.hpp"
#include "base/lifetime_guard.hpp"
#include "base/open_files.hpp"
#include "base/wait_group.hpp"
#include "observe/log.hpp"
#include "rpc/prober.hpp"
#include "weighter/plan/roster.hpp"
#include "weighter/schedule/agenda.hpp"
#include "weighter/schedule/cadence.hpp"

namespace rpcw {
namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;

/// Decisions follow news at once, but no faster than this: a burst of answers is one decision.
constexpr milliseconds kLeastBetweenDecisions{100};

/// Probes are spread by this part of the interval, so that many agents, or many servers of one, do not fall into step.
constexpr double kJitter = 0.1;

/// However bad a server's traffic looks, probes are at least this far apart.
constexpr milliseconds kLeastBetweenProbes{200};

/// A HAProxy behind a name that was known before and is not found within this time has left.
constexpr milliseconds kNamesTake{60'000};

}  // namespace

class Daemon::Impl {
 public:
  Impl(asio::io_context& io, const config::Config& file, bool dry_run, Lists lists, FirstRound first_round)
      : io_(io),
        file_(file),
        known_before_(std::move(lists)),
        roster_(roster_of(file, known_before_.pointers())),
        config_(expanded()),
        fleet_(config_),
        prober_(io, config_.probe, subjects(fleet_, file_)),
        first_round_before_(std::move(first_round)),
        random_(std::random_device{}()),
        decide_timer_(io),
        loops_(io.get_executor()),
        watches_(
            io, config_, fleet_, dry_run,
            [this] {
              if (all_answered()) decide();
            },
            [this](const std::vector<std::size_t>& suspects) {
              for (const std::size_t i : suspects) look_at(probes_[i]);
              if (all_answered()) want_decision();
            },
            discovers(file) ? std::function<void()>([this] { follow_lists(); }) : nullptr) {
    for (std::size_t i = 0; i < fleet_.targets().size(); ++i) probes_.push_back(std::make_shared<Probe>(io, i, i));
  }

  Lists lists() const {
    Lists out;
    if (!discovers(file_)) return out;
    for (const Watches::List& list : known_lists()) {
      if (list.instance == nullptr) continue;
      out.endpoints.emplace_back(list.endpoint);
      out.instances.push_back(*list.instance);
    }
    return out;
  }

  FirstRound first_round() const {
    FirstRound out;
    for (const ProbePtr& p : probes_)
      if (p->answered)
        out.emplace(key_of(p->target), std::nullopt);
      else if (p->first_asked)
        out.emplace(key_of(p->target), p->first_asked);
    return out;
  }

  Fleet& fleet() { return fleet_; }

  asio::awaitable<void> run() {
    watches_.start(loops_);
    // What an earlier daemon has learned needs no first answer.
    for (std::size_t i = 0; i < probes_.size(); ++i) {
      if (fleet_.history(i).observations > 0 && !fleet_.cold()) answered(*probes_[i]);
      wait_on(probes_[i]);
    }
    probe(probes_);
    loops_.expect();  // for request_stop
    if (stopping_) loops_.arrive();
    running_ = true;
    co_await loops_.wait();
  }

  void request_stop() {
    if (std::exchange(stopping_, true)) return;
    watches_.request_stop();
    for (const ProbePtr& p : probes_) {
      p->timer.cancel();
      p->chance.cancel();
    }
    decide_timer_.cancel();
    if (running_) loops_.arrive();
  }

  void abandon() {
    request_stop();
    watches_.abandon();
  }

 private:
  struct Probe {
    Probe(asio::io_context& io, std::size_t in_fleet, std::size_t in_prober)
        : timer(io), chance(io), target(in_fleet), subject(in_prober) {}
    asio::steady_timer timer;
    /// Ends the waiting for a first answer that an earlier daemon has begun.
    asio::steady_timer chance;
    /// Index in the fleet, which changes with HAProxy's list, and in the prober, which does not.
    std::size_t target;
    std::size_t subject;
    /// HAProxy does not have it any more.
    bool gone = false;
    steady_clock::time_point last_start{};
    /// When its newest request left our queue.
    steady_clock::time_point left_at{};
    /// By this daemon, or one before that it goes on from.
    std::optional<steady_clock::time_point> first_asked{};
    /// Its head is asked for, and has not come.
    bool head_under_way = false;
    /// Answers of its first round that are still to come: the first decision waits for them.
    unsigned first_round = 0;
    bool begun = false;
    bool answered = false;
    /// The decisions on its backend wait for it, and for nothing else.
    bool holds_up = false;
  };
  using ProbePtr = std::shared_ptr<Probe>;

  // ---- probing

  void probe(const ProbePtr& p) { probe(std::span(&p, 1)); }

  void probe(std::span<const ProbePtr> these) {
    struct Beside {
      const ProbePtr& probe;
      bool first_round;
      std::vector<Ask> questions;
    };
    std::vector<Beside> beside;
    beside.reserve(these.size());
    std::size_t requests = 0;
    for (const ProbePtr& p : these) {
      if (stopping_ || p->gone) continue;
      const bool first_round = !std::exchange(p->begun, true);
      beside.push_back({p, first_round, begin(*p, first_round)});
      requests += 1 + beside.back().questions.size();
    }
    if (requests >= kRequestsWorthBatching) {
      for (const Beside& b : beside) {
        prober_.head_and_questions(b.probe->subject, b.questions, rpc::Afterwards::kKeep,
                                   head_handler(b.probe, b.first_round), answer_handler(b.probe, b.first_round),
                                   left_handler(b.probe));
      }
      return;
    }
    for (const Beside& b : beside)
      prober_.head(b.probe->subject, head_handler(b.probe, b.first_round), left_handler(b.probe));
    for (const Beside& b : beside)
      for (const Ask& q : b.questions) ask(b.probe, q, b.first_round);
  }

  /// Returns what is to be asked besides.
  std::vector<Ask> begin(Probe& p, bool first_round) {
    p.last_start = steady_clock::now();
    if (!p.first_asked) p.first_asked = p.last_start;
    p.head_under_way = true;
    std::vector<Ask> beside = fleet_.begin_probe(p.target, read_clocks().mono);
    if (first_round) p.first_round = static_cast<unsigned>(1 + beside.size());
    return beside;
  }

  std::move_only_function<void(HeadObservation)> head_handler(const ProbePtr& p, bool first_round) {
    return [this, p, first_round](HeadObservation o) {
      fleet_.observe(p->target, std::move(o));
      p->head_under_way = false;
      to_schedule_.push_back(p);
      settle(*p, first_round);
    };
  }

  /// Silence counts from here: what a probe has waited for its turn among ours is not the provider's.
  std::move_only_function<void()> left_handler(const ProbePtr& p) {
    return [this, p] {
      if (stopping_ || p->gone) return;
      p->left_at = steady_clock::now();
      fleet_.probe_sent(p->target, read_clocks().mono);
      listen_to_silence(p);
    };
  }

  std::move_only_function<void(Answer)> answer_handler(const ProbePtr& p, bool first_round) {
    return [this, p, first_round](const Answer& a) {
      fleet_.observe(p->target, a);
      settle(*p, first_round);
    };
  }

  /// Its traffic looks bad: the next probe is not waited for.
  void look_at(const ProbePtr& p) {
    if (stopping_ || p->head_under_way || fleet_.history(p->target).limited ||
        steady_clock::now() - p->last_start < kLeastBetweenProbes)
      return;
    p->timer.cancel();
    probe(p);
  }

  void ask(const ProbePtr& p, const Ask& question, bool first_round) {
    prober_.ask(p->subject, question, answer_handler(p, first_round));
  }

  void settle(Probe& p, bool first_round) {
    if (first_round && --p.first_round == 0) {
      answered(p);
      if (std::exchange(p.holds_up, false)) let_go(fleet_.targets()[p.target].backend);
    }
    if (all_answered())
      want_decision();
    else
      schedule_all();
  }

  void answered(Probe& p) {
    if (!std::exchange(p.answered, true)) ++first_answers_;
  }

  /// The first decision waits for a target as long as it would without the reload.
  void wait_on(const ProbePtr& p) {
    const auto before = first_round_before_.find(key_of(p->target));
    if (p->answered || before == first_round_before_.end()) return;
    if (!before->second) {
      answered(*p);
      return;
    }
    p->first_asked = *before->second;
    p->chance.expires_at(*p->first_asked + config_.probe.timeout);
    p->chance.async_wait(alive_.guard([this, p] {
      if (stopping_ || p->gone || p->answered) return;
      answered(*p);
      if (all_answered()) want_decision();
    }));
  }

  /// The first decision waits until everybody had a chance: a share for whoever happens to answer first would swing the
  /// traffic at every start.
  bool all_answered() const { return first_answers_ == probes_.size(); }

  void schedule_all() {
    for (const ProbePtr& p : std::exchange(to_schedule_, {})) schedule(p);
  }

  /// A provider that does not answer loses weight before its time-out, so its silence is news from time to time.
  /// Its timer is free while its head is under way.
  void listen_to_silence(const ProbePtr& p) {
    const double usual_ms = fleet_.history(p->target).smoothed_latency_ms.value_or(0);
    if (usual_ms <= 0) {
      wait_for_silence(p, silence_noticed(usual_ms));
      return;
    }
    p->timer.expires_after(silence_suspected(usual_ms));
    p->timer.async_wait(alive_.guard([this, p, usual_ms] {
      if (stopping_ || p->gone || !p->head_under_way) return;
      if (!fleet_.history(p->target).ejected) watches_.look();
      wait_for_silence(p, silence_noticed(usual_ms) - silence_suspected(usual_ms));
    }));
  }

  void wait_for_silence(const ProbePtr& p, steady_clock::duration from_now) {
    p->timer.expires_after(from_now);
    p->timer.async_wait(alive_.guard([this, p] {
      if (stopping_ || p->gone || !p->head_under_way) return;
      fleet_.silent(p->target);
      if (all_answered()) want_decision();
      // Again when it has become a quarter longer: less would change no weight.
      wait_for_silence(p, (steady_clock::now() - p->left_at) / 4);
    }));
  }

  void schedule(const ProbePtr& p) {
    if (p->gone) return;
    const milliseconds interval = probe_interval(fleet_.history(p->target), config_.probe);
    std::uniform_real_distribution<double> spread(1.0 - kJitter, 1.0 + kJitter);
    const auto wait = std::chrono::duration_cast<steady_clock::duration>(interval * spread(random_));
    p->timer.expires_at(p->last_start + wait);
    p->timer.async_wait(alive_.guard([this, p] { probe(p); }));
  }

  // ---- HAProxy's lists

  /// Of a HAProxy that was not read yet, what it was known to have; also where its name is still being looked up.
  std::vector<Watches::List> known_lists() const {
    std::vector<Watches::List> out = watches_.lists();
    const bool young = steady_clock::now() - begun_ < kNamesTake;
    for (std::size_t i = 0; i < known_before_.instances.size(); ++i) {
      const auto it = std::ranges::find(out, known_before_.endpoints[i], &Watches::List::endpoint);
      if (it == out.end() && young)
        out.push_back({known_before_.endpoints[i], &known_before_.instances[i]});
      else if (it != out.end() && it->instance == nullptr)
        it->instance = &known_before_.instances[i];
    }
    return out;
  }

  /// The configuration with the roster's servers. Tells each remark once.
  config::Config expanded() {
    Expansion out = with_servers(file_, roster_);
    for (const std::string& remark : out.remarks)
      if (remarks_told_.insert(remark).second) log::warn(remark);
    // Without enough of them probes fail; the weights of those that are known are kept all the same.
    if (discovers(file_))
      if (const auto ok = rpc::ensure_open_files(open_files_for(out.config));
          !ok && remarks_told_.insert(ok.error()).second)
        log::warn(ok.error());
    return std::move(out.config);
  }

  /// What makes a target another one.
  std::string key_of(std::size_t target) const {
    const Fleet::Target& t = fleet_.targets()[target];
    const config::Backend& b = config_.backends[t.backend];
    // By names: another daemon's lists may have another order.
    return t.reference ? fmt::format("{}\n{}", b.name, b.references[t.index].url)
                       : fmt::format("{}\n{}\n{}", b.name, b.servers[t.index].name, b.servers[t.index].target.url);
  }

  void follow_lists() {
    if (stopping_) return;
    std::vector<const haproxy::Instance*> lists;
    for (const Watches::List& list : known_lists()) lists.push_back(list.instance);
    Roster fresh = roster_of(file_, lists);
    if (fresh == roster_) return;
    roster_ = std::move(fresh);
    config::Config config = expanded();
    std::vector<bool> changed(config.backends.size());
    for (std::size_t b = 0; b < config.backends.size(); ++b)
      changed[b] = tell_changes(config_.backends[b], config.backends[b]);
    if (std::ranges::find(changed, true) == changed.end()) {
      for (std::size_t b = 0; b < config.backends.size(); ++b) config_.backends[b].absent = config.backends[b].absent;
      return;
    }

    std::map<std::string, ProbePtr> known;
    for (const ProbePtr& p : probes_) known.emplace(key_of(p->target), p);
    fleet_.change_servers([&] { config_ = std::move(config); }, read_clocks().mono);
    const bool deciding = all_answered();
    probes_.clear();
    std::vector<ProbePtr> newcomers;
    for (std::size_t i = 0; i < fleet_.targets().size(); ++i) {
      const auto it = known.find(key_of(i));
      if (it != known.end()) {
        probes_.push_back(std::move(it->second));
        probes_.back()->target = i;
        known.erase(it);
        continue;
      }
      const std::uint32_t b = fleet_.targets()[i].backend;
      probes_.push_back(std::make_shared<Probe>(io_, i, prober_.add(subject(fleet_, file_, i))));
      newcomers.push_back(probes_.back());
      // Before the first decision everybody is waited for. Later nobody else waits for a newcomer: it has no weight
      // until it has answered; only where there are none but newcomers one would get everything by being the first.
      if (!deciding) continue;
      newcomers.back()->answered = true;
      newcomers.back()->holds_up = !fleet_.decided(b);
    }
    for (const auto& [key, p] : known) {
      p->gone = true;
      p->timer.cancel();
      p->chance.cancel();
      prober_.remove(p->subject);
    }
    first_answers_ =
        static_cast<std::size_t>(std::ranges::count_if(probes_, [](const ProbePtr& p) { return p->answered; }));
    hold_up_backends();
    probe(newcomers);
    fleet_.see(watches_.reachable());
    if (all_answered()) decide();
  }

  void hold_up_backends() {
    held_up_by_.assign(config_.backends.size(), 0);
    for (const ProbePtr& p : probes_)
      if (p->holds_up) ++held_up_by_[fleet_.targets()[p->target].backend];
    for (std::uint32_t b = 0; b < held_up_by_.size(); ++b) fleet_.hold_up(b, held_up_by_[b] > 0);
  }

  /// One that the backend has waited for is there.
  void let_go(std::uint32_t backend) {
    if (--held_up_by_[backend] == 0) fleet_.hold_up(backend, false);
  }

  /// Returns whether the servers differ.
  static bool tell_changes(const config::Backend& before, const config::Backend& after) {
    const auto same = [](const config::Server& a, const config::Server& b) {
      return a.name == b.name && a.target.url == b.target.url;
    };
    if (std::ranges::equal(before.servers, after.servers, same)) return false;
    const auto only_in = [&](const config::Backend& these, const config::Backend& others, std::string_view what) {
      constexpr std::size_t kShown = 5;
      std::set<std::pair<std::string_view, std::string_view>> known;
      for (const config::Server& s : others.servers) known.emplace(s.name, s.target.url);
      std::string names;
      std::size_t count = 0;
      for (const config::Server& s : these.servers)
        if (!known.contains({s.name, s.target.url}) && count++ < kShown)
          names += fmt::format("{}{}", names.empty() ? "" : ", ", s.name);
      if (count > kShown) names += fmt::format(" and {} more", count - kShown);
      return count == 0 ? std::string{} : fmt::format(", {} {}: {}", count, what, names);
    };
    log::info(fmt::format("{}: HAProxy has {} server{} to probe{}{}", after.name, after.servers.size(),
                          after.servers.size() == 1 ? "" : "s", only_in(after, before, "new"),
                          only_in(before, after, "gone")),
              {{"backend", after.name}});
    return true;
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
    const Now now = read_clocks();
    for (const Fleet::Change& c : fleet_.decide(now))
      told_.tell(config_.backends[c.backend], c.before, fleet_.decision(c.backend), now.mono);
    if (fleet_.blind() && !was_blind)
      log::warn("no provider of any backend can be reached: look at this machine's network and name servers first",
                {{"reason", to_string(Reason::kBlind)}});
    else if (was_blind && !fleet_.blind())
      log::info("providers can be reached again");
    for (const Fleet::TargetAsk& q : fleet_.urgent_questions()) ask(probes_[q.target], q.ask, false);
    schedule_all();
    watches_.wake();
  }

  asio::io_context& io_;
  const config::Config& file_;
  const steady_clock::time_point begun_ = steady_clock::now();
  /// From before there was this daemon, for those that it has not read yet.
  const Lists known_before_;
  std::set<std::string> remarks_told_;
  Roster roster_;
  /// The file's, with the roster's servers. Stays where it is, as its servers come and go.
  config::Config config_;
  Fleet fleet_;
  rpc::Prober prober_;
  const FirstRound first_round_before_;
  std::minstd_rand random_;
  /// In the fleet's order.
  std::vector<ProbePtr> probes_;
  std::vector<ProbePtr> to_schedule_;
  /// By backend: how many of its probes hold it up.
  std::vector<std::size_t> held_up_by_;
  DecisionLog told_;
  std::size_t first_answers_ = 0;
  asio::steady_timer decide_timer_;
  steady_clock::time_point last_decision_{};
  bool decision_wanted_ = false;
  bool stopping_ = false;
  bool running_ = false;
  Latch loops_;
  Watches watches_;
  Alive alive_;
};

Daemon::Daemon(boost::asio::io_context& io, const config::Config& file, bool dry_run, Lists lists,
               FirstRound first_round)
    : impl_(std::make_unique<Impl>(io, file, dry_run, std::move(lists), std::move(first_round))) {}
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
Daemon::FirstRound Daemon::first_round() const {
  return impl_->first_round();
}
Lists Daemon::lists() const {
  return impl_->lists();
}

}  // namespace rpcw
