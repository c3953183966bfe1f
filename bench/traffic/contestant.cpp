#include "traffic/contestant.hpp"

#include <fmt/format.h>

#include "traffic/scenario.hpp"

namespace rpcw::bench {
namespace {

/// A check on the newest block's number each second, and real answers watched besides.
constexpr std::string_view kChecks = R"(
  option httpchk
  http-check send meth POST uri / ver HTTP/1.1 hdr Host localhost hdr Content-Type application/json body '{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}'
  http-check expect rstring "result"
  timeout check 2s
  default-server check inter 1s fall 2 rise 2 observe layer7 error-limit 10 on-error mark-down
)";

}  // namespace

const std::vector<Contestant>& contestants() {
  using enum Contestant::Kind;
  static const std::vector<Contestant> kContestants{
      {"haproxy alone", kPlain},
      {"haproxy checks", kChecks},
      {"script", kScript},
      {"equal 1s", kWeighter, "equal", "1s"},
      {"inverse-latency 1s", kWeighter, "inverse-latency", "1s"},
      {"leader 1s", kWeighter, "leader", "1s"},
      {"adaptive 1s", kWeighter, "adaptive", "1s"},
      {"equal 5s", kWeighter, "equal", "5s"},
      {"inverse-latency 5s", kWeighter, "inverse-latency", "5s"},
      {"leader 5s", kWeighter, "leader", "5s"},
      {"adaptive 5s", kWeighter, "adaptive", "5s"},
      {"oracle", kOracle},
  };
  return kContestants;
}

std::string haproxy_cfg(const Contestant& contestant, const Setting& setting, std::uint16_t port,
                        std::span<const std::uint16_t> provider_ports) {
  // Connections that fail are tried again; a request that has been sent is not sent twice.
  std::string out = fmt::format(R"(global
  stats socket @DIR@/admin.sock mode 600 level admin
  maxconn 4000
  nbthread 1
  hard-stop-after 1s
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout http-keep-alive 60s
  timeout server {}s
  retries 3
  {}option abortonclose
{}frontend rpc-in
  bind 127.0.0.1:{}
  default_backend rpc
backend rpc
  balance roundrobin
)",
                                setting.server_timeout_s, setting.abort_on_close ? "" : "no ",
                                setting.redispatch ? "  option redispatch 1\n" : "", port);
  if (contestant.kind == Contestant::Kind::kChecks) out += kChecks.substr(1);
  for (std::size_t i = 0; i < provider_ports.size(); ++i)
    out += fmt::format("  server {} 127.0.0.1:{} weight 100\n", providers()[i].name, provider_ports[i]);
  return out;
}

std::string weighter_toml(const Contestant& contestant, std::string_view admin_socket,
                          std::span<const std::uint16_t> provider_ports) {
  std::string out = fmt::format(R"([haproxy]
endpoints = ["unix:{}"]

[probe]
interval = "{}"

[http]
listen = ""

[[chain]]
name = "bench"
family = "evm"
chain_id = {}
block_time = "{}ms"
max_block_age = "{}ms"
max_lag = "{}ms"

[[backend]]
name = "rpc"
chain = "bench"
strategy = "{}"
)",
                                admin_socket, contestant.interval, kChainId, kBlockTime.count(), kMaxBlockAge.count(),
                                kMaxLag.count(), contestant.strategy);
  for (std::size_t i = 0; i < provider_ports.size(); ++i)
    out += fmt::format("\n  [[backend.server]]\n  name = \"{}\"\n  url = \"http://127.0.0.1:{}/\"\n",
                       providers()[i].name, provider_ports[i]);
  return out;
}

}  // namespace rpcw::bench
