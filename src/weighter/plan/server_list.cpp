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

/// The server that the file or the template makes of one on HAProxy's list; absent: it has no address, or `remarks` say
/// why it is left out. `named`: the file's server of this name, or nullptr.
std::optional<config::Server> expand_one(const config::Backend& from, const ServerLists::Server& found,
                                         const config::Server* named, std::vector<std::string>& remarks) {
  config::Server out;
  if (named != nullptr) {
    out = *named;
  } else {
    out.named = false;
    out.name = out.target.operator_name = found.name;
  }
  if (!out.target.url.empty()) return out;
  if (found.addr.empty()) return std::nullopt;
  out.target.url = fill_template(from.discover, from.name, found);
  if (const std::string why = fault(from.discover, found, out.target.url); !why.empty()) {
    remarks.push_back(fmt::format(
        "backend {}: server {} is left out: {}; a [[backend.server]] of this name with a url would bring it in",
        from.name, found.name, why));
    return std::nullopt;
  }
  if (!may_have_headers(from, out.target.url)) out.target.headers.clear();
  return out;
}

/// Gives `to`, the copy of a backend with `discover`, the servers of `list`, then those that only the file has.
void expand(const config::Backend& from, const ServerLists::Backend& list, const config::Probe& probe,
            config::Backend& to, std::vector<std::string>& remarks) {
  to.servers.clear();
  if (list.found && !list.shown)
    remarks.push_back(
        fmt::format("backend {}: HAProxy does not show its servers' addresses: `discover` needs a "
                    "`stats socket` with `level admin`",
                    from.name));
  std::map<std::string_view, const config::Server*> named;
  for (const config::Server& s : from.servers) named.emplace(s.name, &s);
  for (const ServerLists::Server& s : list.servers) {
    const auto node = named.extract(s.name);
    std::optional<config::Server> server = expand_one(from, s, node.empty() ? nullptr : node.mapped(), remarks);
    if (!server) continue;
    server->target.pace = pace_of(server->target, false, from, probe);
    to.servers.push_back(std::move(*server));
  }
  for (const config::Server& s : from.servers) {
    if (!named.contains(s.name)) continue;
    if (!s.target.url.empty())
      to.servers.push_back(s);
    else if (list.found)
      to.absent.push_back(s.name);
  }
}

/// Gives `to`, which follows `judged`, the judged servers of its names.
void follow(const config::Backend& judged, const ServerLists::Backend& list, config::Backend& to,
            std::vector<std::string>& remarks) {
  for (const config::Server& s : to.servers)
    if (list.found && std::ranges::find(judged.servers, s.name, &config::Server::name) == judged.servers.end())
      remarks.push_back(fmt::format("backend {}: {} is not judged, since {}, which it follows, has no such server",
                                    to.name, s.name, judged.name));
  to.servers = config::following_servers(judged.servers, to.servers);
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

Expansion with_servers(const config::Config& file, const ServerLists& lists) {
  Expansion out{.config = file, .remarks = lists.disputes};
  for (std::size_t b = 0; b < file.backends.size(); ++b)
    if (!file.backends[b].discover.empty())
      expand(file.backends[b], lists.backends[b], file.probe, out.config.backends[b], out.remarks);
  for (config::Backend& to : out.config.backends) {
    if (to.follows.empty()) continue;
    const auto judged = std::ranges::find(out.config.backends, to.follows, &config::Backend::name);
    if (judged == out.config.backends.end() || judged->discover.empty()) continue;
    follow(*judged, lists.backends[static_cast<std::size_t>(judged - out.config.backends.begin())], to, out.remarks);
  }
  return out;
}

}  // namespace rpcw
