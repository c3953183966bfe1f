#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <vector>

#include "cli/cli.hpp"
#include "config/config.hpp"

namespace rpcw::cli {

/// What a command cannot do without.
enum class Needs {
  kRules,      ///< nothing that the network is reached with: it stays empty, and no secret is needed
  kEndpoints,  ///< HAProxy's sockets and no secret: what providers are reached with stays empty
  kNothing,
  kRun,      ///< a way to HAProxy: its socket, or its agent-check
  kHaproxy,  ///< HAProxy's socket
};
/// Where findings go.
enum class FindingsTo {
  kTerminal,  ///< to the person at the terminal
  kStart,     ///< errors to the terminal; warnings of an agent that starts to its log
  kLog,       ///< to a running agent's log
};

/// A configuration that was read, with all that is to be said of it and has not been said.
struct Reading {
  std::expected<config::Config, ExitCode> config = std::unexpected(kUsage);
  /// Why there is none, each a line.
  std::vector<std::string> errors;
  /// Of the file, those that are not shown included; 0: the file is good.
  std::size_t error_count = 0;
  std::vector<std::string> warnings;
};

/// Reads the file and limits it to the chosen backends. Says nothing and changes nothing, so that any thread may call
/// it.
Reading read_config(const Options& options, Needs needs);

/// Reports errors and warnings, and raises the limit on open files. At the start the log is as the file says from then
/// on; a running agent has to accept the file first. On failure everything has been reported, and the error is the exit
/// code.
std::expected<config::Config, ExitCode> take_config(Reading reading, Needs needs, FindingsTo to);

/// read_config, then take_config.
std::expected<config::Config, ExitCode> load_config(const Options& options, Needs needs,
                                                    FindingsTo to = FindingsTo::kTerminal);

/// Raises the limit on open files to what this configuration may need. The error is a sentence.
std::expected<void, std::string> ensure_open_files(const config::Config& config);

}  // namespace rpcw::cli
