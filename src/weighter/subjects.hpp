#pragma once

#include <vector>

#include "rpc/prober.hpp"
#include "weighter/fleet.hpp"

namespace rpcw {

/// What the prober has to know of a fleet's targets, with the same indices. Refers to the fleet's configuration.
inline std::vector<rpc::Prober::Subject> subjects(const Fleet& fleet) {
  std::vector<rpc::Prober::Subject> out;
  out.reserve(fleet.targets().size());
  for (std::size_t i = 0; i < fleet.targets().size(); ++i) {
    const Fleet::Target& t = fleet.targets()[i];
    out.push_back({&fleet.target_config(i), fleet.config().backends[t.backend].canaries});
  }
  return out;
}

}  // namespace rpcw
