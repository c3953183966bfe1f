#include "weighter/plan/server_list.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "config/url.hpp"
#include "weighter/schedule/pace.hpp"

namespace rpcw {
namespace {

std::string address_of(const haproxy::ServerRow& row) {
  const bool resolved =
      !(row.admin_state && (*row.admin_state & haproxy::kUnresolvedMaint) != 0) && row.status != "MAINT (resolution)";
  // "Any address" is what slots have that `set server addr` is meant to fill.
  const bool any = row.addr.starts_with("0.0.0.0:") || row.addr.starts_with("[::]:");
  return resolved && !any ? row.addr : std::string{};
}

void join(ServerLists::Backend& out, const haproxy::BackendRow& row, std::vector<std::string>& disputes) {
  out.found = true;
  // HAProxy shows algorithms and addresses at the same levels, and every backend has an algorithm.
  out.shown = out.shown || !row.algo.empty();
  std::unordered_map<std::string, std::size_t> known;
  for (std::size_t i = 0; i < out.servers.size(); ++i) known.emplace(out.servers[i].name, i);
  for (const haproxy::ServerRow& s : row.servers) {
    if (std::ranges::binary_search(row.double_names, s.name)) continue;
    std::string addr = address_of(s);
    const auto [it, fresh] = known.emplace(s.name, out.servers.size());
    if (fresh) {
      out.servers.push_back({s.name, std::move(addr)});
      continue;
    }
    std::string& first = out.servers[it->second].addr;
    if (first.empty())
      first = std::move(addr);
    else if (!addr.empty() && addr != first)
      disputes.push_back(
          fmt::format("backend {}: server {} is {} in one HAProxy and {} in another: it is probed at the first, and "
                      "the same weight goes to both",
                      row.name, s.name, first, addr));
  }
}

struct Parts {
  std::string_view host;
  std::string_view port;
};

std::optional<Parts> parts_of(std::string_view addr) {
  const std::size_t colon = addr.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  return Parts{addr.substr(0, colon), addr.substr(colon + 1)};
}

bool asks_for(std::string_view text, std::string_view placeholder) {
  return text.find(placeholder) != std::string_view::npos;
}

/// What keeps a server with an address from being probed at the template's URL; empty: nothing.
std::string fault(const std::string& text, const ServerLists::Server& server, const std::string& url) {
  const auto parts = parts_of(server.addr);
  if (url.empty() && !parts) return "it is a Unix socket";
  if (url.empty()) return "it has no port of its own";
  const auto valid = url::parse(url);
  if (!valid) return fmt::format("discover = {} makes no URL of it: {}", url::redact(text), valid.error());
  return {};
}

/// HAProxy's list must not decide where secrets are sent. Compares hosts, since what HAProxy has may have made another
/// host of the template's.
bool may_have_headers(const config::Backend& from, const std::string& url) {
  if (from.headers_to_discovered) return true;
  const std::string host = config::literal_host_of(from);
  const auto parts = url::parse(url);
  return !host.empty() && parts && parts->host == host;
}

}  // namespace

bool discovers(const config::Config& config) {
  return std::ranges::any_of(config.backends, [](const config::Backend& b) { return !b.discover.empty(); });
}

std::size_t open_files_for(const config::Config& config) {
  constexpr std::size_t kEverybodyHas = 64;
  constexpr std::size_t kBehindOneName = 64;
  std::size_t targets = 0;
  for (const config::Backend& b : config.backends)
    if (b.follows.empty()) targets += b.servers.size() + b.references.size();
  std::size_t haproxys = 0;
  for (const config::Endpoint& e : config.haproxy.endpoints)
    haproxys += e.kind == config::Endpoint::Kind::kDns ? kBehindOneName : 1;
  return targets + config.probe.max_in_flight + haproxys + kEverybodyHas;
}

ServerLists server_lists_of(const config::Config& file, std::span<const haproxy::Instance* const> lists) {
  ServerLists out;
  out.backends.resize(file.backends.size());
  for (std::size_t b = 0; b < file.backends.size(); ++b) {
    if (file.backends[b].discover.empty()) continue;
    for (const haproxy::Instance* list : lists)
      if (const haproxy::BackendRow* row = list != nullptr ? list->backend(file.backends[b].name) : nullptr)
        join(out.backends[b], *row, out.disputes);
  }
  return out;
}

std::string fill_template(const std::string& text, const std::string& backend, const ServerLists::Server& server) {
  const auto parts = parts_of(server.addr);
  if (!parts && (asks_for(text, "{addr}") || asks_for(text, "{host}") || asks_for(text, "{port}"))) return {};
  if (parts && parts->port == "0" && (asks_for(text, "{addr}") || asks_for(text, "{port}"))) return {};
  const std::array<std::pair<std::string_view, std::string_view>, 5> values{
      {{"{addr}", server.addr},
       {"{host}", parts ? parts->host : std::string_view{}},
       {"{port}", parts ? parts->port : std::string_view{}},
       {"{server}", server.name},
       {"{backend}", backend}}};
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto it = std::ranges::find_if(
        values, [&](const auto& v) { return std::string_view(text).substr(at).starts_with(v.first); });
    out += it == values.end() ? std::string_view(text).substr(at, 1) : it->second;
    at += it == values.end() ? 1 : it->first.size();
  }
  return out;
}

