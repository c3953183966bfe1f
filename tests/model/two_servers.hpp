#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "weighter/state/topology.hpp"

namespace rpcw::model {

/// Backend `rpc` with servers a and b, each an operator of its own, on a chain with 1 s blocks and without an identity,
/// driven at so many HAProxys.
inline config::Config two_servers(std::size_t endpoints = 1) {
  using namespace std::chrono_literals;
  config::Config out;
  for (std::size_t i = 0; i < endpoints; ++i)
    out.haproxy.endpoints.push_back({.kind = config::Endpoint::Kind::kUnix,
                                     .address = fmt::format("/h{}", i),
                                     .text = fmt::format("unix:/h{}", i)});
  out.haproxy.watch_interval = 1s;
  out.probe.interval = 5s;
  config::Backend& b = out.backends.emplace_back();
  b.name = "rpc";
  b.chain.name = "test";
  b.chain.block_time = 1s;
  b.chain.max_block_age = 60s;
  b.chain.max_lag = 30s;
  for (const char* name : {"a", "b"}) {
    config::Server& s = b.servers.emplace_back();
    s.name = name;
    s.target.url = fmt::format("http://{}.test/", name);
    s.target.operator_name = name;
  }
  return out;
}

/// What a HAProxy tells of it: servers and their weights.
inline haproxy::Instance shown(std::vector<std::pair<std::string, unsigned>> weights, std::int64_t pid = 7,
                               std::chrono::seconds uptime = std::chrono::seconds{1000}) {
  haproxy::Instance out;
  out.version = "2.6.12";
  out.pid = pid;
  out.uptime = uptime;
  haproxy::BackendRow& row = out.backends.emplace_back();
  row.name = "rpc";
  row.algo = "roundrobin";
  row.mode = "http";
  for (auto& [name, weight] : weights) {
    haproxy::ServerRow& s = row.servers.emplace_back();
    s.backend = "rpc";
    s.name = std::move(name);
    s.addr = fmt::format("127.0.0.1:{}", 8000 + row.servers.size());
    s.status = "UP";
    s.uweight = s.weight = weight;
    s.iweight = 100;
    s.active = true;
    s.admin_state = 0;
  }
  row.index();
  return out;
}

}  // namespace rpcw::model
