#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "sim/provider.hpp"
#include "sim/server.hpp"
#include "sim/sim.hpp"

namespace sim::detail {

struct WorldState {
  Options options;
  std::shared_ptr<Chain> chain;
  std::shared_ptr<const TlsContext> tls;

  std::unique_ptr<asio::io_context> own_io;
  asio::io_context* io = nullptr;
  std::thread thread;

  std::mutex mutex;
  std::deque<Provider> providers;
  std::deque<std::shared_ptr<ProviderServer>> servers;
  std::map<std::string, Provider*, std::less<>> by_name;
  std::shared_ptr<Server> control;

  Provider* find(std::string_view name);
  std::vector<Provider*> all();
  void reset();
};

std::shared_ptr<Server> make_control(asio::io_context& io, std::uint16_t port, WorldState& world);

}  // namespace sim::detail
