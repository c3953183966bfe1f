#include "traffic/arena.hpp"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <random>
#include <stdexcept>
#include <utility>

#include "traffic/computed.hpp"
#include "traffic/haproxy_socket.hpp"
#include "traffic/oracle.hpp"
#include "traffic/script.hpp"
#include "traffic/stand.hpp"
#include "traffic/thread.hpp"

namespace rpcw::bench {
namespace {

/// Until the last program has been started.
constexpr std::chrono::seconds kLeadTime{1};
constexpr std::chrono::milliseconds kWatch{100};

double load_average() {
  double one = 0;
  return getloadavg(&one, 1) == 1 ? one : 0;
}

/// The first moment at least so far away at which the chain makes a block.
Clock::time_point next_block_after(Clock::duration span) {
  const auto wall = std::chrono::system_clock::now() + span;
  return Clock::now() + span + (std::chrono::ceil<std::chrono::seconds>(wall) - wall);
}

/// A stand with its actors, and what was recorded.
struct Booth {
  explicit Booth(std::unique_ptr<Stand> its) : stand(std::move(its)) {}

  std::unique_ptr<Stand> stand;
  std::unique_ptr<Script> script;
  std::unique_ptr<Oracle> oracle;
  std::unique_ptr<Load> load;
  std::vector<Shares> shares;
};

class Arena {
 public:
  Arena(const Scenario& scenario, std::span<const Contestant> contestants, const ArenaOptions& options)
      : options_(options), random_(options.seed), signals_(control_, SIGINT, SIGTERM) {
    scenario_ = shifted(scenario, std::uniform_real_distribution<double>(0.0, 1.0)(random_));
    signals_.async_wait([this](const boost::system::error_code& ec, int) {
      if (ec) return;
      interrupted_ = true;
      control_.stop();
    });
    const sim::WallTime genesis = whole_second();
    for (const Contestant& c : contestants)
      booths_.emplace_back(std::make_unique<Stand>(simulation_.io, c, options.seed, genesis));
  }

  ~Arena() {
    // The programs before what they talk to; the worlds when nothing serves them any more.
    loads_.stop();
    for (Booth& b : booths_) b.stand->stop();
    simulation_.stop();
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  std::optional<Run> run() {
    Run out{.scenario = scenario_, .seed = options_.seed, .lanes = {}, .load_average = load_average() / 2};
    for (Booth& b : booths_) b.stand->start_haproxy(scenario_.setting);
    start_ = next_block_after(kLeadTime +
                              std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(kWarmUp)));
    for (Booth& b : booths_) start_contestant(b);
    start_loads();
    spawn(timeline());
    for (Booth& b : booths_) spawn(watch(b));
    control_.run();
    if (interrupted_) return std::nullopt;

    loads_.stop();
    out.load_average += load_average() / 2;
    for (Booth& b : booths_) {
      const Stand& stand = *b.stand;
      Lane lane{
          .contestant = stand.contestant.name, .shots = b.load->shots(), .shares = std::move(b.shares), .log = {}};
      if (stand.weighter) {
        stand.weighter->signal(SIGTERM);
        const auto code = stand.weighter->wait();
        lane.log = stand.weighter->err();
        if (code != 0) throw std::runtime_error(lane.contestant + ": the program ended badly:\n" + lane.log);
      }
      out.lanes.push_back(std::move(lane));
    }
    return out;
  }

 private:
  /// Any failure of the harness itself ends the run.
  void spawn(asio::awaitable<void> task) {
    asio::co_spawn(control_, std::move(task), [](const std::exception_ptr& e) {
      if (e) std::rethrow_exception(e);
    });
  }

  void start_contestant(Booth& b) {
    Stand& stand = *b.stand;
    switch (stand.contestant.kind) {
      case Contestant::Kind::kPlain:
      case Contestant::Kind::kChecks:
        break;
      case Contestant::Kind::kScript:
        b.script = std::make_unique<Script>(control_, stand.ports, stand.haproxy->admin_socket());
        spawn(b.script->run());
        break;
      case Contestant::Kind::kOracle:
        b.oracle = std::make_unique<Oracle>(control_, scenario_, start_, stand.haproxy->admin_socket());
        spawn(b.oracle->run());
        break;
      case Contestant::Kind::kWeighter:
        stand.start_weighter(options_.weighter);
        break;
    }
  }

  void start_loads() {
    for (std::size_t i = 0; i < booths_.size(); ++i) {
      Booth& b = booths_[i];
      b.load = std::make_unique<Load>(loads_.io, b.stand->world.chain(),
                                      Load::Plan{.port = b.stand->front,
                                                 .start = start_,
                                                 .from_s = -kWarmUp,
                                                 .to_s = scenario_.seconds,
                                                 .patience_s = scenario_.setting.patience_s,
                                                 .phase = static_cast<double>(i) / static_cast<double>(booths_.size()),
                                                 .seed = options_.seed});
      ++loads_running_;
      asio::co_spawn(loads_.io, b.load->run(), [this](const std::exception_ptr& e) {
        asio::post(control_, [this, e] {
          if (e) std::rethrow_exception(e);
          if (--loads_running_ == 0) control_.stop();
        });
      });
    }
  }

  double now_s() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  asio::awaitable<void> until(double at_s) {
    asio::steady_timer timer(control_);
    timer.expires_at(start_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(at_s)));
    co_await timer.async_wait(asio::use_awaitable);
  }

  asio::awaitable<void> timeline() {
    for (const Fault& f : scenario_.faults) {
      spawn(change(f.from_s, f.provider, faulty(f)));
      spawn(change(f.to_s, f.provider, healthy(f.provider)));
    }
    co_return;
  }

  asio::awaitable<void> change(double at_s, std::size_t provider, sim::Behaviour behaviour) {
    co_await until(at_s);
    for (const Booth& b : booths_) b.stand->providers[provider]->set(behaviour);
  }

  asio::awaitable<void> watch(Booth& b) {
    asio::steady_timer timer(control_);
    for (;;) {
      const auto next = Clock::now() + kWatch;
      if (const auto weights = co_await effective_weights(b.stand->haproxy->admin_socket())) {
        double sum = 0;
        for (const unsigned w : *weights) sum += w;
        Shares now{now_s(), {}};
        for (const unsigned w : *weights) now.parts.push_back(sum > 0 ? w / sum : 0.0);
        if (b.shares.empty() || b.shares.back().parts != now.parts) b.shares.push_back(std::move(now));
      }
      timer.expires_at(next);
      co_await timer.async_wait(asio::use_awaitable);
    }
  }

  const ArenaOptions options_;
  std::mt19937_64 random_;
  Scenario scenario_;
  Clock::time_point start_;
  bool interrupted_ = false;
  std::size_t loads_running_ = 0;
  asio::io_context control_{1};
  asio::signal_set signals_;
  Thread simulation_;
  Thread loads_;
  std::vector<Booth> booths_;
};

}  // namespace

std::optional<Run> run_scenario(const Scenario& scenario, std::span<const Contestant> contestants,
                                const ArenaOptions& options) {
  return Arena(scenario, contestants, options).run();
}

}  // namespace rpcw::bench
