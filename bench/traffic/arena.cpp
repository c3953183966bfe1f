#include "traffic/arena.hpp"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>

#include "integration/haproxy_process.hpp"
#include "integration/process.hpp"
#include "sim/sim.hpp"
#include "traffic/haproxy_socket.hpp"
#include "traffic/oracle.hpp"
#include "traffic/script.hpp"

namespace rpcw::bench {
namespace {

/// Under load and before the scenario's start: everybody has found his weights.
constexpr double kWarmUp = 8.0;
/// Until the last program has been started.
constexpr std::chrono::seconds kLeadTime{1};
constexpr std::chrono::milliseconds kWatch{100};

double load_average() {
  double one = 0;
  return getloadavg(&one, 1) == 1 ? one : 0;
}

std::chrono::sys_time<std::chrono::milliseconds> whole_second() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

/// By less than a second. A head that stands still is too far behind when the chain makes a certain block, which
/// happens at whole seconds of the scenario whenever the fault began.
Scenario shifted(Scenario scenario, double seconds) {
  for (Fault& f : scenario.faults) {
    f.from_s += seconds;
    f.to_s += seconds;
    if (f.bad_after_s > 0) f.bad_after_s -= seconds;
  }
  return scenario;
}

/// The first moment at least so far away at which the chain makes a block.
Clock::time_point next_block_after(Clock::duration span) {
  const auto wall = std::chrono::system_clock::now() + span;
  return Clock::now() + span + (std::chrono::ceil<std::chrono::seconds>(wall) - wall);
}

/// A thread that runs an io_context until it is stopped.
class Thread {
 public:
  Thread() : work_(asio::make_work_guard(io)), thread_([this] { io.run(); }) {}
  ~Thread() { stop(); }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  void stop() {
    io.stop();
    if (thread_.joinable()) thread_.join();
  }

  asio::io_context io{1};

 private:
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::thread thread_;
};

/// The port that was found free may be gone when HAProxy binds it.
std::unique_ptr<test::HaproxyProcess> start_haproxy(const Contestant& contestant,
                                                    const std::vector<std::uint16_t>& ports, std::uint16_t& port) {
  constexpr int kTries = 3;
  for (int i = 1;; ++i) {
    port = test::free_port();
    try {
      return std::make_unique<test::HaproxyProcess>(haproxy_cfg(contestant, port, ports));
    } catch (const std::runtime_error&) {
      if (i == kTries) throw;
    }
  }
}

/// What belongs to one contestant.
struct Stand {
  Contestant contestant;
  std::unique_ptr<sim::World> world;
  std::vector<sim::Provider*> providers;
  std::vector<std::uint16_t> ports;
  std::uint16_t front = 0;
  std::unique_ptr<test::HaproxyProcess> haproxy;
  std::unique_ptr<test::Process> weighter;
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
    for (const Contestant& c : contestants) stands_.emplace_back().contestant = c;
    for (Stand& s : stands_) build_providers(s);
  }

