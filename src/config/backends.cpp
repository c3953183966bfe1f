#include "config/backends.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "config/params.hpp"
#include "config/pattern.hpp"
#include "config/pointer.hpp"
#include "config/quantity.hpp"
#include "config/targets.hpp"
#include "config/url.hpp"

namespace rpcw::config {
namespace {

using namespace std::chrono_literals;

constexpr milliseconds kDay = 24h;
constexpr std::string_view kNameCharacters = "accepted: A-Z a-z 0-9 - _ . :";

std::string quoted_list(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += i + 1 == names.size() ? " and " : ", ";
    out += fmt::format("\"{}\"", names[i]);
  }
  return out;
}

/// The name of a backend or server; empty when there is no good one.
std::string read_name(Reader& r, std::string_view what, Seen& seen) {
  const auto found = r.text("name");
  if (!found) {
    if (!r.has("name")) r.error(r.place(), "name", fmt::format("missing; the {}'s name in haproxy.cfg", what));
    return {};
  }
  if (!is_plain_name(found->value)) {
    r.error(found->place, "name",
            found->value.empty() ? fmt::format("it is empty; expected the {}'s name in haproxy.cfg", what)
                                 : fmt::format("{} is no name for HAProxy; {}", shown(found->value), kNameCharacters));
    return {};
  }
  if (const auto [at, fresh] = seen.emplace(found->value, found->place); !fresh) {
    r.error(found->place, "name",
            fmt::format("the {} {} is already defined on line {}", what, shown(found->value), at->second.line));
    return {};
  }
  return found->value;
}

}  // namespace

Backend Backends::read(Reader& r) {
  server_places_.clear();
  const std::size_t index = count_++;
  Backend out;
  out.name = read_name(r, "backend", names_);
  const bool follower = r.has("follows");
  const auto follows = r.text("follows");
  if (follows) out.follows = follows->value;
  foreign_.clear();
  if (follower)
    note_foreign_limits(r, out.follows);
  else
    read_limits(r, out);

  std::size_t strategy = 0;
  if (r.one_of("strategy", context_.strategies(), strategy).valid()) out.strategy = context_.strategies()[strategy];
  const Given scale = r.choice<Scale>("scale", out.scale, {{"share", Scale::kShare}, {"peak", Scale::kPeak}});
  r.choice<Fallback>("fallback", out.fallback,
                     {{"equal", Fallback::kEqual}, {"keep", Fallback::kKeep}, {"least-bad", Fallback::kLeastBad}});
  read_drive(r, out);
  r.number("hash_dead_band", out.hash_dead_band, 0, 1);
  const Given min_healthy = r.integer("min_healthy", out.min_healthy, 1, 4096);
  const Given max_share = r.number("max_share", out.max_share, 0.01, 1);
  r.boolean("live", out.live);
  const Given switch_back = r.boolean("switch_back", out.switch_back);
  warn_of_strategy(r, out, scale, max_share, switch_back);

  const auto discover = follower ? std::nullopt : r.text("discover");
  if (discover) out.discover = read_discover(r, context_, *discover);
  if (!follower) {
    const Given headers_to = r.choice<bool>("headers_to", out.headers_to_discovered, {{"discovered", true}});
    if (headers_to.valid() && !r.has("discover"))
      r.error(headers_to.place, "headers_to", "is only of use with discover");
  }
  const std::size_t servers = read_servers(r, out);
  if (!discover && !r.has("discover") && !follower && servers == 0)
    r.error(r.place(), "",
            "the backend has no servers; add a [[backend.server]] for each, or discover = \"http://{addr}/\" to take "
            "HAProxy's own list");
  if (servers > 0 && !discover && !follower) {
    if (min_healthy.valid() && out.min_healthy > servers)
      r.error(min_healthy.place, "min_healthy",
              fmt::format("{} is more than the backend has servers; accepted: {}", out.min_healthy,
                          range_text<std::size_t>(1, servers)));
    // One third, written 0.3333, is meant as one third.
    constexpr double kSlack = 1e-3;
    const double total = out.max_share * static_cast<double>(servers);
    if (max_share.valid() && total < 1 - kSlack)
      r.error(max_share.place, "max_share",
              fmt::format("{} for each of {} server{} leaves a part of the traffic to none; accepted: {}",
                          out.max_share, servers, servers == 1 ? "" : "s",
                          range_text(std::ceil(1e4 / static_cast<double>(servers)) / 1e4, 1.0)));
  }
  if (discover) warn_of_unsent_headers(r, out);
  if (follower) {
    followers_.push_back({.index = index,
                          .given = follows.has_value(),
                          .path = r.path_of("follows"),
                          .place = follows ? follows->place : r.place(),
                          .server_places = server_places_,
                          .foreign = std::move(foreign_)});
    return out;
  }
  r.tables("reference", "", [&](Reader& inner) { read_reference(inner, out); });
  r.tables("canary", "", [&](Reader& inner) { read_canary(inner, out); });
  warn_of_shared_operators(r, out);
  warn_of_unused_rates(r, out);
  return out;
}

