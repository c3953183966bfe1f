#include "weighter/one_pass.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <vector>

#include "haproxy/client.hpp"
#include "rpc/prober.hpp"
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
        prober_(io, fleet.config().probe, subjects(fleet)),
        samples_(samples),
        done_(io.get_executor()) {
    for (std::size_t i = 0; i < fleet.targets().size(); ++i) known_.push_back(fleet.history(i).observations > 0);
  }

  asio::awaitable<void> run() {
    for (std::size_t i = 0; i < fleet_.targets().size(); ++i) {
      done_.expect();
      const std::vector<Ask> beside = fleet_.begin_probe(i, read_clocks().mono);
      ask_head(i, samples_, 1);
      for (const Ask& question : beside) ask(i, question);
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

struct Connection {
  Connection(asio::io_context& io, const config::Haproxy& settings, const config::Endpoint& endpoint)
      : client(io.get_executor(), endpoint, settings.tls, settings.timeout) {
    report.endpoint = endpoint.text;
  }

  haproxy::Client client;
  EndpointReport report;
  std::optional<haproxy::Instance> instance;
  bool trouble = false;

  void complain(std::string what) {
    trouble = true;
    report.errors.push_back(std::move(what));
  }
};

asio::awaitable<void> read(Connection& c, std::vector<std::string> backends, Latch& done) {
  auto instance = co_await c.client.read(backends);
  if (instance) {
    c.report.reachable = true;
    c.report.version = instance->version;
    c.report.pid = instance->pid;
    c.instance = std::move(*instance);
  } else {
    c.complain(instance.error().detail);
  }
  done.arrive();
}

/// Sends what `fleet` holds and this HAProxy does not have. Returns whether to go again, since an algorithm turned out to
/// be static.
asio::awaitable<bool> push_round(Connection& c, Fleet& fleet) {
  const config::Config& config = fleet.config();
  const std::vector<WeightChange> changes = fleet.plan(*c.instance);
  if (changes.empty()) co_return false;
  std::vector<haproxy::Client::Push> commands;
  commands.reserve(changes.size());
  for (const WeightChange& change : changes) {
    const config::Backend& b = config.backends[change.backend];
    commands.push_back({b.name, b.servers[change.server].name, change.percent, change.to});
  }
  const std::vector<haproxy::Outcome> outcomes = co_await c.client.push(std::move(commands));
  std::size_t unconfirmed = 0;
  std::string why;
  bool again = false;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const WeightChange& change = changes[i];
    const config::Backend& b = config.backends[change.backend];
    const std::string& server = b.servers[change.server].name;
    const haproxy::Outcome& o = outcomes[i];
    if (o.kind == haproxy::Outcome::Kind::kDone) {
      ++c.report.changed;
      haproxy::ServerRow* row = c.instance->backend(b.name)->server(server);
      row->uweight = change.percent && change.to > 0 ? row->iweight.value_or(1) : change.to;
    } else if (o.refusal == haproxy::Refusal::kStaticAlgorithm && !change.percent) {
      fleet.drive_by_percent(change.backend);
      again = true;
    } else if (o.kind == haproxy::Outcome::Kind::kRefused) {
      c.complain(fmt::format("refused: set weight {}/{} {}: {}", b.name, server, change.to, o.detail));
    } else {
      ++unconfirmed;
      why = o.detail;
    }
  }
  if (unconfirmed > 0)
    c.complain(fmt::format("{} of {} weights were not confirmed: {}", unconfirmed, outcomes.size(), why));
  co_return again && unconfirmed == 0;
}

asio::awaitable<void> push(Connection& c, Fleet& fleet, Latch& done) {
  const bool again = co_await push_round(c, fleet);
  if (again) co_await push_round(c, fleet);
  done.arrive();
}

}  // namespace

asio::awaitable<PassResult> one_pass(asio::io_context& io, const config::Config& config, PassOptions options) {
  Fleet fleet(config);
  if (options.recall) options.recall(fleet, read_clocks());
  Latch latch(io.get_executor());

  std::deque<Connection> connections;
  for (const config::Endpoint& e : config.haproxy.endpoints) {
    connections.emplace_back(io, config.haproxy, e);
    latch.expect();
    asio::co_spawn(io, read(connections.back(), fleet.backend_names(), latch), rethrow);
  }
  {
    Sampler sampler(io, fleet, options.samples);
    co_await sampler.run();
  }
  co_await latch.wait();

  const auto first = std::ranges::find_if(connections, [](const Connection& c) { return c.instance.has_value(); });
  // A copy: the report tells what was there before the push.
  const std::optional<haproxy::Instance> before = first != connections.end() ? first->instance : std::nullopt;
  const haproxy::Instance* seen = before ? &*before : nullptr;
  fleet.see(seen);
  const Now now = read_clocks();
  fleet.decide(now, true);

  for (Connection& c : connections) {
    if (!c.instance) continue;
    if (options.push)
      for (std::string& what : fleet.missing(*c.instance)) c.complain(std::move(what));
    if (!options.push || options.dry_run) {
      c.report.changed = fleet.plan(*c.instance).size();
      continue;
    }
    latch.expect();
    asio::co_spawn(io, push(c, fleet, latch), rethrow);
  }
  co_await latch.wait();

  if (options.keep) options.keep(fleet, read_clocks());
  PassResult out;
  out.report = fleet.report(now, seen);
  out.report.dry_run = options.dry_run || !options.push;
  for (Connection& c : connections) {
    out.haproxy_trouble = out.haproxy_trouble || c.trouble;
    out.report.haproxy.push_back(std::move(c.report));
  }
  // A backup that the file does not name may carry the traffic: then nothing of ours is healthy, and nothing fell back.
  out.nothing_healthy = std::ranges::any_of(
      out.report.backends, [](const BackendReport& b) { return b.healthy == 0 && b.fallback.has_value(); });
  co_return out;
}

}  // namespace rpcw
