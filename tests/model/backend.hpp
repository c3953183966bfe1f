#pragma once

#include <string>
#include <vector>

#include "weighter/allocate/decide.hpp"

namespace rpcw::model {

/// Backend `rpc` on a chain with 12 s blocks, 60 s to be too old, 30 s to lag; its servers s0, s1 and so on are each an
/// operator of its own, unless `operators` names others.
inline config::Backend ethereum_backend(std::size_t servers, std::string_view strategy,
                                        const std::vector<std::string>& operators = {}) {
  using namespace std::chrono_literals;
  config::Backend out;
  out.name = "rpc";
  out.chain = {"ethereum", "evm", "1", 12s, 60s, 30s, 3};
  out.strategy = strategy;
  for (std::size_t i = 0; i < servers; ++i) {
    config::Server s;
    s.name = "s" + std::to_string(i);
    s.target.operator_name = i < operators.size() ? operators[i] : s.name;
    out.servers.push_back(s);
  }
  return out;
}

/// No server has to be asked for its chain first.
inline void verify_all(BackendHistory& history) {
  for (TargetHistory& t : history.servers) t.identity.status = IdentityHistory::Status::kVerified;
  for (TargetHistory& t : history.references) t.identity.status = IdentityHistory::Status::kVerified;
}

}  // namespace rpcw::model
