#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "weighter/state/topology.hpp"
#include "weighter/system/system_state.hpp"

/// What the benchmarks work on: a backend of many servers, as HAProxy shows it and as a state knows it.
namespace rpcw::bench {

/// "rpc-00042": as long as names are.
std::string server_name(std::size_t i);

/// One backend, "rpc-backend", of so many servers, each of an operator of its own.
config::Config backend_of(std::size_t servers);

/// `show stat` and `show servers state` of that backend, as HAProxy 2.6 writes them.
std::string show_stat(std::size_t servers);
std::string show_servers_state(std::size_t servers);

/// What HAProxy shows of that backend, from these two.
haproxy::Instance instance_of(std::size_t servers);

/// A state of such a backend in the middle of its life: all servers have answered several times, at 15 to 150 ms, and
/// were decided on.
class Scene {
 public:
  explicit Scene(std::size_t servers);

  /// The tenth of a second from one decision to the next: a fiftieth of the servers, one at least, has answered.
  void pass();

  std::size_t size() const { return config.backends.front().servers.size(); }
  const config::Backend& backend() const { return config.backends.front(); }
  /// Weights as held.
  std::vector<unsigned> held() const;
  /// A good answer of one server, whose chain `fork` tells apart from others'.
  HeadObservation answer(std::size_t server, unsigned fork = 0) const;

  config::Config config;
  SystemState state;
  Now now;

 private:
  std::size_t next_ = 0;
};

}  // namespace rpcw::bench