void Backends::read_drive(Reader& r, Backend& out) const {
  const Given on_eject = r.choice<OnEject>("on_eject", out.on_eject,
                                           {{"none", OnEject::kNone},
                                            {"shutdown-sessions", OnEject::kShutdownSessions},
                                            {"clear-stick", OnEject::kClearStick}});
  const Given drive = r.choice<Drive>("drive", out.drive, {{"socket", Drive::kSocket}, {"agent", Drive::kAgent}});
  if (out.drive != Drive::kAgent) return;
  if (!agent_)
    r.error(drive.place, "drive",
            "\"agent\" needs an address where HAProxy's agent-check is answered, such as [agent_check] listen = "
            "\"127.0.0.1:9777\"");
  if (out.on_eject != OnEject::kNone)
    r.error(on_eject.place, "on_eject", "needs HAProxy's socket, and drive = \"agent\" sends nothing over it");
}

/// How servers are judged, which is that of the backend that is followed.
void Backends::read_limits(Reader& r, Backend& out) {
  const bool chain_known = chains_.choose(r, out.chain);
  if (const Given latency = r.duration("max_latency", out.max_latency, 1ms, 60s);
      latency.valid() && out.max_latency >= probe_timeout_)
    r.warning(latency.place, "max_latency",
              fmt::format("{} is never reached: a probe that takes {} has failed by probe.timeout",
                          duration_text(out.max_latency), duration_text(probe_timeout_)));
  std::optional<milliseconds> max_block_age = chain_known ? out.chain.max_block_age : std::nullopt;
  milliseconds max_lag = chain_known ? out.chain.max_lag : 30s;
  const Given age = r.duration_or_off("max_block_age", max_block_age, 1s, kDay);
  const Given lag = r.duration("max_lag", max_lag, 1s, kDay);
  out.chain.max_block_age = max_block_age;
  out.chain.max_lag = max_lag;
  if (chain_known) warn_of_idle_lag(r, out.chain, age, lag);
  r.integer("max_block_lag", out.max_block_lag, 1, 1'000'000);
  r.integer("min_peers", out.min_peers, 0, 10'000);
  r.duration("ramp", out.ramp, 0s, 1h);
  const Given eject = r.duration("eject_time", out.eject_time, 0s, kDay);
  const Given max_eject = r.duration("max_eject_time", out.max_eject_time, 0s, kDay);
  read_bound(r, "eject_time", eject, 0s, out.eject_time, "max_eject_time", max_eject, out.max_eject_time);
}

void Backends::note_foreign_limits(Reader& r, const std::string& follows) {
  for (const std::string_view key :
       {"chain", "max_latency", "max_block_age", "max_lag", "max_block_lag", "min_peers", "ramp", "eject_time",
        "max_eject_time", "discover", "headers_to", "reference", "canary"})
    if (const Node* found = r.any(key))
      foreign_.push_back({found->place, r.path_of(key),
                          fmt::format("is a matter of the backend that is followed; set it in {}",
                                      is_plain_name(follows) ? follows : "that one")});
}

// What a strategy does not look at. A value that is the default anyway claims nothing.
void Backends::warn_of_strategy(Reader& r, const Backend& backend, const Given& scale, const Given& max_share,
                                const Given& switch_back) {
  const bool leader = backend.strategy == "leader";
  if (switch_back.valid() && backend.switch_back && !leader)
    r.warning(
        switch_back.place, "switch_back",
        fmt::format("has no effect: only strategy = \"leader\" switches, and here it is \"{}\"", backend.strategy));
  if (!leader) return;
  constexpr std::string_view kWhy = "has no effect: with strategy = \"leader\" one server has everything";
  if (scale.valid() && backend.scale != Scale::kShare) r.warning(scale.place, "scale", std::string(kWhy));
  if (max_share.valid() && backend.max_share < 1) r.warning(max_share.place, "max_share", std::string(kWhy));
}

void Backends::join(Reader& root, std::vector<Backend>& backends) const {
  const auto name_list = [&](std::size_t but) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < backends.size(); ++i)
      if (i != but && backends[i].follows.empty() && !backends[i].name.empty()) names.push_back(backends[i].name);
    return names.empty() ? std::string("; there is no other backend that can be followed")
                         : fmt::format("; accepted: {}", quoted_list(names));
  };
  for (const Follower& f : followers_) {
    Backend& to = backends[f.index];
    const auto from = std::ranges::find(backends, to.follows, &Backend::name);
    // The one that is not followed has nothing to be set in.
    if (!f.given) continue;
    if (to.follows.empty() || from == backends.end()) {
      root.error(f.place, f.path,
                 fmt::format("{} is no backend of this file{}", shown(to.follows), name_list(f.index)));
      continue;
    }
    if (&*from == &to || !from->follows.empty()) {
      root.error(f.place, f.path,
                 fmt::format("{}{}",
                             &*from == &to ? "a backend cannot follow itself"
                                           : fmt::format("{} follows {} itself", from->name, shown(from->follows)),
                             name_list(f.index)));
      continue;
    }
    for (const Foreign& key : f.foreign) root.error(key.place, key.path, key.message);
    to.chain = from->chain;
    to.max_latency = from->max_latency;
    to.max_block_lag = from->max_block_lag;
    to.min_peers = from->min_peers;
    to.ramp = from->ramp;
    to.eject_time = from->eject_time;
    to.max_eject_time = from->max_eject_time;
    to.canaries = from->canaries;
    if (!from->discover.empty()) continue;
    for (std::size_t i = 0; i < to.servers.size(); ++i)
      if (!to.servers[i].name.empty() &&
          std::ranges::find(from->servers, to.servers[i].name, &Server::name) == from->servers.end())
        root.error(f.server_places[i], fmt::format("backend.{}.server", to.name),
                   fmt::format("{} is no server of {}, which {} follows", to.servers[i].name, from->name, to.name));
    to.servers = following_servers(from->servers, to.servers);
  }
}

