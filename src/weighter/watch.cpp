#include "weighter/watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "haproxy/client.hpp"
#include "observe/log.hpp"

namespace rpcw {
namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;

/// A HAProxy that cannot be reached is tried again after the watch interval, then ever less often up to this.
constexpr milliseconds kLongestBackOff{5000};

/// A weight that HAProxy refused is not sent again for this long: its words will be the same.
constexpr milliseconds kRefusalPause{30'000};

/// One HAProxy and what is known of it.
struct Watched {
  Watched(asio::io_context& io, const config::Endpoint& endpoint, std::shared_ptr<haproxy::TlsContext> tls,
          milliseconds timeout)
      : name(endpoint.text), client(io.get_executor(), endpoint, std::move(tls), timeout), wake(io) {}

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

class Watches::Impl {
 public:
  Impl(asio::io_context& io, const config::Config& config, Fleet& fleet, bool dry_run, std::function<void()> on_news)
      : io_(io), config_(config), fleet_(fleet), dry_run_(dry_run), on_news_(std::move(on_news)) {
    const auto tls = haproxy::tls_context(config.haproxy.tls);
    for (const config::Endpoint& e : config.haproxy.endpoints)
      watched_.emplace_back(io, e, tls, config.haproxy.timeout);
  }

  void start(Latch& loops) {
    for (Watched& w : watched_) {
      loops.expect();
      asio::co_spawn(io_, watch(w, loops), asio::bind_cancellation_slot(w.give_up.slot(), rethrow));
    }
  }

  void wake() {
    for (Watched& w : watched_) wake(w);
  }

  void request_stop() {
    stopping_ = true;
    wake();
  }

  void abandon() {
    for (Watched& w : watched_) w.give_up.emit(asio::cancellation_type::terminal);
  }

  const haproxy::Instance* first_reachable() const {
    const auto it = std::ranges::find_if(watched_, [](const Watched& w) { return w.instance.has_value(); });
    return it == watched_.end() ? nullptr : &*it->instance;
  }

 private:
  static void wake(Watched& w) {
    w.woken = true;
    w.wake.cancel();
  }

  asio::awaitable<void> watch(Watched& w, Latch& loops) {
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
    loops.arrive();
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
    if (&*w.instance == first_reachable() && fleet_.see(&*w.instance)) on_news_();
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
          if (haproxy::ServerRow* s = row->server(server))
            s->uweight = c.percent && c.to > 0 ? s->iweight.value_or(1) : c.to;
        log::debug(fmt::format("{}: {}/{} set to {}", w.name, cfg.name, server, c.to), {{"endpoint", w.name}});
      } else if (outcomes[k].kind == haproxy::Outcome::Kind::kRefused) {
        if (outcomes[k].refusal == haproxy::Refusal::kStaticAlgorithm) {
          say_once(w,
                   fmt::format("{} has a static algorithm and takes only 0 % and 100 %: servers are switched off and "
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
  Fleet& fleet_;
  const bool dry_run_;
  const std::function<void()> on_news_;
  std::deque<Watched> watched_;
  bool stopping_ = false;
};

Watches::Watches(asio::io_context& io, const config::Config& config, Fleet& fleet, bool dry_run,
                 std::function<void()> on_news)
    : impl_(std::make_unique<Impl>(io, config, fleet, dry_run, std::move(on_news))) {}
Watches::~Watches() = default;
void Watches::start(Latch& loops) {
  impl_->start(loops);
}
void Watches::wake() {
  impl_->wake();
}
void Watches::request_stop() {
  impl_->request_stop();
}
void Watches::abandon() {
  impl_->abandon();
}
const haproxy::Instance* Watches::first_reachable() const {
  return impl_->first_reachable();
}

}  // namespace rpcw
