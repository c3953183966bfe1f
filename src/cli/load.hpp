#pragma once

#include <expected>

#include "cli/cli.hpp"
#include "config/config.hpp"

namespace rpcw::cli {

/// What a command cannot do without.
enum class Needs { kNothing, kHaproxy };
/// How findings are told: a person at a terminal reads plain lines, a daemon's log has a format.
enum class Voice { kPlain, kLog };

/// Loads the file, limits it to the chosen backends and raises the limit on open files. On failure
/// everything has been said on standard error, and the exit code is the error.
std::expected<config::Config, ExitCode> load_config(const Options& options, Needs needs,
                                                    Voice voice = Voice::kPlain);

}  // namespace rpcw::cli