std::size_t Backends::read_servers(Reader& r, Backend& out) {
  Seen seen;
  return r.tables("server", "name", [&](Reader& inner) {
    Server server;
    server.name = read_name(inner, "server", seen);
    if (r.has("follows")) {
      for (const std::string_view key :
           {"url", "url_file", "headers", "operator", "redact_host", "tier", "max_rate", "interval", "budget"})
        if (const Node* found = inner.any(key))
          foreign_.push_back(
              {found->place, inner.path_of(key), "is a matter of the backend that is followed; set it there"});
    } else {
      read_target(inner, context_, server.target, !r.has("discover"));
    }
    if (!server.target.operator_given) server.target.operator_name = server.name;
    inner.number("preference", server.preference, 0.01, 100);
    inner.integer("tier", server.tier, 0, 9);
    inner.rate("max_rate", server.max_rate, 1.0 / 60, 1'000'000);
    out.servers.push_back(std::move(server));
    server_places_.push_back(inner.place());
  });
}

void Backends::read_reference(Reader& r, Backend& out) const {
  Target target;
  read_target(r, context_, target);
  if (!target.url.empty()) {
    if (!target.operator_given)
      if (const auto parts = url::parse(target.url))
        // Operators are shown. One that is made of a host must tell apart those whose hosts are not.
        target.operator_name =
            shown_host(target) == parts->host ? parts->host : fmt::format("reference {}", out.references.size() + 1);
    const auto same = [&](const Target& other) { return other.url == target.url; };
    const auto server = std::ranges::find_if(out.servers, [&](const Server& s) { return same(s.target); });
    if (server != out.servers.end())
      r.error(r.place(), "", "its URL is that of a server of this backend, which is compared with anyway");
    else if (std::ranges::any_of(out.references, same))
      r.error(r.place(), "", "its URL is that of another reference of this backend");
  }
  out.references.push_back(std::move(target));
}

