#include "reaction/trial.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <deque>
#include <exception>
#include <memory>
#include <random>
#include <stdexcept>

#include "traffic/haproxy_socket.hpp"
#include "traffic/http.hpp"
#include "traffic/scenario.hpp"
#include "traffic/stand.hpp"
#include "traffic/thread.hpp"

namespace rpcw::bench {
namespace {

/// Side by side: each is idle nearly all the time, but starting them is not.
constexpr std::size_t kAtATime = 32;
constexpr std::chrono::milliseconds kPoll{20};
constexpr std::chrono::seconds kStartPatience{20};
/// The faulty provider, and the one whose requests are counted.
constexpr std::size_t kFaulty = 0;
constexpr std::size_t kHealthy = 2;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Contestant adaptive(unsigned interval_ms) {
  return {"adaptive", Contestant::Kind::kWeighter, "adaptive", fmt::format("{}ms", interval_ms)};
}

/// Runs coroutines on the main thread until all have ended, or a signal comes.
class Stage {
 public:
  Stage() : signals_(io_, SIGINT, SIGTERM) {
    signals_.async_wait([this](const boost::system::error_code& ec, int) {
      interrupted_ = interrupted_ || !ec;
      io_.stop();
    });
  }

  void spawn(asio::awaitable<void> task) {
    ++running_;
    asio::co_spawn(io_, std::move(task), [this](const std::exception_ptr& e) {
      if (e) std::rethrow_exception(e);
      if (--running_ == 0) io_.stop();
    });
  }

  /// False: a signal came.
  bool run() {
    io_.run();
    return !interrupted_;
  }

  static asio::awaitable<void> sleep(double seconds) {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    timer.expires_after(std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds)));
    co_await timer.async_wait(asio::use_awaitable);
  }

  /// Polls HAProxy's weights until they satisfy; false: not in time.
  template <class Condition>
  static asio::awaitable<bool> until(const std::string& socket, Condition holds, double patience_seconds) {
    const auto start = Clock::now();
    while (seconds_since(start) < patience_seconds) {
      if (const auto weights = co_await effective_weights(socket); weights && holds(*weights)) co_return true;
      co_await sleep(std::chrono::duration<double>(kPoll).count());
    }
    co_return false;
  }

 private:
  asio::io_context io_{1};
  asio::signal_set signals_;
  std::size_t running_ = 0;
  bool interrupted_ = false;
};

/// haproxy.cfg gives all the same; the program gives the fastest more.
bool weighted(const std::vector<unsigned>& weights) {
  return weights.front() > weights.back();
}

double share(const std::vector<unsigned>& weights, std::size_t server) {
  double sum = 0;
  for (const unsigned w : weights) sum += w;
  return sum > 0 ? weights[server] / sum : 0;
}

struct Trial {
  std::size_t kind = 0;
  double phase = 0;
  std::optional<double> to_tenth_s;
  std::optional<double> to_zero_s;
  std::uint64_t requests = 0;
  double seconds = 0;
};

asio::awaitable<void> carry_out(Stand& stand, const CheckKind& kind, Trial& trial) {
  const std::string socket = stand.haproxy->admin_socket();
  if (!co_await Stage::until(socket, weighted, std::chrono::duration<double>(kStartPatience).count()))
    throw std::runtime_error("the program set no weights:\n" + stand.weighter->err());
  // Past what only a start does, and at any moment between two probes.
  const double interval = kind.interval_ms / 1000.0;
  co_await Stage::sleep(1.0 + trial.phase * interval);
  const auto weights = co_await effective_weights(socket);
  const double before = weights ? share(*weights, kFaulty) : 0;
  const std::uint64_t requests = stand.providers[kHealthy]->stats().requests;
  stand.providers[kFaulty]->set(
      faulty({.kind = kind.kind.name, .provider = kFaulty, .from_s = 0, .to_s = 0, .behaviour = kind.kind.behaviour}));
  const auto start = Clock::now();
  const double patience = patience_s(kind.interval_ms);
  if (co_await Stage::until(
          socket, [&](const std::vector<unsigned>& w) { return share(w, kFaulty) <= before / 10; }, patience))
    trial.to_tenth_s = seconds_since(start);
  if (co_await Stage::until(
          socket, [](const std::vector<unsigned>& w) { return w[kFaulty] == 0; }, patience - seconds_since(start)))
    trial.to_zero_s = seconds_since(start);
  // Whole intervals, so that the requests are counted over as many as there are in the long run.
  constexpr double kIntervals = 4;
  co_await Stage::sleep(std::max(0.0, kIntervals * interval - seconds_since(start)));
  trial.requests = stand.providers[kHealthy]->stats().requests - requests;
  trial.seconds = seconds_since(start);
}

