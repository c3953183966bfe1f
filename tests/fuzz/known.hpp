#pragma once

#include <string>

#include "config/config.hpp"

namespace rpcw::fuzz {

/// The configuration that the seeds of `state` and `recording` were made with.
inline config::Config known_config() {
  config::Config out;
  config::Backend& backend = out.backends.emplace_back();
  backend.name = "rpc-backend";
  backend.strategy = "inverse-latency";
  backend.chain.name = "mychain";
  backend.chain.family = "evm";
  backend.chain.block_time = milliseconds{2000};
  backend.chain.max_block_age = milliseconds{60'000};
  backend.chain.max_lag = milliseconds{10'000};
  for (const char* name : {"own-1", "own-2", "own-3"}) {
    config::Server& server = backend.servers.emplace_back();
    server.name = name;
    server.target.url = std::string("http://") + name + ".test/";
    server.target.operator_name = name;
  }
  return out;
}

}  // namespace rpcw::fuzz
