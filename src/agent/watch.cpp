#include "agent/watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <vector>

#include "haproxy/back_off.hpp"
#include "observe/log.hpp"
#include "rpc/prober.hpp"
#include "weighter/plan/haproxy_notes.hpp"
#include "weighter/state/live_delta.hpp"

namespace rpcw {

namespace asio = boost::asio;
using std::chrono::steady_clock;

namespace {

/// A weight that HAProxy refused is not sent again for this long: its words will be the same.
constexpr milliseconds kRefusalPause{30'000};

/// Reading its servers may cost HAProxy this many bytes of replies a second: half a percent of a core where it writes
/// 40 MB a second, as bench/watch-cost has seen on a busy machine.
constexpr std::uint64_t kBytesPerSecond = 200'000;

/// In doubt its servers are read this soon after the last time.
constexpr milliseconds kInDoubt{250};

/// How long one that its name does not lead to any more is watched at the most.
constexpr milliseconds kUnlistedStay{60'000};

}  // namespace

Watch::Watch(asio::io_context& io, const Common& common, const config::Endpoint& endpoint)
    : common_(common), client_(io.get_executor(), endpoint, common.tls, common.config.haproxy.timeout), wake_(io) {}

asio::awaitable<void> Watch::run() {
  next_read_ = steady_clock::now();
  while (!stopping_) {
    if (steady_clock::now() >= next_read_) {
      co_await read();
      if (has_left()) {
        log::info(fmt::format("HAProxy {} has left: its name does not lead to it any more{}", name(),
                              instance_ ? "" : ", and it does not answer"),
                  {{"endpoint", name()}});
        instance_.reset();
        break;
      }
      next_read_ = steady_clock::now() + (instance_ ? interval() : reads_.back_off);
    }
    if (instance_ && !stopping_ && steady_clock::now() >= next_push_) co_await push();
    if (stopping_) break;
    if (!std::exchange(woken_, false)) {
      wake_.expires_at(next_read_);
      co_await wake_.async_wait(asio::as_tuple(asio::use_awaitable));
      woken_ = false;
    }
  }
}

void Watch::wake() {
  woken_ = true;
  wake_.cancel();
}

void Watch::look() {
  if (!instance_ || steady_clock::now() < last_look_ + std::max(kInDoubt, affordable_)) return;
  in_doubt_ = true;
  next_read_ = steady_clock::now();
  wake();
}

milliseconds Watch::interval() const {
  const milliseconds usual = common_.config.haproxy.watch_interval;
  return in_doubt_ ? std::min(usual, std::max(kInDoubt, affordable_)) : usual;
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
  // The read itself is due at the interval's end, and must not find that it is a moment too early.
  if (instance_ && steady_clock::now() < last_look_ + std::max(affordable_, interval()) - interval() / 2) {
    const auto info = co_await client_.info();
    if (!info) {
      failed(info.error());
      co_return;
    }
    if (info->pid == instance_->pid && info->uptime >= instance_->uptime) {
      instance_->uptime = info->uptime;
      co_return;
    }
  }
  const std::vector<std::string> backends = common_.fleet.backend_names();
  const std::uint64_t received = client_.received();
  const TimePoint begun = steady_clock::now();
  std::expected<haproxy::Instance, haproxy::Failure> got;
  if (instance_)
    got = co_await client_.refresh(*instance_, backends);
  else
    got = co_await client_.read(backends);
  if (!got) {
    failed(got.error());
    co_return;
  }
  note_cost(client_.received() - received);
  const bool was_reachable = instance_.has_value();
  const std::int64_t old_pid = was_reachable ? instance_->pid : 0;
  const auto elapsed = std::chrono::ceil<milliseconds>(steady_clock::now() - asked_at_);
  const haproxy::Instance* const before = last();
  const haproxy::Worker worker =
      before != nullptr ? haproxy::worker_between(*before, *got, elapsed) : haproxy::Worker::kNew;
  foreign_.clear();
  // A new worker has the weights of its file, and counters that may have been loaded from another file.
  const bool same_worker = was_reachable && worker == haproxy::Worker::kSame;
  if (same_worker) note_foreign(*got);
  count_traffic(same_worker ? &*instance_ : nullptr, *got);
  unconfirmed_.clear();
  asked_at_ = begun;
  instance_ = std::move(*got);
  last_.reset();
  reads_.back_off = milliseconds{0};
  if (!was_reachable) {
    log::info(fmt::format("HAProxy {} is {}: version {}, pid {}", name(), ever_reached_ ? "back" : "there",
                          instance_->version, instance_->pid),
              {{"endpoint", name()}});
  } else if (old_pid != instance_->pid) {
    log::info(fmt::format("HAProxy {} was reloaded: pid {} -> {}", name(), old_pid, instance_->pid),
              {{"endpoint", name()}});
  } else if (worker == haproxy::Worker::kNew) {
    log::info(fmt::format("HAProxy {} was restarted: pid {} as before, running for {} s", name(), instance_->pid,
                          instance_->uptime.count()),
              {{"endpoint", name()}});
  }
  if (worker == haproxy::Worker::kNew) {
    sets_ = {};
    untold_.reset();
    next_push_ = {};
  }
  if (!was_reachable || worker == haproxy::Worker::kNew) {
    paused_.clear();
    repairs_ = {};
    said_.clear();
    percent_.clear();
    contended_.clear();
  }
  for (const std::string& backend : percent_)
    if (haproxy::BackendRow* row = instance_->backend(backend)) row->percent = true;
  mark_contended();
  tell_notes();
  ever_reached_ = true;
  reads_.told.clear();
  tell_of_sets();
  for (const std::string& what : common_.fleet.missing(*instance_)) say_once(what);
  // At once, so that nothing is pushed that was decided without knowing of a backup or of a maintenance.
  common_.on_read();
}

void Watch::failed(const haproxy::Failure& failure) {
  // That one its name does not lead to any more does not answer is no trouble.
  if (unlisted_)
    instance_.reset();
  else
    lost(failure);
}

void Watch::note_cost(std::uint64_t bytes) {
  affordable_ = milliseconds(bytes * 1000 / kBytesPerSecond);
  last_look_ = steady_clock::now();
  in_doubt_ = false;
  const milliseconds interval = common_.config.haproxy.watch_interval;
  if (affordable_ <= interval || std::exchange(told_of_pace_, true)) return;
  log::info(
      fmt::format("HAProxy {}: to read its servers is {:.1f} MB, so that is done every {:.1f} s only; a reload is "
                  "still noticed within {}",
                  name(), static_cast<double>(bytes) / 1e6, static_cast<double>(affordable_.count()) / 1e3,
                  span_text(interval)),
      {{"endpoint", name()}});
}

void Watch::count_traffic(const haproxy::Instance* before, haproxy::Instance& fresh) {
  const auto& backends = common_.config.backends;
  const MonoTime now = read_clocks().mono;
  const MonoTime elapsed = now - std::exchange(counted_at_, now);
  std::vector<std::size_t> suspects;
  for (std::uint32_t b = 0; b < backends.size(); ++b) {
    haproxy::BackendRow* row = fresh.backend(backends[b].name);
    if (!backends[b].live || row == nullptr) continue;
    std::vector<std::string_view> names;
    names.reserve(backends[b].servers.size());
    for (const config::Server& s : backends[b].servers) names.push_back(s.name);
    const haproxy::BackendRow* was = before != nullptr ? before->backend(backends[b].name) : nullptr;
    const std::vector<LiveDelta> deltas = rpcw::count_traffic(was, *row, names, elapsed);
    if (was == nullptr) continue;
    for (const std::size_t s : common_.fleet.observe_live(b, deltas, now)) suspects.push_back(s);
  }
  if (before == nullptr) return;
  in_doubt_ = !suspects.empty();
  common_.on_live(suspects);
}

void Watch::note_foreign(const haproxy::Instance& fresh) {
  const auto& backends = common_.config.backends;
  for (std::uint32_t b = 0; b < backends.size(); ++b) {
    const haproxy::BackendRow* before = instance_->backend(backends[b].name);
    const haproxy::BackendRow* after = fresh.backend(backends[b].name);
    if (before == nullptr || after == nullptr) continue;
    for (std::uint32_t i = 0; i < backends[b].servers.size(); ++i) {
      const haproxy::ServerRow* was = before->server(backends[b].servers[i].name);
      const haproxy::ServerRow* is = after->server(backends[b].servers[i].name);
      // One that was not confirmed may have been set by us.
      if (was != nullptr && is != nullptr && was->uweight != is->uweight &&
          !unconfirmed_.contains({backends[b].name, was->name}))
        foreign_.insert({backends[b].name, was->name});
    }
  }
}

bool Watch::is_contended(const WeightChange& change) {
  const Key key = key_of(change);
  if (!foreign_.contains(key)) return false;
  // Put back once for each time that it was seen changed, however often the push is tried.
  foreign_.erase(key);
  const auto pause = repairs_.repaired(key, steady_clock::now());
  if (!pause) return false;
  contended_[key] = paused_[key] = steady_clock::now() + *pause;
  mark_contended();
  tell_notes();
  return true;
}

Watch::Key Watch::key_of(const WeightChange& change) const {
  const config::Backend& backend = common_.config.backends[change.backend];
  return {backend.name, backend.servers[change.server].name};
}

void Watch::mark_contended() {
  const auto now = steady_clock::now();
  std::erase_if(contended_, [&](const auto& entry) { return entry.second <= now; });
  for (const auto& [key, until] : contended_) {
    haproxy::BackendRow* row = instance_->backend(key.first);
    haproxy::ServerRow* server = row != nullptr ? row->server(key.second) : nullptr;
    if (server != nullptr) server->contended = true;
  }
}

void Watch::tell_notes() {
  for (const config::Backend& cfg : common_.config.backends) {
    const haproxy::BackendRow* row = instance_->backend(cfg.name);
    if (row == nullptr) continue;
    for (const BackendNote& note : haproxy_notes(cfg, *row))
      if (told_in_log(note)) say_once(fmt::format("{}: {}: {}", cfg.name, note.code, note.detail));
  }
}

void Watch::say_once(const std::string& what) {
  if (said_.insert(what).second) log::warn(fmt::format("{}: {}", name(), what), {{"endpoint", name()}});
}

/// The failure's detail begins with the endpoint.
void Watch::lost(const haproxy::Failure& failure) {
  if (stopping_) return;
  // Each kind once: how many replies came before a time-out differs from one attempt to the next.
  if (reads_.told.insert(failure.code).second)
    log::error(fmt::format("HAProxy cannot be used: {}", failure.detail),
               {{"endpoint", name()}, {"error", haproxy::to_string(failure.code)}});
  if (instance_) last_ = std::exchange(instance_, std::nullopt);
  // Whether sets work is not known until it is back; they are then tried at once.
  untold_.reset();
  next_push_ = {};
  reads_.back_off =
      haproxy::next_back_off(endpoint(), failure.code, reads_.back_off, common_.config.haproxy.watch_interval);
}

void Watch::push_failed(const haproxy::Failure& failure, std::set<Key> unconfirmed) {
  if (stopping_) return;
  using haproxy::Error;
  const auto now = steady_clock::now();
  // Without a connection it cannot be read either.
  if (failure.code == Error::kConnect || failure.code == Error::kPermission || failure.code == Error::kResolve ||
      failure.code == Error::kTls) {
    failed(failure);
    next_read_ = now + reads_.back_off;
    return;
  }
  const milliseconds watch_interval = common_.config.haproxy.watch_interval;
  untold_ = failure;
  unconfirmed_ = std::move(unconfirmed);
  sets_.back_off = haproxy::next_back_off(endpoint(), failure.code, sets_.back_off, watch_interval);
  // A read of all servers comes first and shows what was set.
  next_push_ = now + sets_.back_off;
  next_read_ = now + watch_interval;
  last_look_ = {};
}

/// Called after a read that worked: only then it is known that sets alone do not.
void Watch::tell_of_sets() {
  const auto failure = std::exchange(untold_, std::nullopt);
  if (!failure || !sets_.told.insert(failure->code).second) return;
  log::error(fmt::format("HAProxy can be read, but its weights cannot be set: {}", failure->detail),
             {{"endpoint", name()}, {"error", haproxy::to_string(failure->code)}});
}

/// Brings this HAProxy to what was decided.
asio::awaitable<void> Watch::push() {
  const auto now = steady_clock::now();
  std::erase_if(paused_, [&](const auto& entry) { return entry.second <= now; });
  std::vector<WeightChange> changes = common_.fleet.plan(*instance_);
  std::erase_if(changes, [&](const WeightChange& c) { return paused_.contains(key_of(c)); });
  if (changes.empty()) co_return;
  if (common_.dry_run) {
    for (const WeightChange& c : changes)
      say_once(fmt::format("dry run: would set weight {}/{} {} -> {}", common_.config.backends[c.backend].name,
                           common_.config.backends[c.backend].servers[c.server].name, c.from, c.to));
    co_return;
  }
  std::erase_if(changes, [&](const WeightChange& c) { return is_contended(c); });
  if (changes.empty()) co_return;
  std::vector<haproxy::Client::Push> commands;
  commands.reserve(changes.size());
  /// By the time that HAProxy has answered, another one's list may have given the servers other numbers.
  std::vector<Key> keys;
  keys.reserve(changes.size());
  for (const WeightChange& c : changes) {
    keys.push_back(key_of(c));
    commands.push_back({keys.back().first, keys.back().second, c.percent, c.to});
  }
  const std::vector<haproxy::Outcome> outcomes = co_await client_.push(std::move(commands));
  std::set<Key> unconfirmed;
  haproxy::Failure failure;
  for (std::size_t k = 0; k < outcomes.size(); ++k) {
    const WeightChange& c = changes[k];
    const auto& [backend, server] = keys[k];
    if (outcomes[k].kind == haproxy::Outcome::Kind::kDone) {
      if (haproxy::BackendRow* row = instance_->backend(backend))
        if (haproxy::ServerRow* s = row->server(server))
          s->uweight = c.percent && c.to > 0 ? s->iweight.value_or(1) : c.to;
      log::debug(fmt::format("{}: {}/{} set to {}", name(), backend, server, c.to), {{"endpoint", name()}});
    } else if (outcomes[k].kind == haproxy::Outcome::Kind::kRefused) {
      if (outcomes[k].refusal == haproxy::Refusal::kStaticAlgorithm) {
        say_once(
            fmt::format("{} has a static algorithm and takes only 0 % and 100 %: servers are switched off and "
                        "on, their shares are those of haproxy.cfg",
                        backend));
        percent_.insert(backend);
        if (haproxy::BackendRow* row = instance_->backend(backend)) row->percent = true;
        woken_ = true;
        continue;
      }
      paused_[keys[k]] = steady_clock::now() + kRefusalPause;
      say_once(fmt::format("set weight {}/{} {} was refused: {}", backend, server, c.to, outcomes[k].detail));
    } else {
      unconfirmed.insert(keys[k]);
      failure = {outcomes[k].error.value_or(haproxy::Error::kIo), outcomes[k].detail};
    }
  }
  if (!unconfirmed.empty()) {
    push_failed(failure, std::move(unconfirmed));
    co_return;
  }
  if (!sets_.told.empty())
    log::info(fmt::format("HAProxy {}: its weights can be set again", name()), {{"endpoint", name()}});
  sets_ = {};
  untold_.reset();
}

}  // namespace rpcw
