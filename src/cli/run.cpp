#include <csignal>
#include <cstdio>
#include <utility>

#include "agent/service.hpp"
#include "base/held_signals.hpp"
#include "cli/cli.hpp"
#include "cli/load.hpp"

namespace rpcw::cli {
namespace {

ConfigFile::Reading read_again(const Options& options) {
  return [reading = read_config(options, Needs::kRun)]() mutable -> std::optional<config::Config> {
    auto config = take_config(std::move(reading), Needs::kRun, FindingsTo::kLog);
    if (!config) return std::nullopt;
    return std::move(*config);
  };
}

}  // namespace

int command_run(const Options& options) {
  // Before the service takes them they would end the process, as when a reload follows right after the start.
  const HeldSignals held({SIGHUP, SIGTERM, SIGINT});
  // Before the reading, so that a change between them is found.
  const ConfigFile::Version version = ConfigFile::version_of(options.config_file);
  auto config = load_config(options, Needs::kRun, FindingsTo::kStart);
  if (!config) return config.error();
  Service service({.config_file = options.config_file,
                   .version = version,
                   .state_file = options.state_file,
                   .record_file = options.record_file,
                   .dry_run = options.dry_run,
                   .read = [options] { return read_again(options); }},
                  std::move(*config));
  held.release();
  if (const auto opened = service.open_ports(); !opened) {
    std::fprintf(stderr, "%s\n", opened.error().c_str());
    return kOwnError;
  }
  service.run();
  return kDone;
}

}  // namespace rpcw::cli
