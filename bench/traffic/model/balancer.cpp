#include "traffic/model/balancer.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "traffic/scenario.hpp"

namespace rpcw::bench::model {

Balancer::Balancer() : servers(providers().size()) {}

std::optional<std::size_t> Balancer::choose(std::optional<std::size_t> without) {
  double sum = 0;
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < servers.size(); ++i) {
    if (servers[i].weight == 0 || i == without) continue;
    servers[i].current += servers[i].weight;
    sum += servers[i].weight;
    if (!best || servers[i].current > servers[*best].current) best = i;
  }
  if (best) servers[*best].current -= sum;
  return best;
}

void Balancer::answered(std::size_t i, double seconds, std::uint64_t bytes) {
  servers[i].bytes += bytes;
  // As HAProxy does: an average over the last 512 answers, once there are so many.
  const auto of = std::clamp(static_cast<double>(servers[i].answers()), 1.0, 512.0);
  servers[i].rtime_ms += (seconds * 1000 - servers[i].rtime_ms) / of;
}

haproxy::Instance Balancer::instance(double uptime_s) const {
  haproxy::Instance out;
  out.version = "3.0.0";
  out.pid = 1;
  out.uptime = std::chrono::seconds{static_cast<std::int64_t>(uptime_s)};
  haproxy::BackendRow& row = out.backends.emplace_back();
  row.name = "rpc";
  row.algo = "roundrobin";
  row.mode = "http";
  for (std::size_t i = 0; i < servers.size(); ++i) {
    const Server& s = servers[i];
    haproxy::ServerRow& r = row.servers.emplace_back();
    r.backend = row.name;
    r.name = providers()[i].name;
    r.status = "no check";
    r.active = true;
    r.uweight = r.weight = s.weight;
    r.iweight = 100;
    r.admin_state = 0;
    haproxy::Counters& c = r.counters;
    c.stot = c.lbtot = s.requests;
    c.wretr = c.qcur = 0;
    c.wredis = s.redispatched;
    c.cli_abrt = s.aborted;
    c.econ = s.connect_failures;
    c.eresp = s.time_outs;
    c.hrsp_2xx = s.good;
    c.hrsp_4xx = s.client_errors;
    c.hrsp_5xx = s.server_errors;
    c.scur = s.open;
    c.bout = s.bytes;
    c.rtime = static_cast<std::uint64_t>(std::ceil(s.rtime_ms));
  }
  return out;
}

}  // namespace rpcw::bench::model