Expansion with_servers(const config::Config& file, const ServerLists& server_list) {
  Expansion out{.config = file, .remarks = server_list.disputes};
  const auto follow = [&](config::Backend& to) {
    const auto judged = std::ranges::find(out.config.backends, to.follows, &config::Backend::name);
    if (judged == out.config.backends.end() || judged->discover.empty()) return;
    const ServerLists::Backend& list =
        server_list.backends[static_cast<std::size_t>(judged - out.config.backends.begin())];
    for (const config::Server& s : to.servers)
      if (list.found && std::ranges::find(judged->servers, s.name, &config::Server::name) == judged->servers.end())
        out.remarks.push_back(
            fmt::format("backend {}: {} is not judged, since {}, which it follows, has no such server", to.name, s.name,
                        judged->name));
    to.servers = config::following_servers(judged->servers, to.servers);
  };
  for (std::size_t b = 0; b < file.backends.size(); ++b) {
    const config::Backend& from = file.backends[b];
    if (from.discover.empty()) continue;
    config::Backend& to = out.config.backends[b];
    to.servers.clear();
    const ServerLists::Backend& list = server_list.backends[b];
    if (list.found && !list.shown)
      out.remarks.push_back(
          fmt::format("backend {}: HAProxy does not show its servers' addresses: `discover` needs a "
                      "`stats socket` with `level admin`",
                      from.name));
    std::map<std::string_view, const config::Server*> named;
    for (const config::Server& s : from.servers) named.emplace(s.name, &s);
    for (const ServerLists::Server& s : list.servers) {
      config::Server server;
      server.named = false;
      if (const auto it = named.find(s.name); it != named.end()) {
        server = *it->second;
        named.erase(it);
      } else {
        server.name = server.target.operator_name = s.name;
      }
      if (server.target.url.empty()) {
        if (s.addr.empty()) continue;
        server.target.url = fill_template(from.discover, from.name, s);
        if (const std::string why = fault(from.discover, s, server.target.url); !why.empty()) {
          out.remarks.push_back(fmt::format(
              "backend {}: server {} is left out: {}; a [[backend.server]] of this name with a url would bring it in",
              from.name, s.name, why));
          continue;
        }
        if (!may_have_headers(from, server.target.url)) server.target.headers.clear();
      }
      server.target.pace = pace_of(server.target, false, from, file.probe);
      to.servers.push_back(std::move(server));
    }
    for (const config::Server& s : from.servers) {
      if (!named.contains(s.name)) continue;
      if (!s.target.url.empty())
        to.servers.push_back(s);
      else if (list.found)
        to.absent.push_back(s.name);
    }
  }
  for (config::Backend& to : out.config.backends)
    if (!to.follows.empty()) follow(to);
  return out;
}

}  // namespace rpcw
