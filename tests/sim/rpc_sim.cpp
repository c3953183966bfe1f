#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "sim/sim.hpp"

namespace {

struct Arguments {
  std::vector<std::string> providers;
  std::uint32_t count = 0;
  std::uint16_t port = 0;
  std::uint16_t control = 0;
  std::string block_time = "1s";
  std::string behaviour;
  std::string ports_file;
  sim::Options options;
};

/// "12s", "250ms" or "2m".
sim::milliseconds duration(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string unit(end, text.data() + text.size());
  const std::int64_t scale = unit == "ms" ? 1 : unit == "s" ? 1000 : unit == "m" ? 60'000 : 0;
  if (ec != std::errc{} || scale == 0 || value <= 0 || value > 86'400'000 / scale) {
    throw std::invalid_argument("not a duration such as 12s or 250ms: " + text);
  }
  return sim::milliseconds(value * scale);
}

void allow_many_descriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/// Readers never see half a file.
void write_atomically(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".tmp";
  std::ofstream out(temporary);
  out << text;
  out.close();
  if (!out) throw std::runtime_error("can't write " + temporary);
  std::filesystem::rename(temporary, path);
}

void run(const Arguments& arguments) {
  boost::asio::io_context io(1);
  // First of all, so that a signal that arrives while the providers are being opened ends the program cleanly too.
  boost::asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&](auto, int) { io.stop(); });

  sim::World world(io, arguments.options);
  std::vector<std::string> names = arguments.providers;
  for (std::uint32_t i = 1; i <= arguments.count; ++i) names.push_back(fmt::format("p{}", i));
  std::uint32_t port = arguments.port;
  std::string ports;
  for (const std::string& name : names) {
    if (port > 65535) throw std::invalid_argument("--port: no ports left above 65535");
    sim::Provider& provider = world.add(name, static_cast<std::uint16_t>(port));
    if (port != 0) ++port;
    if (!arguments.behaviour.empty()) {
      const auto behaviour = sim::merge({}, arguments.behaviour);
      if (!behaviour) throw std::invalid_argument("--behaviour: " + behaviour.error());
      provider.set(*behaviour);
    }
    ports += fmt::format(R"({}"{}":{})", ports.empty() ? "" : ",", name, provider.port());
  }
  const std::string line =
      fmt::format("{{\"control\":{},\"providers\":{{{}}}}}\n", world.serve_control(arguments.control), ports);
  if (!arguments.ports_file.empty()) write_atomically(arguments.ports_file, line);
  fmt::print("{}", line);
  std::fflush(stdout);
  io.run();
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Simulates Ethereum JSON-RPC providers on 127.0.0.1, steered over HTTP while they run");
  auto* const names = app.add_option("--providers", arguments.providers, "Names, separated by commas")->delimiter(',');
  app.add_option("--count", arguments.count, "So many providers p1, p2, ...")->excludes(names);
  app.add_option("--port", arguments.port, "Port of the first, the others follow; 0: free ones");
  app.add_option("--control", arguments.control, "Port of the control API; 0: a free one");
  app.add_option("--block-time", arguments.block_time, "Such as 12s or 250ms")->capture_default_str();
  app.add_option("--chain-id", arguments.options.chain.chain_id)->capture_default_str();
  app.add_option("--genesis-height", arguments.options.chain.genesis_height, "Height of the head at the start")
      ->capture_default_str();
  app.add_option("--behaviour", arguments.behaviour, "JSON object that all providers start with");
  app.add_option("--seed", arguments.options.seed)->capture_default_str();
  app.add_option("--ports-file", arguments.ports_file, "Where the line with the ports is written as well");
  auto* const cert = app.add_option("--tls-cert", arguments.options.tls_cert, "PEM file; the providers speak TLS");
  auto* const key = app.add_option("--tls-key", arguments.options.tls_key, "PEM file")->needs(cert);
  cert->needs(key);
  CLI11_PARSE(app, argc, argv);

  try {
    arguments.options.chain.block_time = duration(arguments.block_time);
    if (arguments.providers.empty() && arguments.count == 0) {
      throw std::invalid_argument("--providers or --count is needed");
    }
    allow_many_descriptors();
    run(arguments);
  } catch (const std::exception& e) {
    fmt::print(stderr, "rpc-sim: {}\n", e.what());
    return 1;
  }
  return 0;
}