void Backends::read_canary(Reader& r, Backend& out) {
  Canary canary;
  const auto path = r.text("path");
  const auto body = r.text("body");
  const bool plain = r.has("path") || r.has("body");
  if (const auto method = r.text("method")) {
    canary.method = method->value;
    const bool word = !method->value.empty() && std::ranges::all_of(method->value, [](char c) {
      // Of a URL, which may hold a key: a method is shown in full.
      constexpr std::string_view kNone = "\"\\/@?#";
      return static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7f &&
             kNone.find(c) == std::string_view::npos;
    });
    if (plain && method->value != "GET" && method->value != "POST")
      r.error(method->place, "method",
              fmt::format("{}: with path or body it is the HTTP method; accepted: GET, POST", shown(method->value)));
    else if (!word)
      r.error(method->place, "method",
              fmt::format("{} is no method's name; expected one such as \"eth_call\"", shown(method->value)));
  } else if (!r.has("method") && !plain) {
    r.error(r.place(), "method", "missing; expected a method's name such as \"eth_call\"");
  }
  if (path) {
    canary.path = path->value;
    const bool clean = std::ranges::all_of(
        canary.path, [](char c) { return c > 0x20 && c < 0x7f && c != '\\' && c != '"' && c != '#'; });
    if (!canary.path.starts_with('/') || !clean)
      r.error(path->place, "path", "this is no path; expected one such as \"/status\"");
  }
  if (body) {
    canary.body = body->value;
    if (canary.method == "GET") r.error(body->place, "body", "a GET has no body; set method = \"POST\"");
  }
  if (const Node* params = r.any("params")) {
    if (plain) {
      r.error(params->place, "params", "params are of a JSON-RPC method, and path or body make it a plain request");
    } else if (params->kind != Node::Kind::kArray && params->kind != Node::Kind::kTable) {
      r.error(params->place, "params", fmt::format("found {}; expected an array or a table", kind_name(params->kind)));
    } else if (auto json = to_json(*params)) {
      canary.params_json = std::move(*json);
    } else {
      r.error(json.error().place, "params", std::move(json.error().message));
    }
  }
  r.duration("interval", canary.interval, 1s, kDay);
  read_pointer(r, "expect", canary.expect, false);
  const auto needs_expect = [&](std::string_view key, Place place) {
    if (!r.has("expect")) r.error(place, key, "is of a value: set expect to a JSON pointer, such as \"/result\"");
  };
  if (const Node* equals = r.any("equals")) {
    needs_expect("equals", equals->place);
    // As the value stands in JSON: a text without its quotes, a number, true or false.
    if (equals->kind == Node::Kind::kString)
      canary.equals = equals->text;
    else if (equals->kind == Node::Kind::kInteger)
      canary.equals = fmt::format("{}", equals->integer);
    else if (equals->kind == Node::Kind::kBoolean)
      canary.equals = equals->boolean ? "true" : "false";
    else
      r.error(equals->place, "equals",
              fmt::format("found {}; expected a string, an integer or a boolean", kind_name(equals->kind)));
  }
  if (const auto matches = r.text("matches")) {
    needs_expect("matches", matches->place);
    if (matches->value.empty()) {
      canary.matches.reset();
    } else if (auto pattern = Pattern::make(matches->value)) {
      canary.matches = std::move(*pattern);
    } else {
      r.error(matches->place, "matches", std::move(pattern.error()));
    }
  }
  std::uint64_t ms = 0;
  if (r.integer("at_most_ms", ms, 1, 60'000).valid()) canary.at_most = milliseconds{ms};
  out.canaries.push_back(std::move(canary));
}

void Backends::warn_of_unsent_headers(Reader& r, const Backend& backend) const {
  if (backend.discover.empty() || sends_headers_to_discovered(backend)) return;
  for (std::size_t i = 0; i < backend.servers.size(); ++i) {
    const Server& server = backend.servers[i];
    // With a URL of its own it is probed where the file says.
    if (server.target.headers.empty() || !server.target.url.empty()) continue;
    r.warning(
        server_places_.at(i), "headers",
        fmt::format("the headers of {} are not sent: HAProxy's list decides where to. To send them to any address "
                    "on it, set headers_to = \"discovered\" in the [[backend]]; or give the server a url",
                    server.name));
  }
}

void Backends::warn_of_unused_rates(Reader& r, const Backend& backend) const {
  if (!backend.follows.empty()) return;
  const bool leader = backend.strategy == "leader";
  if (backend.live && !leader) return;
  for (std::size_t i = 0; i < backend.servers.size(); ++i)
    if (backend.servers[i].max_rate > 0)
      r.warning(server_places_.at(i), "max_rate",
                fmt::format("{} is not kept to it: {}", backend.servers[i].name,
                            leader ? "with strategy = \"leader\" one server has everything"
                                   : "it takes HAProxy's measured traffic, and live = false ignores that"));
}

// Two keys at one vendor have one vote on the agreed head, and would count as two.
void Backends::warn_of_shared_operators(Reader& r, const Backend& backend) const {
  struct Group {
    std::vector<std::string> names;
    Place place;
    /// Whether a host of these is not to be shown.
    bool hidden = false;
  };
  std::map<std::string, Group> groups;
  for (std::size_t i = 0; i < backend.servers.size(); ++i) {
    const Server& server = backend.servers[i];
    if (server.target.operator_given || server.name.empty()) continue;
    const auto parts = url::parse(server.target.url);
    if (!parts) continue;
    std::string domain = url::registrable_domain(parts->host);
    // Addresses and names of a local network have no registrable domain.
    const bool address = parts->host.find(':') != std::string::npos ||
                         std::ranges::all_of(domain, [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
    if (address || domain.find('.') == std::string::npos) continue;
    Group& group = groups[std::move(domain)];
    group.hidden = group.hidden || shown_host(server.target) != parts->host;
    group.names.push_back(server.name);
    group.place = server_places_.at(i);
  }
  for (const auto& [domain, group] : groups)
    if (group.names.size() > 1)
      r.warning(
          group.place, "",
          fmt::format("the servers {} share the domain {} and have separate votes on the agreed head; if "
                      "one operator runs them, give them the same operator",
                      quoted_list(group.names), group.hidden ? url::shown_host(domain, url::HostShown::kEnd) : domain));
}

}  // namespace rpcw::config
