#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "integration/haproxy_process.hpp"
#include "integration/process.hpp"
#include "sim/sim.hpp"
#include "traffic/contestant.hpp"
#include "traffic/scenario.hpp"

namespace rpcw::bench {

namespace asio = boost::asio;

/// One contestant's providers, HAProxy and program. What is started ends with the thread that started it, whatever
/// happens to that; otherwise with this object. Destroy it when `simulation` does not run any more.
class Stand {
 public:
  /// The providers are served by `simulation`. Stands with the same genesis see the same chain.
  Stand(asio::io_context& simulation, Contestant contestant, std::uint64_t seed, sim::WallTime genesis);

  /// Both return when it answers.
  void start_haproxy(const Setting& setting = {}, test::HaproxyProcess::Options options = {});
  void start_weighter(const std::string& program);
  /// Ends both.
  void stop();

  const Contestant contestant;
  sim::World world;
  std::vector<sim::Provider*> providers;
  std::vector<std::uint16_t> ports;
  /// Of HAProxy's frontend.
  std::uint16_t front = 0;
  std::unique_ptr<test::HaproxyProcess> haproxy;
  std::unique_ptr<test::Process> weighter;
};

/// The current whole second: what a chain of whole-second blocks begins with.
sim::WallTime whole_second();

}  // namespace rpcw::bench
