#include "agent/watches.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <exception>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/watch.hpp"
#include "haproxy/discovery.hpp"
#include "observe/log.hpp"

namespace rpcw {

namespace asio = boost::asio;

namespace {

/// How often a name is looked up. A new HAProxy has the weights of its file until it is found; Kubernetes' own name
/// servers answer from memory, and let an answer live for 5 s.
constexpr milliseconds kLookUpEvery{5000};

/// A configured endpoint and who is there.
struct Place {
  Place(asio::io_context& io, const config::Endpoint& configured, haproxy::Lookup::Function lookup)
      : endpoint(configured), discovery(configured, std::move(lookup)), pause(io) {}

  const config::Endpoint& endpoint;
  haproxy::Discovery discovery;
  /// In the order in which they were found.
  std::vector<std::shared_ptr<Watch>> watches;
  /// Between two look-ups.
  asio::steady_timer pause;
  asio::cancellation_signal give_up;
  /// The kinds of trouble that were told since the last good look-up.
  std::set<haproxy::Error> troubles;
};

}  // namespace

class Watches::Impl {
 public:
  Impl(asio::io_context& io, const config::Config& config, Fleet& fleet, bool dry_run, std::function<void()> on_news,
       std::function<void(const std::vector<std::size_t>&)> on_live, std::function<void()> on_read,
       const haproxy::Lookup::Function& lookup)
      : io_(io),
        common_{
            config, fleet, dry_run, haproxy::tls_context(config.haproxy.tls), [this] { seen(); }, std::move(on_live)},
        on_news_(std::move(on_news)),
        on_read_(std::move(on_read)) {
    for (const config::Endpoint& e : config.haproxy.endpoints) places_.emplace_back(io, e, lookup);
  }

  void start(Latch& loops) {
    loops_ = &loops;
    if (stopping_) return;
    for (Place& place : places_) {
      if (place.endpoint.kind != config::Endpoint::Kind::kDns) {
        join(place, place.endpoint);
        continue;
      }
      loops.expect();
      asio::co_spawn(io_, follow(place), asio::bind_cancellation_slot(place.give_up.slot(), ended()));
    }
  }

  void wake() {
    for_all([](Watch& w) { w.wake(); });
  }
  void look() {
    for_all([](Watch& w) { w.look(); });
  }

  void request_stop() {
    stopping_ = true;
    for_all([](Watch& w) { w.request_stop(); });
    // Nothing is lost with a look-up.
    for (Place& place : places_) place.give_up.emit(asio::cancellation_type::terminal);
  }

  void abandon() {
    for_all([](Watch& w) { w.abandon(); });
  }

  std::vector<const haproxy::Instance*> reachable() const {
    std::vector<const haproxy::Instance*> out;
    for (const Place& place : places_)
      for (const auto& watch : place.watches)
        if (watch->instance() != nullptr) out.push_back(watch->instance());
    return out;
  }

  std::vector<List> lists() const {
    std::vector<List> out;
    for (const Place& place : places_)
      for (const auto& watch : place.watches) out.push_back({watch->endpoint().text, watch->last()});
    return out;
  }

 private:
  template <typename Action>
  void for_all(Action action) {
    for (Place& place : places_)
      for (const auto& watch : place.watches) action(*watch);
  }

  /// What a coroutine of ours throws is a bug, unless it was cancelled.
  std::function<void(const std::exception_ptr&)> ended() {
    return [this](const std::exception_ptr& thrown) {
      loops_->arrive();
      if (!thrown) return;
      try {
        std::rethrow_exception(thrown);
      } catch (const boost::system::system_error& error) {
        if (!stopping_ || error.code() != asio::error::operation_aborted) throw;
      }
    };
  }

  void join(Place& place, const config::Endpoint& endpoint) {
    const auto& watch = place.watches.emplace_back(std::make_shared<Watch>(io_, common_, endpoint));
    loops_->expect();
    asio::co_spawn(io_, watch->run(),
                   asio::bind_cancellation_slot(watch->slot(),
                                                [this, &place, watch, end = ended()](const std::exception_ptr& thrown) {
                                                  // At the end of all it still tells what it has seen.
                                                  if (!stopping_) std::erase(place.watches, watch);
                                                  end(thrown);
                                                }));
  }

  void seen() {
    if (on_read_) on_read_();
    if (common_.fleet.see(reachable())) on_news_();
  }

  asio::awaitable<void> follow(Place& place) {
    while (!stopping_) {
      const auto found = co_await place.discovery.find(common_.config.haproxy.timeout);
      if (stopping_) break;
      if (found)
        take(place, *found);
      else
        not_found(place, found.error());
      place.pause.expires_after(place.watches.empty() ? common_.config.haproxy.watch_interval : kLookUpEvery);
      co_await place.pause.async_wait(asio::as_tuple(asio::use_awaitable));
    }
  }

  void take(Place& place, const std::vector<config::Endpoint>& found) {
    if (!std::exchange(place.troubles, {}).empty())
      log::info(fmt::format("{} resolves again", place.endpoint.text), {{"endpoint", place.endpoint.text}});
    const auto is_at = [](const config::Endpoint& e) {
      return [&e](const auto& watch) { return watch->endpoint().resolved == e.resolved; };
    };
    for (const auto& watch : place.watches)
      watch->list(std::ranges::any_of(
          found, [&](const config::Endpoint& e) { return watch->endpoint().resolved == e.resolved; }));
    for (const config::Endpoint& e : found)
      if (std::ranges::none_of(place.watches, is_at(e))) join(place, e);
  }

  void not_found(Place& place, const haproxy::Failure& failure) {
    if (!place.troubles.insert(failure.code).second) return;
    const std::string message =
        place.watches.empty()
            ? fmt::format("HAProxy cannot be used: {}", failure.detail)
            : fmt::format("{}; going on with the {} known", failure.detail,
                          place.watches.size() == 1 ? "address" : fmt::format("{} addresses", place.watches.size()));
    log::write(place.watches.empty() ? config::LogLevel::kError : config::LogLevel::kWarn, message,
               {{"endpoint", place.endpoint.text}, {"error", haproxy::to_string(failure.code)}});
  }

  asio::io_context& io_;
  const Watch::Common common_;
  const std::function<void()> on_news_;
  const std::function<void()> on_read_;
  std::deque<Place> places_;
  Latch* loops_ = nullptr;
  bool stopping_ = false;
};

Watches::Watches(asio::io_context& io, const config::Config& config, Fleet& fleet, bool dry_run,
                 std::function<void()> on_news, std::function<void(const std::vector<std::size_t>&)> on_live,
                 std::function<void()> on_read, haproxy::Lookup::Function lookup)
    : impl_(std::make_unique<Impl>(io, config, fleet, dry_run, std::move(on_news), std::move(on_live),
                                   std::move(on_read), lookup)) {}
Watches::~Watches() = default;
void Watches::start(Latch& loops) {
  impl_->start(loops);
}
void Watches::look() {
  impl_->look();
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
std::vector<const haproxy::Instance*> Watches::reachable() const {
  return impl_->reachable();
}
std::vector<Watches::List> Watches::lists() const {
  return impl_->lists();
}

}  // namespace rpcw
