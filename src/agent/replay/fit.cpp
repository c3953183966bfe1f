#include "agent/replay/fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "agent/replay/turns.hpp"

namespace rpcw::replay {
namespace {

bool has_backend(const config::Config& config, const std::string& name) {
  return std::ranges::find(config.backends, name, &config::Backend::name) != config.backends.end();
}

/// Those that follow another one come after it.
std::vector<const config::Backend*> in_order(const config::Config& config) {
  std::vector<const config::Backend*> out;
  for (const bool follows : {false, true})
    for (const config::Backend& b : config.backends)
      if (b.follows.empty() != follows) out.push_back(&b);
  return out;
}

/// The file's; with `discover` also those that HAProxy had then, in its order.
std::vector<config::Server> servers_of(const config::Backend& from, const store::SectionBackend& was) {
  if (from.discover.empty() && from.follows.empty()) return from.servers;
  std::vector<config::Server> out;
  for (const store::SectionBackend::Server& s : was.servers) {
    const auto named = std::ranges::find(from.servers, s.name, &config::Server::name);
    config::Server& server = out.emplace_back();
    if (named != from.servers.end())
      server = *named;
    else
      server.name = s.name;
  }
  return out;
}

}  // namespace

// ---- what fits

Fit::Fit(const store::Section& section, const config::Config& config, std::set<std::string>& notes) {
  config_.probe = config.probe;
  backends_.resize(section.backends.size());
  for (const config::Backend* b : in_order(config)) {
    const auto at = std::ranges::find(section.backends, b->name, &store::SectionBackend::name);
    if (std::string why = misfit(*b, section, at); !why.empty())
      notes.insert(std::move(why));
    else
      add(*b, *at, backends_[static_cast<std::size_t>(at - section.backends.begin())], notes);
  }
  for (std::size_t b = 0; b < section.backends.size(); ++b) {
    const store::SectionBackend& was = section.backends[b];
    if (!has_backend(config, was.name))
      notes.insert(fmt::format("backend {} is only in the recording: left out", was.name));
    backends_[b].servers.resize(was.servers.size());
    backends_[b].references.resize(was.references.size());
  }
  number_targets(section);
}

std::string Fit::misfit(const config::Backend& backend, const store::Section& section,
                        std::vector<store::SectionBackend>::const_iterator at) const {
  if (at == section.backends.end())
    return fmt::format("backend {} is only in the configuration: left out", backend.name);
  if (at->chain != backend.chain.name)
    return fmt::format("backend {} was recorded on the chain {} and is on {} now: left out", backend.name, at->chain,
                       backend.chain.name);
  if (!backend.follows.empty() && !has_backend(config_, backend.follows))
    return fmt::format("backend {} follows {}, which is left out: left out", backend.name, backend.follows);
  return {};
}

void Fit::add(const config::Backend& from, const store::SectionBackend& was, Place& place,
              std::set<std::string>& notes) {
  config::Backend b = from;
  b.servers.clear();
  b.references.clear();
  place.servers.resize(was.servers.size());
  place.references.resize(was.references.size());
  add_servers(from, was, b, place, notes);
  add_references(from, was, b, place, notes);
  if (b.servers.empty()) return;
  const auto use = [&](config::Target& target, bool reference, const store::SectionBackend::Server& recorded) {
    target = as_recorded(target, reference, from, config_.probe, recorded);
  };
  for (std::size_t i = 0; i < was.servers.size(); ++i)
    if (const Index to = place.servers[i]) use(b.servers[*to].target, false, was.servers[i]);
  for (std::size_t i = 0; i < was.references.size(); ++i)
    if (const Index to = place.references[i]) use(b.references[*to], true, was.references[i]);
  // Where HAProxy's list decides, there may be fewer than that at any time.
  if (b.discover.empty()) b.min_healthy = std::min(b.min_healthy, static_cast<unsigned>(b.servers.size()));
  place.all_in_place = b.servers.size() == was.servers.size() && b.references.size() == was.references.size();
  for (std::uint32_t i = 0; i < place.servers.size(); ++i)
    place.all_in_place = place.all_in_place && place.servers[i] == i;
  place.backend = static_cast<std::uint32_t>(config_.backends.size());
  config_.backends.push_back(std::move(b));
}

void Fit::add_servers(const config::Backend& from, const store::SectionBackend& was, config::Backend& to, Place& place,
                      std::set<std::string>& notes) {
  for (config::Server& s : servers_of(from, was)) {
    const auto at = std::ranges::find(was.servers, s.name, &store::SectionBackend::Server::name);
    if (at == was.servers.end()) {
      notes.insert(fmt::format("{}/{} is only in the configuration: left out", to.name, s.name));
      continue;
    }
    place.servers[static_cast<std::size_t>(at - was.servers.begin())] = static_cast<std::uint32_t>(to.servers.size());
    to.servers.push_back(std::move(s));
  }
  for (std::size_t i = 0; i < was.servers.size(); ++i)
    if (!place.servers[i])
      notes.insert(fmt::format("{}/{} is only in the recording: left out", to.name, was.servers[i].name));
}

/// They have no names; their places in the file must do.
void Fit::add_references(const config::Backend& from, const store::SectionBackend& was, config::Backend& to,
                         Place& place, std::set<std::string>& notes) {
  for (std::size_t i = 0; i < std::min(from.references.size(), was.references.size()); ++i) {
    place.references[i] = static_cast<std::uint32_t>(i);
    to.references.push_back(from.references[i]);
  }
  if (from.references.size() != was.references.size())
    notes.insert(
        fmt::format("backend {} was recorded with {} references and has {} now: what only one side has is left out",
                    to.name, was.references.size(), from.references.size()));
}

void Fit::number_targets(const store::Section& section) {
  std::vector<std::size_t> first;
  std::size_t next = 0;
  for (const config::Backend& b : config_.backends) {
    first.push_back(next);
    if (b.follows.empty()) next += b.servers.size() + b.references.size();
  }
  for (std::size_t b = 0; b < section.backends.size(); ++b) {
    const Place& place = backends_[b];
    const auto enter = [&](const Index& at, std::size_t before) {
      const bool probed = place.backend && at && config_.backends[*place.backend].follows.empty();
      targets_.push_back(probed ? std::optional(first[*place.backend] + before + *at) : std::nullopt);
    };
    for (const Index& at : place.servers) enter(at, 0);
    for (const Index& at : place.references)
      enter(at, place.backend ? config_.backends[*place.backend].servers.size() : 0);
  }
}

// ---- by its numbers

/// Gives an event the configuration's numbers; false: it is about what was left out.
class Fit::Mover {
 public:
  explicit Mover(const Fit& fit) : fit_(fit) {}

