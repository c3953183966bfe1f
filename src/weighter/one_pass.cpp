#include "weighter/one_pass.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <vector>

#include "rpc/prober.hpp"
#include "weighter/delivery.hpp"
#include "weighter/fleet.hpp"
#include "weighter/latch.hpp"
#include "weighter/subjects.hpp"

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
    // All heads come first, then one more question to each, and so on: with more targets than requests may be in
    // flight, each then finds its target's connection idle, and needs none of its own.
    std::vector<std::vector<Ask>> beside;
    beside.reserve(fleet_.targets().size());
    for (std::size_t i = 0; i < fleet_.targets().size(); ++i) {
      done_.expect();
      beside.push_back(fleet_.begin_probe(i, read_clocks().mono));
      ask_head(i, samples_, 1);
    }
    for (std::size_t round = 0, left = beside.size(); left > 0; ++round) {
      left = 0;
      for (std::size_t i = 0; i < beside.size(); ++i) {
        if (beside[i].size() <= round) continue;
        ask(i, beside[i][round]);
        ++left;
      }
    }
    co_await done_.wait();
    fleet_.look(read_clocks());
    for (const Fleet::TargetAsk& q : fleet_.urgent_questions()) ask(q.target, q.ask);
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

  void ask_head(std::size_t i, unsigned samples_left, unsigned attempt) {
    prober_.head(i, [this, i, samples_left, attempt](HeadObservation o) {
      if (!o.head && again(i, o.head.error(), attempt)) {
        later([this, i, samples_left, attempt] { ask_head(i, samples_left, attempt + 1); });
        return;
      }
      fleet_.observe(i, std::move(o));
      if (samples_left > 1)
        ask_head(i, samples_left - 1, 1);
      else
        done_.arrive();
    });
  }

  void ask(std::size_t i, const Ask& question) {
    done_.expect();
    attempt(i, question, 1);
  }

  void attempt(std::size_t i, const Ask& question, unsigned number) {
    prober_.ask(i, question, [this, i, number](const Answer& a) {
      if (!a.value && again(i, a.value.error(), number)) {
        later([this, i, question = a.ask, number] { attempt(i, question, number + 1); });
        return;
      }
      fleet_.observe(i, a);
      done_.arrive();
    });
  }

  asio::io_context& io_;
  Fleet& fleet_;
  rpc::Prober prober_;
  const unsigned samples_;
  /// Targets of which something was known before.
  std::vector<bool> known_;
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
  fleet.see(seen);
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
