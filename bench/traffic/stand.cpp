#include "traffic/stand.hpp"

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <utility>

#include "traffic/scenario.hpp"

namespace rpcw::bench {

sim::WallTime whole_second() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

Stand::Stand(asio::io_context& simulation, Contestant who, std::uint64_t seed, sim::WallTime genesis)
    : contestant(std::move(who)),
      world(simulation, {.chain = {.chain_id = kChainId, .block_time = kBlockTime, .genesis = genesis}, .seed = seed}) {
  for (std::size_t i = 0; i < bench::providers().size(); ++i) {
    sim::Provider& provider = world.add(bench::providers()[i].name);
    provider.set(healthy(i));
    providers.push_back(&provider);
    ports.push_back(provider.port());
  }
}

void Stand::start_haproxy(const Setting& setting, test::HaproxyProcess::Options options) {
  // The port that was found free may be gone when HAProxy binds it.
  constexpr int kTries = 3;
  for (int i = 1;; ++i) {
    front = test::free_port();
    try {
      haproxy = std::make_unique<test::HaproxyProcess>(haproxy_cfg(contestant, setting, front, ports), options);
      return;
    } catch (const std::runtime_error&) {
      if (i == kTries) throw;
    }
  }
}

void Stand::start_weighter(const std::string& program) {
  const std::string config = haproxy->path("config.toml");
  std::ofstream(config) << weighter_toml(contestant, haproxy->admin_socket(), ports);
  std::filesystem::permissions(config, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  weighter = std::make_unique<test::Process>(
      program, test::Process::Setup{.arguments = {"run", "--config", config}, .environment = {"TZ=UTC"}});
}

void Stand::stop() {
  weighter.reset();
  haproxy.reset();
}

}  // namespace rpcw::bench
