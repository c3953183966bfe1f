// EndpointControl: what a HAProxy is sent, what becomes of it, and other writers of its weights.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "weighter/controller/endpoint_control.hpp"
#include "weighter/plan/back_off.hpp"
#include "weighter/plan/haproxy_notes.hpp"

namespace rpcw::control {
namespace {

/// A weight that HAProxy refused is not sent again for this long: its words will be the same.
constexpr milliseconds kRefusalPause{30'000};

}  // namespace

// ---- other writers

/// Whether the server is to be left alone from now on. Logs and counts a repair if another writer has changed it.
bool EndpointControl::is_contended(const WeightChange& change) {
  const Key key = key_of(change);
  const OtherWriters::Repair repair = writers_.repair(key, c_.mono());
  if (repair != OtherWriters::Repair::kPutBack) return repair == OtherWriters::Repair::kFight;
  c_.act(action::Repaired{id_, key.first, key.second});
  log(config::LogLevel::kInfo,
      fmt::format("HAProxy {}: {}/{} was set to {} by another writer; setting {} again", name(), key.first, key.second,
                  change.from, change.to),
      "repaired",
      {{"backend", key.first},
       {"server", key.second},
       {"from_weight", fmt::format("{}", change.from)},
       {"to_weight", fmt::format("{}", change.to)}});
  return false;
}

void EndpointControl::mark_contended() {
  for (const auto& [backend, server] : writers_.left_alone(c_.mono())) {
    haproxy::BackendRow* rows = instance_->backend(backend);
    haproxy::ServerRow* row = rows != nullptr ? rows->server(server) : nullptr;
    if (row != nullptr) row->contended = true;
  }
}

// ---- pushing

EndpointControl::Key EndpointControl::key_of(const WeightChange& change) const {
  const config::Backend& backend = c_.config.backends[change.backend];
  return {backend.name, backend.servers[change.server].name};
}

void EndpointControl::send(const std::vector<WeightChange>& changes) {
  std::vector<haproxy::WeightCommand> commands;
  commands.reserve(changes.size());
  sent_ = changes;
  sent_to_.clear();
  for (const WeightChange& change : changes) {
    const Key& key = sent_to_.emplace_back(key_of(change));
    commands.push_back({key.first, key.second, change.percent, change.to});
  }
  exchange_ = Exchange::kWeights;
  c_.act(action::SetWeights{id_, std::move(commands)});
}

/// Brings this HAProxy to the targets. False: there is nothing to send.
bool EndpointControl::push() {
  // What was read before may be what another agent has changed since.
  if (!c_.acting || read_begun_ < c_.acting_since) return false;
  std::erase_if(refused_, [&](const auto& entry) { return entry.second.until <= c_.mono(); });
  std::vector<WeightChange> changes = planned();
  if (changes.empty() && refused_.empty()) report_.errors.clear();
  if (c_.options.dry_run) {
    for (const WeightChange& change : changes) {
      const auto [backend, server] = key_of(change);
      log_once(fmt::format("dry run: would set weight {}/{} {} -> {}", backend, server, change.from, change.to));
    }
    return false;
  }
  // What is left alone from now on may be the one server that a fall of the others counts on.
  const auto fought_over = [&](const WeightChange& c) { return !is_left_alone(key_of(c)) && is_contended(c); };
  if (std::erase_if(changes, fought_over) > 0) {
    mark_contended();
    log_notes();
    changes = planned();
  }
  if (changes.empty()) return false;
  for (const WeightChange& change : changes)
    if (const Key key = key_of(change); is_left_alone(key)) writers_.crosses(key, c_.mono());
  send(changes);
  return true;
}

bool EndpointControl::is_left_alone(const Key& key) const {
  const std::vector<Key> alone = writers_.left_alone(c_.mono());
  return std::ranges::find(alone, key) != alone.end();
}

/// It is ejected and has a weight here, or serves and has none.
bool EndpointControl::is_to_cross(const Key& key) const {
  for (std::uint32_t b = 0; b < c_.config.backends.size(); ++b) {
    const config::Backend& backend = c_.config.backends[b];
    const haproxy::ServerRow* row = backend.name == key.first ? instance_->server(key.first, key.second) : nullptr;
    if (row == nullptr || !c_.state.decided(b)) continue;
    const auto server = std::ranges::find(backend.servers, key.second, &config::Server::name) - backend.servers.begin();
    const std::vector<ServerDecision>& decided = c_.state.decision(b).servers;
    if (static_cast<std::size_t>(server) < decided.size())
      return (decided[static_cast<std::size_t>(server)].weight == 0) != (row->uweight == 0);
  }
  return false;
}

/// Without the servers that are left alone.
std::vector<WeightChange> EndpointControl::planned() const {
  std::set<Key> left_alone;
  for (const auto& [key, refused] : refused_) left_alone.insert(key);
  for (Key& key : writers_.left_alone(c_.mono()))
    if (!is_to_cross(key) || !writers_.may_cross(key, c_.mono())) left_alone.insert(std::move(key));
  if (left_alone.empty()) return plan_changes(c_.state, *instance_);
  return plan_changes(c_.state, *instance_, [&](std::string_view backend, std::string_view server) {
    return left_alone.contains({std::string(backend), std::string(server)});
  });
}

/// Single pass: one push, and a second one where an algorithm turned out to be static.
void EndpointControl::push_once() {
  finished_ = true;
  if (!instance_) return;
  if (rounds_ == 0)
    for (std::string& what : out_of_reach(c_.config, *instance_)) report_.errors.push_back(std::move(what));
  const std::vector<WeightChange> changes = plan_changes(c_.state, *instance_);
  ++rounds_;
  if (c_.options.mode == Mode::kScores || c_.options.dry_run) report_.changed = changes.size();
  if (c_.options.mode == Mode::kScores) return;
  if (!c_.options.dry_run && !changes.empty()) {
    finished_ = false;
    send(changes);
    return;
  }
  // No weight is sent that could be refused, so it is asked whether the socket may set any: a cron job would not be
  // told before the first fault.
  const bool by_socket = std::ranges::any_of(c_.config.backends,
                                             [](const config::Backend& b) { return b.drive != config::Drive::kAgent; });
  if (!by_socket || rounds_ > 1) return;
  finished_ = false;
  exchange_ = Exchange::kLevel;
  c_.act(action::ReadLevel{id_});
}

void EndpointControl::on(event::LevelRead&& event) {
  exchange_ = Exchange::kNone;
  finished_ = true;
  if (!event.level)
    report_.errors.push_back(event.level.error().detail);
  else if (*event.level != "admin")
    report_.errors.push_back(fmt::format("the socket's level is `{}`: `set weight` needs `level admin`", *event.level));
}

/// HAProxy has this weight now.
void EndpointControl::confirm(const Key& key, const WeightChange& change) {
  ++report_.changed;
  if (instance_)
    if (haproxy::BackendRow* row = instance_->backend(key.first))
      if (haproxy::ServerRow* s = row->server(key.second))
        s->uweight = change.percent && change.to > 0 ? s->iweight.value_or(1) : change.to;
  log(config::LogLevel::kDebug, fmt::format("{}: {}/{} set to {}", name(), key.first, key.second, change.to));
}

/// Finds the ejected servers whose clients `on_eject` releases.
void EndpointControl::follow_ejections() {
  if (!c_.acting || c_.options.dry_run || !instance_) return;
  for (std::uint32_t b = 0; b < c_.config.backends.size(); ++b) {
    const config::Backend& backend = c_.config.backends[b];
    const haproxy::BackendRow* row = instance_->backend(backend.name);
    if (row != nullptr && c_.state.decided(b)) clients_.follow(backend, c_.state.decision(b).servers, *row);
  }
}

/// Starts the release of clients that is due. False: none is.
bool EndpointControl::release() {
  if (!c_.acting) clients_.drop();
  if (!clients_.is_due()) return false;
  exchange_ = Exchange::kRelease;
  c_.act(action::ReleaseClients{id_, clients_.take()});
  return true;
}

void EndpointControl::on(event::ClientsReleased&& event) {
  exchange_ = Exchange::kNone;
  const std::vector<ClientRelease::Result> results =
      event.replies ? clients_.answered(*event.replies) : clients_.failed(event.replies.error().detail);
  for (const ClientRelease::Result& r : results) {
    const std::string server = fmt::format("{}/{}", r.command.backend, r.command.server);
    if (!r.trouble.empty()) {
      std::string what = fmt::format("on_eject of {} was not done: {}", server, r.trouble);
      log_once(what);
      report_.errors.push_back(std::move(what));
      continue;
    }
    const bool sessions = r.command.kind == haproxy::ReleaseCommand::Kind::kShutdownSessions;
    const std::string what = fmt::format(
        "{}: {}: {}", name(), server, sessions ? "its sessions are shut down" : "its stick-table entries are cleared");
    if (r.again)
      log(config::LogLevel::kDebug, what + " again, since requests still come to it");
    else
      log(config::LogLevel::kInfo, what + ", since it is ejected (on_eject)");
  }
  woken_ = true;
}

/// HAProxy takes only 0 % and 100 % for the servers of `backend`: its algorithm is static.
void EndpointControl::refused_static(const std::string& backend) {
  log_once(
      fmt::format("{} has a static algorithm and takes only 0 % and 100 %: servers are switched off and on, "
                  "their shares are those of haproxy.cfg",
                  backend));
  percent_.insert(backend);
  if (haproxy::BackendRow* row = instance_->backend(backend)) row->percent = true;
  found_static_ = true;
  woken_ = true;
}

void EndpointControl::note_refusal(const Key& key, const WeightChange& change, const haproxy::Outcome& outcome) {
  refused_[key] = {c_.mono() + kRefusalPause, outcome.refusal};
  // The others may have to carry what this one does not.
  woken_ = true;
  const std::string command = fmt::format("set weight {}/{} {}", key.first, key.second, change.to);
  log_once(fmt::format("{} was refused: {}", command, outcome.detail), "refused", {{"error", outcome.detail}});
  report_.errors.push_back(fmt::format("refused: {}: {}", command, outcome.detail));
}

void EndpointControl::on(event::WeightsAnswered&& event) {
  exchange_ = Exchange::kNone;
  // A running agent's errors are those of the last push, a single pass's those of both rounds.
  if (c_.runs()) report_.errors.clear();
  std::set<Key> unconfirmed;
  haproxy::Failure failure;
  for (std::size_t k = 0; k < event.outcomes.size() && k < sent_.size(); ++k) {
    haproxy::Outcome& o = event.outcomes[k];
    if (o.kind == haproxy::Outcome::Kind::kDone) {
      confirm(sent_to_[k], sent_[k]);
    } else if (o.refusal == haproxy::Refusal::kStaticAlgorithm && !sent_[k].percent) {
      refused_static(sent_to_[k].first);
    } else if (o.kind == haproxy::Outcome::Kind::kRefused) {
      note_refusal(sent_to_[k], sent_[k], o);
    } else {
      unconfirmed.insert(sent_to_[k]);
      failure = {o.error.value_or(haproxy::Error::kIo), std::move(o.detail)};
    }
  }
  follow_ejections();
  if (!c_.runs()) {
    if (!unconfirmed.empty())
      report_.errors.push_back(fmt::format("{} of {} weights were not confirmed: {}", unconfirmed.size(),
                                           event.outcomes.size(), failure.detail));
    finished_ = !unconfirmed.empty() || !found_static_ || rounds_ > 1;
    return;
  }
  // Another agent sets the weights now.
  if (!c_.acting) return;
  if (!unconfirmed.empty()) {
    report_.errors.push_back(failure.detail);
    push_failed(failure, std::move(unconfirmed));
    return;
  }
  if (!pushes_.logged.empty())
    log(config::LogLevel::kInfo, fmt::format("HAProxy {}: its weights can be set again", name()));
  pushes_ = {};
  unlogged_.reset();
  next_push_.reset();
}

/// `unconfirmed`: servers whose weight HAProxy may have or not. A read of all servers comes before the next push.
void EndpointControl::push_failed(const haproxy::Failure& failure, std::set<Key> unconfirmed) {
  if (c_.stopping) return;
  using haproxy::Error;
  // Without a connection it cannot be read either.
  if (failure.code == Error::kConnect || failure.code == Error::kPermission || failure.code == Error::kResolve ||
      failure.code == Error::kTls) {
    failed(failure);
    return;
  }
  const milliseconds usual = c_.config.haproxy.watch_interval;
  unlogged_ = failure;
  unconfirmed_ = std::move(unconfirmed);
  pushes_.back_off = next_back_off(endpoint_, failure.code, pushes_.back_off, usual);
  // A read of all servers comes first and shows what was set.
  next_push_ = c_.mono() + pushes_.back_off;
  next_read_ = c_.mono() + usual;
  servers_read_at_ = {};
}

/// After a read that worked: only then it is known that pushes alone do not.
void EndpointControl::log_push_trouble() {
  const auto failure = std::exchange(unlogged_, std::nullopt);
  if (!failure || !pushes_.logged.insert(failure->code).second) return;
  c_.log(config::LogLevel::kError,
         fmt::format("HAProxy can be read, but its weights cannot be set: {}", failure->detail),
         {{"endpoint", name()}, {"error", std::string(haproxy::to_string(failure->code))}});
}

}  // namespace rpcw::control
