#include "weighter/controller/endpoint_control.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.hpp"
#include "weighter/plan/back_off.hpp"
#include "weighter/plan/haproxy_notes.hpp"

namespace rpcw::control {
namespace {

/// Reading its servers may cost HAProxy this many bytes of replies a second: half a percent of a core where it writes
/// 40 MB a second, as bench/watch-cost has measured on a busy machine.
constexpr std::uint64_t kBytesPerSecond = 200'000;

/// While the last read has shown something suspicious, its servers are read again this soon.
constexpr milliseconds kReadWhenSuspicious{250};
/// HAProxy's counters show a fault sooner than probes do and cost no provider anything. While so many requests a second
/// flow, they are read this many times in a watch_interval.
constexpr double kBusyRequests = 10;
constexpr int kReadsWhenBusy = 4;

/// How long a HAProxy that its name does not lead to any more is watched at the most.
constexpr milliseconds kUnlistedStay{60'000};

}  // namespace

EndpointControl::EndpointControl(Context& context, EndpointId id, const config::Endpoint& endpoint)
    : c_(context), id_(id), endpoint_(endpoint), next_read_(context.mono()) {
  report_.endpoint = endpoint.text;
  c_.act(action::OpenEndpoint{id, endpoint});
}

void EndpointControl::step() {
  if (busy() || c_.stopping || release() || finished_) return;
  if (c_.runs() || !was_tried_) {
    if (c_.mono() >= next_read_) {
      read();
      return;
    }
    const bool may_push = !next_push_ || c_.mono() >= *next_push_;
    if (instance_ && may_push && std::exchange(woken_, false) && push()) return;
    c_.timers.set({Timers::Kind::kEndpoint, id_}, next_read_);
    return;
  }
  if (push_allowed_) push_once();
}

bool EndpointControl::done() const {
  return finished_ && !busy() && !clients_.is_due();
}

void EndpointControl::set_listed(bool listed) {
  if (listed)
    unlisted_.reset();
  else if (!unlisted_)
    unlisted_ = c_.mono();
}

bool EndpointControl::has_left() {
  // What is under way ends first: closing it would take away what the exchange needs.
  if (busy() || !unlisted_ || (instance_ && c_.mono() - *unlisted_ <= kUnlistedStay)) return false;
  log(config::LogLevel::kInfo, fmt::format("HAProxy {} is no longer managed: its name does not lead to it any more{}",
                                           name(), instance_ ? "" : ", and it does not answer"));
  return true;
}

EndpointReport EndpointControl::report() const {
  EndpointReport out = report_;
  if (!c_.runs()) return out;
  out.reachable = instance_.has_value();
  if (!trouble_.empty()) out.errors = {trouble_};
  if (instance_)
    for (std::string& what : out_of_reach(c_.config, *instance_)) out.errors.push_back(std::move(what));
  return out;
}

std::string EndpointControl::unsettled() const {
  if (!was_tried_) return fmt::format("HAProxy {}: not read yet", name());
  if (!instance_ || c_.options.dry_run || !c_.acting) return {};
  // The log and the report say of those that are left alone that they were refused or are contended.
  const std::size_t changes = planned().size();
  if (changes == 0) return {};
  return fmt::format("HAProxy {}: {} not set yet", name(), counted(changes, "weight"));
}

std::string EndpointControl::denied() const {
  if (!instance_ || !c_.acting) return {};
  const auto count = std::ranges::count_if(
      refused_, [](const auto& entry) { return entry.second.why == haproxy::Refusal::kPermissionDenied; });
  if (count == 0) return {};
  return fmt::format("HAProxy {}: it refuses {}: its socket needs `level admin`", name(),
                     counted(static_cast<std::uint64_t>(count), "weight"));
}

// ---- reading

void EndpointControl::read_soon() {
  if (!instance_ || c_.mono() < servers_read_at_ + std::max(kReadWhenSuspicious, affordable_)) return;
  suspicious_ = true;
  next_read_ = c_.mono();
}

void EndpointControl::read_again() {
  servers_read_at_ = {};
  next_read_ = c_.mono();
}

milliseconds EndpointControl::interval() const {
  const milliseconds usual = c_.config.haproxy.watch_interval;
  const milliseconds wanted = suspicious_ ? kReadWhenSuspicious : busy_ ? usual / kReadsWhenBusy : usual;
  return std::min(usual, std::max({wanted, kReadWhenSuspicious, affordable_}));
}

void EndpointControl::read() {
  // The read itself is due at the interval's end, and must not find that it is a moment too early.
  if (instance_ && c_.mono() < servers_read_at_ + std::max(affordable_, interval()) - interval() / 2) {
    exchange_ = Exchange::kInfo;
    c_.act(action::ReadInfo{id_});
    return;
  }
  read_all();
}

void EndpointControl::read_all() {
  exchange_ = Exchange::kServers;
  reading_since_ = c_.mono();
  c_.act(action::ReadServers{id_, instance()});
}

void EndpointControl::on(event::InfoRead&& event) {
  exchange_ = Exchange::kNone;
  if (!event.info) {
    failed(event.info.error());
    return;
  }
  if (event.info->pid != instance_->pid || event.info->uptime < instance_->uptime) {
    if (!c_.stopping) read_all();
    return;
  }
  instance_->uptime = event.info->uptime;
  next_read_ = c_.mono() + interval();
  woken_ = true;
}

std::optional<std::vector<std::size_t>> EndpointControl::on(event::ServersRead&& event) {
  exchange_ = Exchange::kNone;
  was_tried_ = true;
  if (!event.instance) {
    failed(event.instance.error());
    return std::nullopt;
  }
  note_cost(event.bytes);
  const bool was_reachable = instance_.has_value();
  const std::int64_t old_pid = was_reachable ? instance_->pid : 0;
  const haproxy::Instance* const before = last();
  const haproxy::Worker worker =
      before != nullptr
          ? haproxy::worker_between(*before, *event.instance, std::chrono::ceil<milliseconds>(c_.mono() - read_begun_))
          : haproxy::Worker::kNew;
  // A new worker has the weights of its file, and counters that may have been loaded from another file.
  const bool same_worker = was_reachable && worker == haproxy::Worker::kSame;
  const haproxy::Instance* const counted_from = same_worker ? &*instance_ : nullptr;
  writers_.compare_reads(c_.config.backends, counted_from, *event.instance, unconfirmed_);
  if (same_worker) {
    follow_ejections();
    clients_.compare_reads(*instance_, *event.instance);
  }
  std::vector<std::size_t> suspects = observe_traffic(counted_from, *event.instance);
  unconfirmed_.clear();
  read_begun_ = reading_since_;
  instance_ = std::move(*event.instance);
  last_.reset();
  trouble_.clear();
  reads_ = {};
  report_.reachable = true;
  report_.version = instance_->version;
  report_.pid = instance_->pid;
  note_worker(was_reachable, old_pid, worker);
  mark_static();
  mark_contended();
  if (c_.runs())
    follow_ejections();
  else
    clients_.leave_alone(*instance_);
  log_notes();
  ever_reached_ = true;
  log_push_trouble();
  for (const std::string& what : out_of_reach(c_.config, *instance_)) log_once(what);
  next_read_ = c_.mono() + interval();
  woken_ = true;
  return suspects;
}

/// Which backends of the instance take only 0 % and 100 %, as its replies or earlier refusals show.
void EndpointControl::mark_static() {
  for (const haproxy::BackendRow& row : instance_->backends)
    // The other static algorithms are so only without `hash-type consistent`, which no reply tells.
    if ((row.agent_refused || row.algo == "static-rr") && !percent_.contains(row.name)) refused_static(row.name);
  for (const std::string& backend : percent_)
    if (haproxy::BackendRow* row = instance_->backend(backend)) row->percent = true;
}

/// Logs a HAProxy that is there, back or another worker. Of another one nothing that was learned holds any more.
void EndpointControl::note_worker(bool was_reachable, std::int64_t old_pid, haproxy::Worker worker) {
  const bool fresh = worker == haproxy::Worker::kNew;
  if (fresh && ever_reached_) c_.act(action::WorkerReplaced{id_});
  if (was_reachable && !fresh) return;
  log_worker(was_reachable, old_pid);
  if (fresh) {
    pushes_ = {};
    unlogged_.reset();
    next_push_.reset();
  }
  // A read that failed for a moment tells nothing of the worker.
  if (worker == haproxy::Worker::kSame) return;
  refused_.clear();
  writers_ = {};
  logged_.clear();
  percent_.clear();
  for (const StaticBackends& known : c_.known_static)
    if (!was_reachable && known.endpoint == name() && known.pid == instance_->pid) percent_ = known.backends;
  clients_.forget_worker();
}

void EndpointControl::log_worker(bool was_reachable, std::int64_t old_pid) {
  const std::vector<std::pair<std::string_view, std::string>> worker_now{{"pid", fmt::format("{}", instance_->pid)},
                                                                         {"version", instance_->version}};
  if (!was_reachable)
    log(config::LogLevel::kInfo,
        fmt::format("HAProxy {} is {}: version {}, pid {}", name(), ever_reached_ ? "back" : "there",
                    instance_->version, instance_->pid),
        "haproxy_up", worker_now);
  else if (old_pid != instance_->pid)
    log(config::LogLevel::kInfo, fmt::format("HAProxy {} was reloaded: pid {} -> {}", name(), old_pid, instance_->pid),
        "haproxy_reloaded", worker_now);
  else
    log(config::LogLevel::kInfo,
        fmt::format("HAProxy {} was restarted: pid {} as before, running for {} s", name(), instance_->pid,
                    instance_->uptime.count()),
        "haproxy_reloaded", worker_now);
}

void EndpointControl::failed(const haproxy::Failure& failure) {
  was_tried_ = true;
  trouble_ = failure.detail;
  if (!c_.runs()) {
    report_.errors.push_back(failure.detail);
    finished_ = true;
    return;
  }
  // A HAProxy that its name does not lead to any more may be gone: that is no trouble.
  if (unlisted_)
    instance_.reset();
  else
    lost(failure);
  next_read_ = c_.mono() + reads_.back_off;
}

/// A read of all servers took so many `bytes` of replies: reads are kept so far apart that HAProxy can afford them.
void EndpointControl::note_cost(std::uint64_t bytes) {
  affordable_ = milliseconds(bytes * 1000 / kBytesPerSecond);
  servers_read_at_ = c_.mono();
  suspicious_ = false;
  const milliseconds usual = c_.config.haproxy.watch_interval;
  if (affordable_ <= usual || std::exchange(pace_logged_, true)) return;
  log(config::LogLevel::kInfo,
      fmt::format("HAProxy {}: its servers are {:.1f} MB to read, so they are read every {:.1f} s only; a reload is "
                  "still noticed within {}",
                  name(), static_cast<double>(bytes) / 1e6, static_cast<double>(affordable_.count()) / 1e3,
                  span_text(usual)));
}

/// `before`: the same worker's last read; nullptr: there was none.
std::vector<std::size_t> EndpointControl::observe_traffic(const haproxy::Instance* before, haproxy::Instance& fresh) {
  const MonoTime elapsed = c_.mono() - std::exchange(counted_at_, c_.mono());
  Traffic traffic = count_traffic(c_.config, c_.state, before, fresh, elapsed);
  c_.open.sum_up(id_, traffic, c_.mono());
  std::vector<std::size_t> suspects;
  for (std::uint32_t b = 0; b < traffic.by_judge.size(); ++b)
    if (!traffic.by_judge[b].empty())
      for (const std::size_t s : c_.state.observe_live(b, traffic.by_judge[b], c_.mono())) suspects.push_back(s);
  if (before != nullptr) {
    suspicious_ = !suspects.empty();
    busy_ = static_cast<double>(traffic.requests) >= kBusyRequests * std::chrono::duration<double>(elapsed).count();
  }
  return suspects;
}

// ---- the log

void EndpointControl::log(config::LogLevel level, std::string message, std::string_view event,
                          std::vector<std::pair<std::string_view, std::string>> fields) {
  fields.insert(fields.begin(), {"endpoint", name()});
  c_.log(level, std::move(message), std::move(fields), event);
}

void EndpointControl::log_notes() {
  for (const config::Backend& cfg : c_.config.backends) {
    const haproxy::BackendRow* row = instance_->backend(cfg.name);
    if (row == nullptr) continue;
    for (const BackendNote& note : haproxy_notes(cfg, *row))
      if (is_logged(note))
        log_once(fmt::format("{}: {}: {}", cfg.name, note.code, note.detail),
                 note.code == "contended" ? "contended" : "note_on",
                 {{"backend", cfg.name}, {"note", std::string(note.code)}});
  }
}

void EndpointControl::log_once(const std::string& what, std::string_view event,
                               std::vector<std::pair<std::string_view, std::string>> fields) {
  if (c_.runs() && logged_.is_new(what))
    log(config::LogLevel::kWarn, fmt::format("{}: {}", name(), what), event, std::move(fields));
}

/// It cannot be read: reads are tried again after a back-off. The failure's detail begins with the endpoint.
void EndpointControl::lost(const haproxy::Failure& failure) {
  if (c_.stopping) return;
  // Each kind once: how many replies came before a time-out differs from one attempt to the next.
  if (reads_.logged.insert(failure.code).second)
    c_.log(config::LogLevel::kError, fmt::format("HAProxy cannot be used: {}", failure.detail),
           {{"endpoint", name()}, {"error", std::string(haproxy::to_string(failure.code))}}, "haproxy_down");
  if (instance_) last_ = std::exchange(instance_, std::nullopt);
  // Whether pushes work is not known until it is back; they are then tried at once.
  unlogged_.reset();
  next_push_.reset();
  reads_.back_off = next_back_off(endpoint_, failure.code, reads_.back_off, c_.config.haproxy.watch_interval);
}

}  // namespace rpcw::control
