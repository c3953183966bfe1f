// status: what HAProxy says of its servers.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/haproxys.hpp"
#include "cli/cli.hpp"
#include "cli/haproxy_command.hpp"
#include "cli/load.hpp"
#include "cli/print.hpp"
#include "observe/csv.hpp"
#include "observe/json.hpp"
#include "weighter/plan/maintenance.hpp"
#include "weighter/state/haproxy_view.hpp"

namespace rpcw::cli {
namespace {

namespace asio = boost::asio;

/// What `status` shows of one server.
struct ServerLine {
  std::string endpoint;
  const haproxy::ServerRow* row;
};

std::string state_of(const haproxy::ServerRow& row) {
  const std::string state = admin_state_text(row);
  return state.empty() ? "unknown" : state;
}

std::string optional_text(const std::optional<std::uint64_t>& value) {
  return value ? fmt::to_string(*value) : "";
}

std::string render_table(const std::vector<ServerLine>& lines) {
  std::vector<std::vector<std::string>> rows{{"HAPROXY", "SERVER", "STATE", "STATUS", "WEIGHT", "SESSIONS"}};
  for (const ServerLine& l : lines)
    rows.push_back({l.endpoint, l.row->backend + "/" + l.row->name, state_of(*l.row), l.row->status,
                    fmt::to_string(l.row->uweight), optional_text(l.row->counters.scur)});
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i)
      line +=
          i + 2 < row.size() ? fmt::format("{:<{}}  ", row[i], widths[i]) : fmt::format("{:>{}}  ", row[i], widths[i]);
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

std::string render_csv(const std::vector<ServerLine>& lines) {
  std::string out = "endpoint,backend,server,admin_state,status,weight,sessions,serves\n";
  for (const ServerLine& l : lines)
    out += fmt::format("{},{},{},{},{},{},{},{}\n", observe::csv_field(l.endpoint), l.row->backend, l.row->name,
                       admin_state_text(*l.row), observe::csv_field(l.row->status), l.row->uweight,
                       optional_text(l.row->counters.scur), serves(*l.row));
  return out;
}

std::string render_json(const Haproxys& haproxys, const std::vector<ServerLine>& lines) {
  observe::Json json;
  json.object().key("schema").number(1);
  json.key("servers").array();
  for (const ServerLine& l : lines) {
    json.object().key("endpoint").text(l.endpoint);
    json.key("backend").text(l.row->backend);
    json.key("server").text(l.row->name);
    json.key("admin_state");
    if (const std::string state = admin_state_text(*l.row); state.empty())
      json.null();
    else
      json.text(state);
    json.key("status").text(l.row->status);
    json.key("weight").number(l.row->uweight);
    json.key("sessions");
    if (l.row->counters.scur)
      json.number(*l.row->counters.scur);
    else
      json.null();
    json.key("serves").boolean(serves(*l.row));
    json.end_object();
  }
  json.end_array();
  json.key("errors").array();
  for (const std::string& why : haproxys.failures) json.text(why);
  json.end_array();
  json.end_object();
  return json.take() + "\n";
}

asio::awaitable<ExitCode> show(asio::io_context& io, const config::Config& config, const MaintenanceOptions& options,
                               const Place& place) {
  std::vector<std::string> names;
  for (const config::Backend& b : config.backends)
    if (place.backend.empty()) names.push_back(b.name);
  if (!place.backend.empty()) names.push_back(place.backend);
  Haproxys all = co_await reach_haproxys(io, config.haproxy, names);
  ExitCode result = kDone;
  std::vector<ServerLine> lines;
  for (const Haproxy& h : all.reached) {
    for (const std::string& name : names) {
      std::string why;
      const haproxy::BackendRow* backend = h.instance.backend(name);
      if (backend == nullptr)
        why = fmt::format("HAProxy has no backend {}", name);
      else if (!place.server.empty())
        static_cast<void>(find_server(h.instance, name, place.server, why));
      if (!why.empty()) all.failures.push_back(fmt::format("{}: {}", h.name(), why));
      if (backend == nullptr) continue;
      if (std::ranges::none_of(backend->servers, serves)) result = worse(result, kUnhealthy);
      for (const haproxy::ServerRow& row : backend->servers)
        if (place.server.empty() || row.name == place.server) lines.push_back({h.name(), &row});
    }
  }
  for (const std::string& why : all.failures) complain(why);
  if (!all.failures.empty()) result = worse(result, kHaproxy);
  print(options.common.format == Format::kJson  ? render_json(all, lines)
        : options.common.format == Format::kCsv ? render_csv(lines)
                                                : render_table(lines));
  co_return result;
}

}  // namespace

int command_status(const MaintenanceOptions& options) {
  Place place;
  if (!options.place.empty()) {
    auto given = place_of(options.place, true);
    if (!given) {
      complain(given.error());
      return kUsage;
    }
    place = std::move(*given);
  }
  const auto config = load_config(options.common, Needs::kEndpoints);
  if (!config) return config.error();
  return in_loop([&](asio::io_context& io) { return show(io, *config, options, place); });
}

}  // namespace rpcw::cli
