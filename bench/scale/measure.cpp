#include "scale/measure.hpp"

#include <fmt/format.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <thread>

#include "common/loopback.hpp"
#include "common/signals.hpp"
#include "config/config.hpp"
#include "integration/authority.hpp"
#include "integration/haproxy_process.hpp"
#include "integration/process.hpp"
#include "rpc/family/registry.hpp"
#include "sim/sim.hpp"
#include "weighter/cadence.hpp"

namespace rpcw::bench {
namespace {

using test::Clock;
using test::HaproxyProcess;
using test::Process;
using namespace std::chrono_literals;

double seconds(Clock::duration span) {
  return std::chrono::duration<double>(span).count();
}

/// Only for this user, as the program wants it.
std::string write_config(const test::TemporaryFolder& folder, const std::string& text) {
  const std::string path = folder.write("config.toml", text);
  std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  return path;
}

std::string server(std::size_t number, std::string_view url) {
  return fmt::format("\n  [[backend.server]]\n  name = \"p{}\"\n  url = \"{}\"\n", number, url);
}

/// The farm in a process of its own.
class Farm {
 public:
  explicit Farm(const std::string& program) : process_(program, {.arguments = {"20"}}) {
    if (!test::eventually([&] { return process_.out().ends_with('\n'); }))
      throw std::runtime_error("the provider farm does not start: " + process_.err());
    port_ = static_cast<std::uint16_t>(std::stoul(process_.out()));
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }

  struct Counts {
    std::uint64_t requests = 0;
    std::uint64_t connections = 0;
  };
  [[nodiscard]] Counts counts() const {
    namespace asio = boost::asio;
    asio::io_context io;
    asio::ip::tcp::socket socket(io);
    socket.connect({asio::ip::address_v4::loopback(), port_});
    asio::write(socket, asio::buffer(std::string_view("GET /counts HTTP/1.1\r\n\r\n")));
    std::string answer(4096, '\0');
    answer.resize(socket.read_some(asio::buffer(answer)));
    const auto number = [&](std::string_view name) -> std::uint64_t {
      const std::size_t at = answer.find(name);
      if (at == std::string::npos) throw std::runtime_error("the provider farm does not tell its counts");
      return std::stoull(answer.substr(at + name.size()));
    };
    // This one is no pass's.
    return {number("\"requests\":"), number("\"connections\":") - ++asked_};
  }

 private:
  Process process_;
  std::uint16_t port_ = 0;
  mutable std::uint64_t asked_ = 0;
};

Spent spend(const Programs& programs, std::string program, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), std::move(program));
  Process process(programs.spend, {.arguments = arguments, .environment = {"TZ=UTC"}});
  if (!process.wait(300s)) throw std::runtime_error(arguments.front() + " does not end");
  std::istringstream words(process.out());
  std::uint64_t wall_us = 0;
  std::uint64_t cpu_us = 0;
  std::uint64_t rss_kib = 0;
  int code = -1;
  words >> wall_us >> cpu_us >> rss_kib >> code;
  if (!words || code != 0)
    throw std::runtime_error(fmt::format("{} ended with {}: {}", arguments.front(), code, process.err()));
  return {static_cast<double>(wall_us) / 1e6, static_cast<double>(cpu_us) / 1e6,
          static_cast<double>(rss_kib) * 1024 / 1e6};
}

std::string head_body() {
  return rpc::family::find("evm")->head_requests().front().body;
}

/// The requests of a first pass over so many Ethereum providers, to each of them.
std::vector<std::string> bodies(std::size_t providers) {
  static constexpr std::array<Check, 2> kChecks{{{CheckKind::kIdentity}, {CheckKind::kSyncing}}};
  const rpc::family::Family& evm = *rpc::family::find("evm");
  if ((1 + kChecks.size()) * providers >= kRequestsWorthBatching) return {evm.batch_request(kChecks).body};
  return {head_body(), evm.request(kChecks[0]).body, evm.request(kChecks[1]).body};
}

/// Processor time of all threads so far, in seconds. /proc/PID/stat counts in hundredths of a second, which is too
/// coarse for an idle program.
double cpu_of(pid_t pid) {
  double out = 0;
  for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid))) {
    std::ifstream file(task.path() / "schedstat");
    double ns = 0;
    file >> ns;
    out += ns / 1e9;
  }
  return out;
}

/// A value of /proc/PID/status that is in kB, in MB.
double status_mb(pid_t pid, std::string_view key) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key)) return std::stod(line.substr(key.size() + 1)) * 1024 / 1e6;
  throw std::runtime_error(fmt::format("/proc/{}/status has no {}", pid, key));
}

