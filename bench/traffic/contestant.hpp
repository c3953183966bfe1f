#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "traffic/scenario.hpp"

/// The contestants and their configurations: what a sensible user would write, and nothing tuned to the scenarios.
namespace rpcw::bench {

struct Contestant {
  enum class Kind : std::uint8_t {
    /// HAProxy alone.
    kPlain,
    /// HAProxy's own checks.
    kChecks,
    kScript,
    kWeighter,
    /// Knows what will happen.
    kOracle,
  };
  /// For options, tables and file names.
  std::string name;
  Kind kind = Kind::kPlain;
  /// Of kWeighter: `strategy` and `interval` in its configuration.
  std::string strategy{};
  std::string interval{};
};

const std::vector<Contestant>& contestants();

/// haproxy.cfg with the frontend at `port` and backend `rpc`, whose servers are providers() at these ports. "@DIR@"
/// stands for its directory.
std::string haproxy_cfg(const Contestant& contestant, const Setting& setting, std::uint16_t port,
                        std::span<const std::uint16_t> provider_ports);

/// config.toml of a kWeighter.
std::string weighter_toml(const Contestant& contestant, std::string_view admin_socket,
                          std::span<const std::uint16_t> provider_ports);

}  // namespace rpcw::bench
