#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "weighter/state/topology.hpp"

/// A configuration to start from, for what a HAProxy has. Pure.
namespace rpcw::cli {

struct StarterWishes {
  /// As on the command line; paths absolute.
  std::string endpoint;
  config::TlsFiles tls;
  /// Only these backends, and these although something speaks against them; empty: all that weights are of use to.
  std::vector<std::string> backends;
  /// The text is only for asking its servers: with all backends that a server's answer may bring in, and none that
  /// follows another one.
  bool for_probing = false;
};

/// What the servers of a backend said of their chain.
struct ChainAnswers {
  struct Network {
    std::string family;
    /// As Chain::identity; empty: the family does not tell it.
    std::string identity;

    friend auto operator<=>(const Network&, const Network&) = default;
  };
  /// How many servers are on it.
  std::map<Network, unsigned> networks;
  unsigned silent = 0;
};

struct Starter {
  /// TOML that `check` accepts, if `backends` is not empty; else only comments.
  std::string text;
  /// Those that it manages.
  std::vector<std::string> backends;
  /// Why others are left out, each a sentence; they are comments of the text too.
  std::vector<std::string> left_out;
  /// Backends that were wished for and that HAProxy does not have.
  std::vector<std::string> unknown;
};

/// `haproxys`: those behind the endpoint, at least one. `answers`: by backend; one that is missing was not asked.
Starter make_starter(const StarterWishes& wishes, std::span<const haproxy::Instance> haproxys,
                     const std::map<std::string, ChainAnswers>& answers = {});

}  // namespace rpcw::cli
