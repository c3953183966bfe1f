#include "weighter/state/topology.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

namespace rpcw::haproxy {
namespace {

constexpr std::uint32_t kFree = std::numeric_limits<std::uint32_t>::max();

/// Whether a counter that only grows has become less.
bool fell(const Counters& before, const Counters& after) {
  const auto less = [](const std::optional<std::uint64_t>& was, const std::optional<std::uint64_t>& is) {
    return was && is && *is < *was;
  };
  return less(before.lbtot, after.lbtot) || less(before.econ, after.econ) || less(before.eresp, after.eresp) ||
         less(before.hrsp_2xx, after.hrsp_2xx) || less(before.hrsp_4xx, after.hrsp_4xx) ||
         less(before.hrsp_5xx, after.hrsp_5xx);
}

bool any_fell(const Instance& before, const Instance& after) {
  for (const BackendRow& was : before.backends) {
    const BackendRow* is = after.backend(was.name);
    if (is == nullptr) continue;
    if (fell(was.counters, is->counters)) return true;
    for (const ServerRow& server : was.servers) {
      const ServerRow* now = is->server(server.name);
      if (now != nullptr && fell(server.counters, now->counters)) return true;
    }
  }
  return false;
}

}  // namespace

void BackendRow::index() {
  // Twice the servers, so that chains of collisions stay short.
  slots.assign(std::bit_ceil(servers.size() * 2 + 1), kFree);
  double_names.clear();
  const std::size_t mask = slots.size() - 1;
  for (std::uint32_t i = 0; i < servers.size(); ++i) {
    std::size_t at = std::hash<std::string_view>{}(servers[i].name) & mask;
    for (; slots[at] != kFree; at = (at + 1) & mask)
      if (servers[slots[at]].name == servers[i].name) double_names.push_back(servers[i].name);
    slots[at] = i;
  }
  std::ranges::sort(double_names);
  const auto repeated = std::ranges::unique(double_names);
  double_names.erase(repeated.begin(), repeated.end());
}

std::vector<unsigned> BackendRow::ids_of(std::string_view server_name) const {
  std::vector<unsigned> out;
  for (const ServerRow& s : servers)
    if (s.name == server_name) out.push_back(s.sid);
  return out;
}

const ServerRow* BackendRow::server(std::string_view server_name) const {
  if (std::ranges::binary_search(double_names, server_name)) return nullptr;
  if (slots.empty()) {
    for (const auto& row : servers) {
      if (row.name == server_name) return &row;
    }
    return nullptr;
  }
  const std::size_t mask = slots.size() - 1;
  for (std::size_t at = std::hash<std::string_view>{}(server_name)&mask; slots[at] != kFree; at = (at + 1) & mask) {
    const auto& row = servers[slots[at]];
    if (row.name == server_name) return &row;
  }
  return nullptr;
}

ServerRow* BackendRow::server(std::string_view server_name) {
  return const_cast<ServerRow*>(static_cast<const BackendRow&>(*this).server(server_name));
}

const BackendRow* Instance::backend(std::string_view name) const {
  for (const auto& row : backends) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

BackendRow* Instance::backend(std::string_view name) {
  return const_cast<BackendRow*>(static_cast<const Instance&>(*this).backend(name));
}

const ServerRow* Instance::server(std::string_view backend_name, std::string_view server_name) const {
  const auto* row = backend(backend_name);
  return row == nullptr ? nullptr : row->server(server_name);
}

Worker worker_between(const Instance& before, const Instance& after, milliseconds elapsed) {
  if (after.pid != before.pid || after.uptime < before.uptime) return Worker::kNew;
  if (after.uptime > elapsed) return Worker::kSame;
  // Falling counters of an older worker would be an operator's `clear counters`.
  return any_fell(before, after) ? Worker::kNew : Worker::kUnsure;
}

}  // namespace rpcw::haproxy