  ~Arena() {
    // The programs before what they talk to; the worlds when nobody serves them any more.
    loads_.stop();
    for (Stand& s : stands_) {
      s.weighter.reset();
      s.haproxy.reset();
    }
    simulation_.stop();
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  std::optional<Run> run() {
    Run out{.scenario = scenario_, .seed = options_.seed, .lanes = {}, .load_average = load_average() / 2};
    for (Stand& s : stands_) s.haproxy = start_haproxy(s.contestant, s.ports, s.front);
    start_ = next_block_after(kLeadTime +
                              std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(kWarmUp)));
    for (Stand& s : stands_) start_contestant(s);
    start_loads();
    spawn(timeline());
    for (Stand& s : stands_) spawn(watch(s));
    control_.run();
    if (interrupted_) return std::nullopt;

    loads_.stop();
    out.load_average += load_average() / 2;
    for (Stand& s : stands_) {
      Lane lane{.contestant = s.contestant.name, .shots = s.load->shots(), .shares = std::move(s.shares), .log = {}};
      if (s.weighter) {
        s.weighter->signal(SIGTERM);
        const auto code = s.weighter->wait();
        lane.log = s.weighter->err();
        if (code != 0) throw std::runtime_error(s.contestant.name + ": the program ended badly:\n" + lane.log);
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

  void build_providers(Stand& stand) {
    sim::Options world{.chain = {.chain_id = kChainId, .block_time = kBlockTime, .genesis = genesis_},
                       .seed = options_.seed};
    stand.world = std::make_unique<sim::World>(simulation_.io, std::move(world));
    for (std::size_t i = 0; i < bench::providers().size(); ++i) {
      sim::Provider& provider = stand.world->add(bench::providers()[i].name);
      provider.set(healthy(i));
      stand.providers.push_back(&provider);
      stand.ports.push_back(provider.port());
    }
  }

  void start_contestant(Stand& s) {
    switch (s.contestant.kind) {
      case Contestant::Kind::kPlain:
      case Contestant::Kind::kChecks:
        break;
      case Contestant::Kind::kScript:
        s.script = std::make_unique<Script>(control_, s.ports, s.haproxy->admin_socket());
        spawn(s.script->run());
        break;
      case Contestant::Kind::kOracle:
        s.oracle = std::make_unique<Oracle>(control_, scenario_, start_, s.haproxy->admin_socket());
        spawn(s.oracle->run());
        break;
      case Contestant::Kind::kWeighter: {
        const std::string config = s.haproxy->path("config.toml");
        std::ofstream(config) << weighter_toml(s.contestant, s.haproxy->admin_socket(), s.ports);
        std::filesystem::permissions(config, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
        s.weighter = std::make_unique<test::Process>(
            options_.weighter,
            test::Process::Setup{.arguments = {"run", "--config", config}, .environment = {"TZ=UTC"}});
        break;
      }
    }
  }

  void start_loads() {
    for (std::size_t i = 0; i < stands_.size(); ++i) {
      Stand& s = stands_[i];
      s.load = std::make_unique<Load>(loads_.io, s.world->chain(),
                                      Load::Plan{.port = s.front,
                                                 .start = start_,
                                                 .from_s = -kWarmUp,
                                                 .to_s = scenario_.seconds,
                                                 .phase = static_cast<double>(i) / static_cast<double>(stands_.size()),
                                                 .seed = options_.seed});
      ++loads_running_;
      asio::co_spawn(loads_.io, s.load->run(), [this](const std::exception_ptr& e) {
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
    for (const Stand& s : stands_) s.providers[provider]->set(behaviour);
  }

  asio::awaitable<void> watch(Stand& s) {
    asio::steady_timer timer(control_);
    for (;;) {
      const auto next = Clock::now() + kWatch;
      if (const auto weights = co_await effective_weights(s.haproxy->admin_socket())) {
        double sum = 0;
        for (const unsigned w : *weights) sum += w;
        Shares now{now_s(), {}};
        for (const unsigned w : *weights) now.parts.push_back(sum > 0 ? w / sum : 0.0);
        if (s.shares.empty() || s.shares.back().parts != now.parts) s.shares.push_back(std::move(now));
      }
      timer.expires_at(next);
      co_await timer.async_wait(asio::use_awaitable);
    }
  }

  const ArenaOptions options_;
  std::mt19937_64 random_;
  Scenario scenario_;
  const sim::WallTime genesis_ = whole_second();
  Clock::time_point start_;
  bool interrupted_ = false;
  std::size_t loads_running_ = 0;
  asio::io_context control_{1};
  asio::signal_set signals_;
  Thread simulation_;
  Thread loads_;
  std::vector<Stand> stands_;
};

}  // namespace

std::optional<Run> run_scenario(const Scenario& scenario, std::span<const Contestant> contestants,
                                const ArenaOptions& options) {
  return Arena(scenario, contestants, options).run();
}

}  // namespace rpcw::bench