/// As many trials as run at a time.
bool run_batch(std::vector<Trial*> batch, const std::vector<CheckKind>& checks, const std::string& weighter) {
  Stage stage;
  Thread simulation;
  std::deque<std::unique_ptr<Stand>> stands;
  const auto end = [&] {
    for (const auto& stand : stands) stand->stop();
    simulation.stop();
  };
  try {
    for (Trial* trial : batch) {
      const CheckKind& kind = checks[trial->kind];
      Stand& stand = *stands.emplace_back(
          std::make_unique<Stand>(simulation.io, adaptive(kind.interval_ms), stands.size(), whole_second()));
      stand.start_haproxy();
      stand.start_weighter(weighter);
      stage.spawn(carry_out(stand, kind, *trial));
    }
    const bool complete = stage.run();
    end();
    return complete;
  } catch (...) {
    end();
    throw;
  }
}

}  // namespace

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> kKinds{
      {"refused", R"({"fault":"refuse"})"},
      {"HTTP 500", R"({"fault":"http_status","http_status":500})"},
      {"hang", R"({"fault":"hang"})"},
      {"eight behind", R"({"lag_blocks":8})"},
      {"future head", R"({"ahead_blocks":1000})"},
      {"wrong chain", R"({"chain_id":5})"},
  };
  return kKinds;
}

double patience_s(unsigned interval_ms) {
  return 12.0 + 2.5 * interval_ms / 1000.0;
}

std::optional<std::vector<Reactions>> measure_reactions(const std::vector<CheckKind>& checks, unsigned repeats,
                                                        std::uint64_t seed, const std::string& weighter) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> phase(0.0, 1.0);
  std::vector<Trial> trials;
  for (std::size_t q = 0; q < checks.size(); ++q)
    for (unsigned i = 0; i < repeats; ++i)
      trials.push_back({.kind = q, .phase = phase(random), .to_tenth_s = {}, .to_zero_s = {}});

  // Trials of one question last about as long, so a batch of them wastes no time.
  for (std::size_t at = 0; at < trials.size(); at += kAtATime) {
    std::vector<Trial*> batch;
    for (std::size_t i = at; i < std::min(at + kAtATime, trials.size()); ++i) batch.push_back(&trials[i]);
    fmt::print(stderr, "reactions: {} of {} trials, {} at {} ms\n", at, trials.size(),
               checks[batch.front()->kind].kind.name, checks[batch.front()->kind].interval_ms);
    if (!run_batch(batch, checks, weighter)) return std::nullopt;
  }

  std::vector<Reactions> out;
  for (std::size_t q = 0; q < checks.size(); ++q) {
    Reactions& r = out.emplace_back();
    r.kind = checks[q];
    double requests = 0;
    double seconds = 0;
    for (const Trial& t : trials) {
      if (t.kind != q) continue;
      r.to_tenth_s.push_back(t.to_tenth_s);
      r.to_zero_s.push_back(t.to_zero_s);
      requests += static_cast<double>(t.requests);
      seconds += t.seconds;
    }
    constexpr double kDay = 86400;
    r.requests_a_day = requests / seconds * kDay;
  }
  return out;
}

std::optional<std::vector<double>> measure_reloads(unsigned repeats, std::uint64_t seed, const std::string& weighter) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> pause(1.0, 2.0);
  std::vector<double> out;
  Stage stage;
  Thread simulation;
  Stand stand(simulation.io, adaptive(1000), seed, whole_second());
  const auto reloads = [&]() -> asio::awaitable<void> {
    const std::string socket = stand.haproxy->admin_socket();
    for (unsigned i = 0; i < repeats; ++i) {
      constexpr double kPatience = 20;
      if (!co_await Stage::until(socket, weighted, kPatience))
        throw std::runtime_error("the weights did not come back");
      co_await Stage::sleep(pause(random));
      stand.haproxy->reload();
      const auto start = Clock::now();
      if (!co_await Stage::until(socket, weighted, kPatience))
        throw std::runtime_error("the weights did not come back");
      out.push_back(seconds_since(start));
    }
  };
  fmt::print(stderr, "reloads: {}\n", repeats);
  bool complete = false;
  try {
    stand.start_haproxy({}, {.master = true});
    stand.start_weighter(weighter);
    stage.spawn(reloads());
    complete = stage.run();
  } catch (...) {
    stand.stop();
    simulation.stop();
    throw;
  }
  stand.stop();
  simulation.stop();
  if (!complete) return std::nullopt;
  return out;
}

}  // namespace rpcw::bench
