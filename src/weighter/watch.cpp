#include "weighter/watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <vector>

#include "observe/log.hpp"

namespace rpcw {

namespace asio = boost::asio;
using std::chrono::steady_clock;

namespace {

/// A HAProxy that cannot be reached is tried again after the watch interval, then ever less often up to this.
constexpr milliseconds kLongestBackOff{5000};

/// A weight that HAProxy refused is not sent again for this long: its words will be the same.
constexpr milliseconds kRefusalPause{30'000};

/// How long one that its name does not lead to any more is watched at the most.
constexpr milliseconds kUnlistedStay{60'000};

}  // namespace

Watch::Watch(asio::io_context& io, const Common& common, const config::Endpoint& endpoint)
    : common_(common), client_(io.get_executor(), endpoint, common.tls, common.config.haproxy.timeout), wake_(io) {}

asio::awaitable<void> Watch::run() {
  auto next_read = steady_clock::now();
  while (!stopping_) {
    if (steady_clock::now() >= next_read) {
      co_await read();
      if (has_left()) {
        log::info(fmt::format("HAProxy {} has left: its name does not lead to it any more{}", name(),
                              instance_ ? "" : ", and it does not answer"),
                  {{"endpoint", name()}});
        instance_.reset();
        break;
      }
      next_read = steady_clock::now() + (instance_ ? common_.config.haproxy.watch_interval : back_off_);
    }
    if (instance_ && !stopping_) {
      const bool fine = co_await push();
      if (!fine) next_read = steady_clock::now() + back_off_;
    }
    if (stopping_) break;
    if (!std::exchange(woken_, false)) {
      wake_.expires_at(next_read);
      co_await wake_.async_wait(asio::as_tuple(asio::use_awaitable));
      woken_ = false;
    }
  }
}

void Watch::wake() {
  woken_ = true;
  wake_.cancel();
}

void Watch::request_stop() {
  stopping_ = true;
  wake();
}

void Watch::list(bool listed) {
  if (listed)
    unlisted_.reset();
  else if (!unlisted_)
    unlisted_ = steady_clock::now();
}

bool Watch::has_left() const {
  return unlisted_ && (!instance_ || steady_clock::now() - *unlisted_ > kUnlistedStay);
}

asio::awaitable<void> Watch::read() {
  std::vector<std::string> backends = common_.fleet.backend_names();
  auto got = co_await client_.read(backends);
  if (!got) {
    if (unlisted_) {
      instance_.reset();
      co_return;
    }
    lost(got.error().code, got.error().detail);
    co_return;
  }
  const bool was_reachable = instance_.has_value();
  const std::int64_t old_pid = was_reachable ? instance_->pid : 0;
  instance_ = std::move(*got);
  back_off_ = milliseconds{0};
  if (!was_reachable) {
    log::info(fmt::format("HAProxy {} is {}: version {}, pid {}", name(), ever_reached_ ? "back" : "there",
                          instance_->version, instance_->pid),
              {{"endpoint", name()}});
  } else if (old_pid != instance_->pid) {
    log::info(fmt::format("HAProxy {} was reloaded: pid {} -> {}", name(), old_pid, instance_->pid),
              {{"endpoint", name()}});
  }
  if (!was_reachable || old_pid != instance_->pid) {
    refused_.clear();
    said_.clear();
    percent_.clear();
  }
  for (const std::string& backend : percent_)
    if (haproxy::BackendRow* row = instance_->backend(backend)) row->percent = true;
  ever_reached_ = true;
  troubles_.clear();
  for (const std::string& what : common_.fleet.missing(*instance_)) say_once(what);
  // At once, so that nothing is pushed that was decided without knowing of a backup or of a maintenance.
  common_.on_read(*this);
}

void Watch::say_once(const std::string& what) {
  if (said_.insert(what).second) log::warn(fmt::format("{}: {}", name(), what), {{"endpoint", name()}});
}

/// `why` begins with the endpoint.
void Watch::lost(haproxy::Error kind, const std::string& why) {
  if (stopping_) return;
  // Each kind once: how many replies came before a time-out differs from one attempt to the next.
  if (troubles_.insert(kind).second)
    log::error(fmt::format("HAProxy cannot be used: {}", why),
               {{"endpoint", name()}, {"error", haproxy::to_string(kind)}});
  instance_.reset();
  back_off_ = std::clamp(back_off_ * 2, common_.config.haproxy.watch_interval,
                         std::max(kLongestBackOff, common_.config.haproxy.watch_interval));
}

/// Brings this HAProxy to what was decided. False when that failed and it has to be read again.
asio::awaitable<bool> Watch::push() {
  const auto now = steady_clock::now();
  std::erase_if(refused_, [&](const auto& entry) { return entry.second <= now; });
  std::vector<WeightChange> changes = common_.fleet.plan(*instance_);
  std::erase_if(changes, [&](const WeightChange& c) { return refused_.contains({c.backend, c.server}); });
  if (changes.empty()) co_return true;
  if (common_.dry_run) {
    for (const WeightChange& c : changes)
      say_once(fmt::format("dry run: would set weight {}/{} {} -> {}", common_.config.backends[c.backend].name,
                           common_.config.backends[c.backend].servers[c.server].name, c.from, c.to));
    co_return true;
  }
  std::vector<haproxy::Client::Push> commands;
  commands.reserve(changes.size());
  for (const WeightChange& c : changes)
    commands.push_back({common_.config.backends[c.backend].name,
                        common_.config.backends[c.backend].servers[c.server].name, c.percent, c.to});
  const std::vector<haproxy::Outcome> outcomes = co_await client_.push(std::move(commands));
  std::string unconfirmed;
  haproxy::Error kind{};
  for (std::size_t k = 0; k < outcomes.size(); ++k) {
    const WeightChange& c = changes[k];
    const config::Backend& cfg = common_.config.backends[c.backend];
    const std::string& server = cfg.servers[c.server].name;
    if (outcomes[k].kind == haproxy::Outcome::Kind::kDone) {
      if (haproxy::BackendRow* row = instance_->backend(cfg.name))
        if (haproxy::ServerRow* s = row->server(server))
          s->uweight = c.percent && c.to > 0 ? s->iweight.value_or(1) : c.to;
      log::debug(fmt::format("{}: {}/{} set to {}", name(), cfg.name, server, c.to), {{"endpoint", name()}});
    } else if (outcomes[k].kind == haproxy::Outcome::Kind::kRefused) {
      if (outcomes[k].refusal == haproxy::Refusal::kStaticAlgorithm) {
        say_once(
            fmt::format("{} has a static algorithm and takes only 0 % and 100 %: servers are switched off and "
                        "on, their shares are those of haproxy.cfg",
                        cfg.name));
        percent_.insert(cfg.name);
        if (haproxy::BackendRow* row = instance_->backend(cfg.name)) row->percent = true;
        woken_ = true;
        continue;
      }
      refused_[{c.backend, c.server}] = steady_clock::now() + kRefusalPause;
      say_once(fmt::format("set weight {}/{} {} was refused: {}", cfg.name, server, c.to, outcomes[k].detail));
    } else {
      unconfirmed = outcomes[k].detail;
      kind = outcomes[k].error.value_or(haproxy::Error::kIo);
    }
  }
  if (unconfirmed.empty()) co_return true;
  lost(kind, unconfirmed);
  co_return false;
}

}  // namespace rpcw
