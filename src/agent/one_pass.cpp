#include "agent/one_pass.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <vector>

#include "agent/delivery.hpp"
#include "agent/subjects.hpp"
#include "base/wait_group.hpp"
#include "rpc/prober.hpp"
#include "weighter/schedule/cadence.hpp"
#include "weighter/state/fleet.hpp"

namespace rpcw {
namespace {

namespace asio = boost::asio;

/// Asks every target as often as a verdict needs.
class Sampler {
 public:
  Sampler(asio::io_context& io, Fleet& fleet, unsigned samples)
      : io_(io),
        fleet_(fleet),
        prober_(io, fleet.config().probe, subjects(fleet, fleet.config())),
        samples_(samples),
        done_(io.get_executor()) {
    for (std::size_t i = 0; i < fleet.targets().size(); ++i) known_.push_back(fleet.history(i).observations > 0);
  }

  asio::awaitable<void> run() {
    std::size_t requests = 0;
    for (std::size_t i = 0; i < fleet_.targets().size(); ++i) {
      beside_.push_back(fleet_.begin_probe(i, read_clocks().mono));
      requests += 1 + beside_.back().size();
    }
    done_.expect(requests);
    if (requests >= kRequestsWorthBatching) {
      ask_more_together();
    } else {
      next_ = beside_.size();
      for (std::size_t i = 0; i < beside_.size(); ++i) ask_head(i, samples_, 1);
      for (std::size_t i = 0; i < beside_.size(); ++i)
        for (const Ask& q : beside_[i]) ask(i, q, 1);
    }
    co_await done_.wait();
    fleet_.look(read_clocks());
    for (const Fleet::TargetAsk& q : fleet_.urgent_questions()) {
      done_.expect();
      ask(q.target, q.ask, 1);
    }
    co_await done_.wait();
  }

 private:
  bool again(std::size_t i, const ProbeFailure& failure, unsigned attempt) const {
    return !known_[i] && is_transport(failure.code) && attempt < fleet_.config().probe.fall;
  }

  template <typename Action>
  void later(Action action) {
    auto timer = std::make_shared<asio::steady_timer>(io_, fleet_.config().probe.fast_interval);
    timer->async_wait([timer, action = std::move(action)](boost::system::error_code ec) mutable {
      if (!ec) action();
    });
  }

  /// Not all at once: what waits for its turn takes memory, 10,000 targets' questions 10 MB.
  void ask_more_together() {
    constexpr std::size_t kAhead = 512;
    for (; next_ < beside_.size(); ++next_) {
      const std::size_t i = next_;
      const std::size_t questions = 1 + beside_[i].size();
      if (open_ >= questions * (fleet_.config().probe.max_in_flight + kAhead)) return;
      open_ += questions;
      // Only answers that went wrong and comparisons of chains need a connection again, and thousands take memory.
      const auto afterwards = samples_ > 1 ? rpc::Afterwards::kKeep : rpc::Afterwards::kClose;
      prober_.head_and_questions(
          i, beside_[i], afterwards, [this, i](HeadObservation o) { heard(i, std::move(o), samples_, 1); },
          [this, i](const Answer& a) { heard(i, a, 1); });
    }
  }

  void arrived() {
    if (open_ > 0) --open_;
    ask_more_together();
    done_.arrive();
  }

  void ask_head(std::size_t i, unsigned samples_left, unsigned attempt) {
    prober_.head(
        i, [this, i, samples_left, attempt](HeadObservation o) { heard(i, std::move(o), samples_left, attempt); });
  }

  void heard(std::size_t i, HeadObservation&& o, unsigned samples_left, unsigned attempt) {
    if (!o.head && again(i, o.head.error(), attempt)) {
      later([this, i, samples_left, attempt] { ask_head(i, samples_left, attempt + 1); });
      return;
    }
    fleet_.observe(i, std::move(o));
    if (samples_left > 1)
      ask_head(i, samples_left - 1, 1);
    else
      arrived();
  }

  void ask(std::size_t i, const Ask& question, unsigned attempt) {
    prober_.ask(i, question, [this, i, attempt](const Answer& a) { heard(i, a, attempt); });
  }

  void heard(std::size_t i, const Answer& a, unsigned attempt) {
    if (!a.value && again(i, a.value.error(), attempt)) {
      later([this, i, question = a.ask, attempt] { ask(i, question, attempt + 1); });
      return;
    }
    fleet_.observe(i, a);
    arrived();
  }

  asio::io_context& io_;
  Fleet& fleet_;
  rpc::Prober prober_;
  const unsigned samples_;
  /// Targets of which something was known before.
  std::vector<bool> known_;
  /// What each target is asked besides its head.
  std::vector<std::vector<Ask>> beside_;
  /// Where all that a target is asked goes out at once: the target that comes next, and how many questions that were
  /// sent are not answered.
  std::size_t next_ = 0;
  std::size_t open_ = 0;
  Latch done_;
};

}  // namespace

asio::awaitable<PassResult> one_pass(asio::io_context& io, const config::Config& config, PassOptions options) {
  Fleet fleet(config);
  if (options.recall) options.recall(fleet, read_clocks());
  Delivery delivery(io, fleet, options.push, options.dry_run);
  delivery.start();
  {
    Sampler sampler(io, fleet, options.samples);
    co_await sampler.run();
  }
  const haproxy::Instance* seen = co_await delivery.first();
  fleet.see(delivery.read());
  const Now now = read_clocks();
  fleet.decide(now, true);
  delivery.decided();
  co_await delivery.finish();

  if (options.keep) options.keep(fleet, read_clocks());
  PassResult out;
  out.report = fleet.report(now, seen);
  out.report.dry_run = options.dry_run || !options.push;
  out.report.haproxy = delivery.reports();
  out.haproxy_trouble = delivery.trouble();
  // A backup that the file does not name may carry the traffic: then nothing of ours is healthy, and nothing fell back.
  out.nothing_healthy = std::ranges::any_of(
      out.report.backends, [](const BackendReport& b) { return b.healthy == 0 && b.fallback.has_value(); });
  co_return out;
}

}  // namespace rpcw