std::string haproxy_cfg(const std::vector<sim::Provider*>& providers) {
  std::string out =
      "global\n  stats socket @DIR@/admin.sock mode 600 level admin\ndefaults\n  mode http\n  timeout connect 1s\n"
      "  timeout client 5s\n  timeout server 5s\nbackend rpc\n  balance roundrobin\n";
  for (std::size_t i = 0; i < providers.size(); ++i)
    out += fmt::format("  server p{} 127.0.0.1:{} weight 100\n", i, providers[i]->port());
  return out;
}

std::string agent_toml(const std::string& socket, const std::vector<sim::Provider*>& providers,
                       const std::string& ca_file) {
  std::string out = fmt::format("[haproxy]\nendpoints = [\"unix:{}\"]\n\n[http]\nlisten = \"\"\n", socket);
  if (!ca_file.empty()) out += fmt::format("\n[probe]\nca_file = \"{}\"\n", ca_file);
  out +=
      "\n[[chain]]\nname = \"bench\"\nfamily = \"evm\"\nchain_id = 1\nblock_time = \"12s\"\n\n"
      "[[backend]]\nname = \"rpc\"\nchain = \"bench\"\n";
  for (std::size_t i = 0; i < providers.size(); ++i) out += server(i, providers[i]->url());
  return out;
}

constexpr std::size_t kFew = 5;

/// With the latencies that the providers of the traffic benchmark have.
std::vector<sim::Provider*> add_providers(sim::World& world) {
  constexpr std::array<double, kFew> kLatencies{15, 27, 47, 84, 150};
  std::vector<sim::Provider*> out;
  for (const double ms : kLatencies) {
    sim::Provider& provider = world.add(fmt::format("p{}", out.size()));
    provider.set({.latency_ms = ms});
    out.push_back(&provider);
  }
  return out;
}

constexpr double kSlowest = 0.150;

/// The system's authorities and ours: as many as a hosted provider's certificate is looked for among.
std::string with_the_systems(const test::TemporaryFolder& folder, const std::string& ours) {
  std::string all;
  for (const std::string& path : {std::string("/etc/ssl/certs/ca-certificates.crt"), ours}) {
    std::ifstream file(path);
    all.append(std::istreambuf_iterator<char>(file), {});
  }
  return folder.write("authorities.pem", all);
}

void sleep(double span_s) {
  const auto end = Clock::now() + std::chrono::duration<double>(span_s);
  while (!signalled() && Clock::now() < end) std::this_thread::sleep_for(20ms);
}

/// From now until HAProxy has another weight than haproxy.cfg for some server.
double until_weighted(const HaproxyProcess& haproxy, Clock::time_point start) {
  // The first column of `get weight` is the current one: "100 (initial 100)".
  std::string command;
  for (std::size_t i = 0; i < kFew; ++i) command += fmt::format("{}get weight rpc/p{}", i == 0 ? "" : ";", i);
  while (Clock::now() < start + 20s) {
    std::istringstream lines(HaproxyProcess::check(haproxy.admin_socket(), command));
    for (std::string line; std::getline(lines, line);)
      if (!line.empty() && !line.starts_with("100 ")) return seconds(Clock::now() - start);
    std::this_thread::sleep_for(1ms);
  }
  throw std::runtime_error("no weight was pushed within 20 s");
}

}  // namespace

