#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weighter/state/exchange.hpp"
#include "weighter/state/topology.hpp"

/// What HAProxy's `show` commands answer, as values.
namespace rpcw::haproxy {

/// From `show info`. The error names what is missing.
std::expected<Info, std::string> parse_info(std::string_view reply);

/// The process id of the newest worker from the master's `show proc`; nullopt: it names none.
std::optional<std::int64_t> parse_worker(std::string_view reply);

/// A row of `show stat`. The texts are valid during the callback only.
struct StatRow {
  enum class Type : std::uint8_t { kFrontend = 0, kBackend = 1, kServer = 2, kSocket = 3 };
  Type type = Type::kFrontend;
  std::string_view pxname;
  std::string_view svname;
  std::string_view status;
  std::string_view addr;
  std::string_view algo;
  std::string_view mode;
  std::string_view check_status;
  std::string_view agent_status;
  std::string_view last_agt;
  std::string_view tracked;
  std::string_view cookie;
  std::optional<std::uint64_t> iid;
  std::optional<std::uint64_t> sid;
  std::optional<std::uint64_t> uweight;
  std::optional<std::uint64_t> weight;
  std::optional<std::uint64_t> act;
  std::optional<std::uint64_t> bck;
  std::optional<std::uint64_t> throttle;
  Counters counters;
};
/// From `show stat` in CSV. Columns go by name, unknown ones are left out. The error names the line and the column;
/// rows before it have been reported by then.
std::expected<void, std::string> parse_stat(std::string_view reply, const std::function<void(const StatRow&)>& on_row);

/// Names of the stick tables of a `show table`.
std::vector<std::string> parse_tables(std::string_view reply);

/// A row of `show servers state`. The texts are valid during the callback only; absent ones ("-") are empty.
struct ServerState {
  std::string_view backend;
  std::string_view name;
  std::optional<unsigned> admin_state;
  std::optional<unsigned> uweight;
  std::optional<unsigned> iweight;
  std::string_view fqdn;
  std::optional<unsigned> use_ssl;
};
std::expected<void, std::string> parse_servers_state(std::string_view reply,
                                                     const std::function<void(const ServerState&)>& on_row);

/// Adds the backends and servers of a `show stat` reply to `out`; frontends and sockets are left out.
std::expected<void, std::string> add_stat(std::string_view reply, std::vector<BackendRow>& out);
/// Fills in what `show servers state` knows of servers that are in `out`; others are left out.
std::expected<void, std::string> add_servers_state(std::string_view reply, std::vector<BackendRow>& out);

}  // namespace rpcw::haproxy
