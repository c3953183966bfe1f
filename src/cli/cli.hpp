#pragma once

#include <string>
#include <vector>

#include "base/time.hpp"
#include "cli/exit_code.hpp"

namespace rpcw::cli {

enum class Format { kTable, kJson, kCsv };

/// What the command line says.
struct Options {
  std::string config_file;
  /// Only these backends; empty: all.
  std::vector<std::string> backends;
  bool dry_run = false;
  bool online = false;
  Format format = Format::kTable;
  unsigned samples = 1;
  /// Where the history is kept between passes and runs; empty: nowhere.
  std::string state_file;
  /// run: where to record to; empty: nowhere.
  std::string record_file;
  /// replay: in the order of time.
  std::vector<std::string> recordings;
};

/// Which running agent a command asks.
struct AgentOptions {
  /// Its configuration; empty: not given.
  std::string config_file;
  /// http://HOST:PORT or unix:PATH; empty: as the configuration says, or the default.
  std::string url;
};

/// What the command line of `top` says.
struct TopOptions {
  AgentOptions agent;
  bool no_colour = false;
};

/// What the command line of `explain` says.
struct ExplainOptions {
  AgentOptions agent;
  std::string backend;
  std::string server;
};

/// What the command lines of `drain`, `ready` and `status` say.
struct MaintenanceOptions {
  /// Its file, `dry_run`, and for `status` `backends` and `format`.
  Options common;
  /// BACKEND/SERVER; for `status` BACKEND too, or empty: all of the file's backends.
  std::string place;
  /// drain: how long to wait for open sessions to end; 0: not at all. [0s, 24h]
  milliseconds wait{0};
  /// drain: also the last server that serves.
  bool force = false;
};

/// What the command line of `discover` says.
struct DiscoverOptions {
  std::string endpoint;
  std::vector<std::string> backends;
  /// Whether to ask the servers which chain they are on.
  bool probe = false;
  /// TLS on tcp: and dns: endpoints; empty: not given.
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
};

/// What the command line of `chains` says.
struct ChainsOptions {
  /// The chain to show; empty: all.
  std::string name;
  Format format = Format::kTable;
};

/// Runs the program and returns its exit code. Never throws.
int run(int argc, const char* const* argv);

// The commands; each returns an ExitCode. They may throw, which is kOwnError.
int command_run(const Options& options);
int command_once(const Options& options);
int command_scores(const Options& options);
int command_check(const Options& options);
int command_discover(const DiscoverOptions& options);
int command_chains(const ChainsOptions& options);
int command_top(const TopOptions& options);
int command_explain(const ExplainOptions& options);
int command_health(const AgentOptions& options);
int command_replay(const Options& options);
int command_drain(const MaintenanceOptions& options);
int command_ready(const MaintenanceOptions& options);
int command_status(const MaintenanceOptions& options);

}  // namespace rpcw::cli
