#include "agent/systemd_service.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "base/time.hpp"
#include "base/wait_group.hpp"

namespace rpcw {

namespace asio = boost::asio;

namespace {

/// How often systemd gets the status, and how often readiness is looked for before.
constexpr milliseconds kStatusEvery{1000};
constexpr milliseconds kReadyLook{50};

}  // namespace

SystemdService::SystemdService(asio::io_context& io, Effects effects)
    : io_(io), effects_(std::move(effects)), tend_timer_(io), watchdog_timer_(io) {}

void SystemdService::start() {
  if (!notify_.wanted()) return;
  asio::co_spawn(io_, tend(), rethrow);
  if (const auto every = notify_.watchdog_interval()) asio::co_spawn(io_, feed_watchdog(*every), rethrow);
}

asio::awaitable<void> SystemdService::tend() {
  for (;;) {
    tend_timer_.expires_after(ready_ ? kStatusEvery : kReadyLook);
    const auto [ec] = co_await tend_timer_.async_wait(asio::as_tuple(asio::use_awaitable));
    if (ec) co_return;
    if (stopping_) continue;
    if (ready_) {
      notify_.status(effects_.status());
    } else if (effects_.settled()) {
      ready_ = true;
      notify_.ready(effects_.status());
    }
  }
}

asio::awaitable<void> SystemdService::feed_watchdog(std::chrono::microseconds every) {
  for (;;) {
    notify_.watchdog();
    watchdog_timer_.expires_after(every);
    const auto [ec] = co_await watchdog_timer_.async_wait(asio::as_tuple(asio::use_awaitable));
    if (ec) co_return;
  }
}

void SystemdService::reload_ended() {
  // Before the first readiness `tend` says so in time.
  if (ready_) notify_.ready(effects_.status());
}

void SystemdService::stopping() {
  stopping_ = true;
  notify_.stopping();
}

}  // namespace rpcw