std::optional<Passes> measure_passes(const Programs& programs, std::size_t providers, unsigned runs) {
  const test::TemporaryFolder folder;
  const Farm farm(programs.farm);
  std::string toml = "[http]\nlisten = \"\"\n\n[[backend]]\nname = \"rpc\"\nchain = \"ethereum\"\n";
  for (std::size_t i = 0; i < providers; ++i) toml += server(i, provider_url(i, farm.port()));
  const std::string config = write_config(folder, toml);
  const std::string in_flight = fmt::format("{}", config::Probe{}.max_in_flight);

  Farm::Counts before = farm.counts();
  /// Requests and connections since the last call.
  const auto served = [&] {
    const Farm::Counts now = farm.counts();
    const Farm::Counts out{now.requests - before.requests, now.connections - before.connections};
    before = now;
    return out;
  };
  const auto run_floor = [&](const std::vector<std::string>& what) {
    std::vector<std::string> arguments{fmt::format("{}", farm.port()), fmt::format("{}", providers), in_flight};
    arguments.insert(arguments.end(), what.begin(), what.end());
    return spend(programs, programs.floor, arguments);
  };
  Passes out;
  out.providers = providers;
  // The first run of each warms the page cache and is left out.
  for (unsigned i = 0; i <= runs; ++i) {
    if (signalled()) return std::nullopt;
    fmt::print(stderr, "{} providers: run {} of {}\n", providers, i, runs);
    const Spent ours = spend(programs, programs.weighter, {"scores", "--config", config, "--format", "json"});
    const Farm::Counts of_ours = served();
    // One of the three is enough to warm up, and ten thousand take the bare loop five seconds each time.
    if (i == 0 && providers > 1000) continue;
    const Spent floor = run_floor(bodies(providers));
    const Farm::Counts of_floor = served();
    const Spent heads_floor = run_floor({head_body()});
    served();
    // When the newest block changes during a pass, it asks some providers for an older one, to compare their chains.
    constexpr std::uint64_t kComparisons = 10;
    if (of_ours.requests < of_floor.requests || of_ours.requests > of_floor.requests + kComparisons)
      throw std::runtime_error(
          fmt::format("a pass has sent {} requests, and the floor {}", of_ours.requests, of_floor.requests));
    if (i == 0) continue;
    constexpr unsigned kScriptEvery = 3;
    constexpr std::size_t kMostForScript = 1000;
    if (!programs.node.empty() && providers <= kMostForScript && i % kScriptEvery == 1) {
      out.script.push_back(spend(programs, programs.node,
                                 {programs.script, fmt::format("{}", farm.port()), fmt::format("{}", providers)}));
      served();
    }
    out.ours.push_back(ours);
    out.floor.push_back(floor);
    out.heads_floor.push_back(heads_floor);
    out.requests = of_floor.requests;
    out.our_connections = of_ours.connections;
    out.floor_connections = of_floor.connections;
  }
  return out;
}

std::optional<Idle> measure_idle(const Programs& programs, double span_s) {
  const test::TemporaryFolder folder;
  test::Authority authority(folder);
  const std::string certificate = authority.issue("127.0.0.1");
  sim::World world({.chain = {.block_time = 12s}, .tls_cert = certificate, .tls_key = certificate});
  const std::vector<sim::Provider*> providers = add_providers(world);
  const HaproxyProcess haproxy(haproxy_cfg(providers));
  const std::string config = write_config(
      folder, agent_toml(haproxy.admin_socket(), providers, with_the_systems(folder, authority.ca_file())));
  const auto start = Clock::now();
  Process weighter(programs.weighter, {.arguments = {"run", "--config", config}, .environment = {"TZ=UTC"}});
  until_weighted(haproxy, start);
  // Past the first minute's questions: chain id and what opens a connection.
  fmt::print(stderr, "an idle agent: {:.0f} s\n", span_s);
  constexpr double kSettle = 5;
  sleep(kSettle);
  const double cpu_before = cpu_of(weighter.pid());
  const auto from = Clock::now();
  sleep(span_s);
  if (signalled()) return std::nullopt;
  Idle out;
  out.seconds = seconds(Clock::now() - from);
  out.cpu_percent = 100 * (cpu_of(weighter.pid()) - cpu_before) / out.seconds;
  out.own_mb = status_mb(weighter.pid(), "RssAnon:");
  out.resident_mb = status_mb(weighter.pid(), "VmRSS:");
  return out;
}

std::optional<Starts> measure_starts(const Programs& programs, unsigned runs) {
  sim::World world({.chain = {.block_time = 12s}});
  const std::vector<sim::Provider*> providers = add_providers(world);
  Starts out;
  out.slowest_s = kSlowest;
  fmt::print(stderr, "from the start to the first push: {} runs\n", runs);
  for (unsigned i = 0; i < runs; ++i) {
    for (const char* command : {"run", "once"}) {
      if (signalled()) return std::nullopt;
      const test::TemporaryFolder folder;
      const HaproxyProcess haproxy(haproxy_cfg(providers));
      const std::string config = write_config(folder, agent_toml(haproxy.admin_socket(), providers, {}));
      if (command == std::string_view("once")) {
        out.once_s.push_back(spend(programs, programs.weighter, {"once", "--config", config}).wall_s - kSlowest);
        continue;
      }
      const auto start = Clock::now();
      const Process weighter(programs.weighter, {.arguments = {"run", "--config", config}, .environment = {"TZ=UTC"}});
      out.run_s.push_back(until_weighted(haproxy, start) - kSlowest);
    }
  }
  return out;
}

}  // namespace rpcw::bench
