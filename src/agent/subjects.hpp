#pragma once

#include <vector>

#include "rpc/prober.hpp"
#include "weighter/state/fleet.hpp"

namespace rpcw {

/// What the prober has to know of one of a fleet's targets. Refers to `lasting` for all that must stay, which has the
/// same backends as the fleet's configuration.
inline rpc::Prober::Subject subject(const Fleet& fleet, const config::Config& lasting, std::size_t target) {
  return {&fleet.target_config(target), lasting.backends[fleet.targets()[target].backend].canaries};
}

/// The same of all of them, with the same indices.
inline std::vector<rpc::Prober::Subject> subjects(const Fleet& fleet, const config::Config& lasting) {
  std::vector<rpc::Prober::Subject> out;
  out.reserve(fleet.targets().size());
  for (std::size_t i = 0; i < fleet.targets().size(); ++i) out.push_back(subject(fleet, lasting, i));
  return out;
}

}  // namespace rpcw