  bool operator()(event::ProbeBegun& e) const { return move(e.target); }
  bool operator()(event::ProbeSent& e) const { return move(e.target); }
  bool operator()(event::NoAnswerYet& e) const { return move(e.target); }
  bool operator()(event::HeadCame& e) const { return move(e.target); }
  bool operator()(event::AnswerCame& e) const { return move(e.target); }
  bool operator()(event::UrgentChecksSent&) const { return true; }
  bool operator()(event::HeadsScanned&) const { return true; }
  bool operator()(event::Decided&) const { return true; }
  bool operator()(event::DecisionsBlocked& e) const {
    const Index at = fit_.backend(e.backend);
    if (at) e.backend = *at;
    return at.has_value();
  }
  bool operator()(event::ViewsChanged& e) const {
    std::vector<event::ViewsChanged::Of> out;
    for (auto& [b, view] : e.backends)
      if (const Index at = fit_.backend(b)) out.push_back({*at, fit_.fit(b, std::move(view))});
    e.backends = std::move(out);
    return !e.backends.empty();
  }
  bool operator()(event::TrafficCame& e) const {
    const Index at = fit_.backend(e.backend);
    if (!at) return false;
    const Place& place = fit_.backends_[e.backend];
    std::vector<LiveDelta> out(fit_.config_.backends[*at].servers.size());
    for (std::size_t i = 0; i < std::min(e.deltas.size(), place.servers.size()); ++i)
      if (place.servers[i]) out[*place.servers[i]] = e.deltas[i];
    e.backend = *at;
    e.deltas = std::move(out);
    return true;
  }

 private:
  bool move(std::size_t& target) const {
    const auto at = fit_.targets_[target];
    if (at) target = *at;
    return at.has_value();
  }

  const Fit& fit_;
};

std::optional<Event> Fit::fit(Event&& event) const {
  if (!std::visit(Mover(*this), event)) return std::nullopt;
  return std::move(event);
}

BackendState Fit::fit(store::Known&& known) const {
  const Place& place = backends_[known.backend];
  const config::Backend& cfg = config_.backends[*place.backend];
  BackendState out = std::move(known.state);
  // A canary's history is its place in the file's list, and there may be fewer now.
  for (TargetHistory& t : out.history.servers)
    if (t.node.canaries.size() > cfg.canaries.size()) t.node.canaries.resize(cfg.canaries.size());
  if (place.all_in_place) return out;
  BackendHistory& was = out.history;
  BackendHistory fresh = empty_history(cfg);
  std::vector<std::optional<std::size_t>> from(cfg.servers.size());
  std::vector<ServerDecision> decided(out.decision.servers.empty() ? 0 : cfg.servers.size());
  for (std::uint32_t i = 0; i < place.servers.size(); ++i) {
    const Index to = place.servers[i];
    if (!to) continue;
    from[*to] = i;
    fresh.servers[*to] = std::move(was.servers[i]);
    if (!decided.empty()) decided[*to] = std::move(out.decision.servers[i]);
  }
  out.decision.servers = std::move(decided);
  for (std::size_t i = 0; i < place.references.size(); ++i)
    if (place.references[i]) fresh.references[*place.references[i]] = std::move(was.references[i]);
  was = with_servers(std::move(was), std::move(fresh.servers), std::move(fresh.references), from);
  out.view = fit(known.backend, std::move(out.view));
  return out;
}

BackendView Fit::fit(std::uint32_t recorded, BackendView&& view) const {
  const Place& place = backends_[recorded];
  if (place.all_in_place || view.servers.empty()) return std::move(view);
  std::vector<std::optional<ServerView>> servers(config_.backends[*place.backend].servers.size());
  for (std::size_t i = 0; i < place.servers.size(); ++i)
    if (place.servers[i]) servers[*place.servers[i]] = view.servers[i];
  view.servers = std::move(servers);
  return std::move(view);
}

}  // namespace rpcw::replay
