#include "weighter/system/snapshot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "weighter/system/system_state.hpp"

namespace rpcw {
namespace {

std::string canaries_text(const config::Backend& cfg) {
  std::string out;
  for (const config::Canary& c : cfg.canaries)
    out += fmt::format("{} {} {} {} {} {} {} {} {}\n", c.method, c.params_json, c.interval.count(), c.path, c.body,
                       c.expect, c.equals.value_or(""), c.matches ? c.matches->text() : "",
                       c.at_most.value_or(milliseconds{0}).count());
  return out;
}

/// All settings that weights follow.
std::string settings_text(const config::Backend& cfg) {
  const auto count = [](const std::optional<milliseconds>& t) { return t ? t->count() : -1; };
  std::string out = fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {} {}\n{} {} {} {} {}\n", cfg.strategy,
                                config::to_string(cfg.scale), config::to_string(cfg.fallback), cfg.min_healthy,
                                cfg.max_latency.count(), cfg.max_block_lag.value_or(0), cfg.min_peers, cfg.ramp.count(),
                                cfg.eject_time.count(), cfg.max_eject_time.count(), cfg.max_share, cfg.live,
                                cfg.switch_back, cfg.hash_dead_band, cfg.chain.identity, cfg.chain.block_time.count(),
                                count(cfg.chain.max_block_age), cfg.chain.max_lag.count(), cfg.chain.fork_depth);
  for (const config::Server& s : cfg.servers)
    out += fmt::format("{} {} {} {} {}\n", s.name, s.preference, s.tier, s.max_rate, s.target.operator_name);
  for (const config::Target& t : cfg.references) out += fmt::format("{}\n", t.operator_name);
  return out + canaries_text(cfg) + cfg.follows;
}

}  // namespace

std::string plain_key(std::string_view, std::string_view text) {
  return std::string(text);
}

BackendSnapshot identity_of(const config::Backend& cfg, const Keyer& key) {
  BackendSnapshot out;
  out.name = cfg.name;
  out.settings = key({}, settings_text(cfg));
  out.canaries = key({}, canaries_text(cfg));
  const auto target = [&](std::string_view name, const config::Target& t) {
    return key(name, fmt::format("{}\n{}\n{}\n{}", cfg.name, cfg.chain.name, name, t.url));
  };
  for (const config::Server& s : cfg.servers) out.servers.push_back(target(s.name, s.target));
  for (const config::Target& t : cfg.references) out.references.push_back(target({}, t));
  return out;
}

BackendSnapshot snapshot_of(const config::Backend& cfg, const BackendState& state, const Keyer& key) {
  BackendSnapshot out = identity_of(cfg, key);
  out.history = state.history;
  out.view = state.view;
  out.decision = state.decision;
  out.decided = state.decided;
  out.guessed = state.guessed;
  return out;
}

void restore(BackendState& backend, const config::Backend& cfg, BackendSnapshot&& was, const Keyer& key,
             Continuity continuity) {
  const BackendSnapshot here = identity_of(cfg, key);
  const auto take = [&](TargetHistory& to, TargetHistory& from) {
    to = std::move(from);
    if (continuity == Continuity::kNewDaemon) forget_checks(to);
    if (here.canaries != was.canaries) to.node.canaries.clear();
  };
  const auto places = [](const std::vector<std::string>& keys) {
    std::multimap<std::string_view, std::size_t> out;
    for (std::size_t i = 0; i < keys.size(); ++i) out.emplace(keys[i], i);
    return out;
  };
  auto known = places(was.servers);
  /// The former index of each server; absent: it is new.
  std::vector<std::optional<std::size_t>> from(here.servers.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    const auto it = known.find(here.servers[i]);
    if (it == known.end()) continue;
    from[i] = it->second;
    known.erase(it);
    take(backend.history.servers[i], was.history.servers[*from[i]]);
    if (*from[i] >= was.decision.servers.size()) continue;
    backend.decision.servers.resize(from.size());
    backend.decision.servers[i] = std::move(was.decision.servers[*from[i]]);
  }
  known = places(was.references);
  for (std::size_t i = 0; i < here.references.size(); ++i) {
    const auto it = known.find(here.references[i]);
    if (it == known.end()) continue;
    take(backend.history.references[i], was.history.references[it->second]);
    known.erase(it);
  }
  const bool none = std::ranges::all_of(from, [](const auto& i) { return !i.has_value(); });
  if (!was.decided || none) return;
  // With all of its servers, and no other, all of its decision still holds.
  const bool same =
      from.size() == was.servers.size() && std::ranges::all_of(from, [](const auto& i) { return i.has_value(); });
  was.decision.servers = std::move(backend.decision.servers);
  backend.decision = std::move(was.decision);
  backend.decided = same || continuity == Continuity::kSameDaemon;
  backend.guessed = was.guessed;
  if (was.view.servers.size() == was.servers.size()) {
    backend.view = was.view;
    backend.view.servers.assign(from.size(), std::nullopt);
    for (std::size_t i = 0; i < from.size(); ++i)
      if (from[i]) backend.view.servers[i] = was.view.servers[*from[i]];
  }

  BackendHistory& h = backend.history;
  h = with_servers(std::move(was.history), std::move(h.servers), std::move(h.references), from);
  // The file wants other weights now, or other servers do, and those exactly.
  if (!same || here.settings != was.settings) h.shares.converging = true;
}

}  // namespace rpcw
