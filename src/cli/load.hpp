#pragma once

#include <expected>
#include <string>

#include "cli/cli.hpp"
#include "config/config.hpp"

namespace rpcw::cli {

/// What a command cannot do without.
enum class Needs {
  kRules,  ///< nothing that the network is reached with: it stays empty, and no secret is needed
  kNothing,
  kHaproxy,
};
/// How findings are told.
enum class Voice {
  kPlain,  ///< lines for the person at the terminal
  kStart,  ///< the same, but what a daemon that does start warns of goes to its log
  kLog,    ///< a running daemon's log
};

/// Loads the file, limits it to the chosen backends and raises the limit on open files. On success, and unless the
/// voice is plain, the log is as the file says. On failure everything has been said on standard error, and the exit
/// code is the error.
std::expected<config::Config, ExitCode> load_config(const Options& options, Needs needs, Voice voice = Voice::kPlain);

/// Raises the limit on open files to what this configuration may need. The error is a sentence.
std::expected<void, std::string> ensure_open_files(const config::Config& config);

}  // namespace rpcw::cli
