#pragma once

#include <string>

namespace CLI {
class App;
}

/// The manual page and the shells' completions, made from the very table that reads the command line and prints --help.
namespace rpcw::cli {

std::string bash_completion(const CLI::App& app);
std::string zsh_completion(const CLI::App& app);
std::string fish_completion(const CLI::App& app);
/// rpc-weighter(1), as roff.
std::string manual_page(const CLI::App& app);

}  // namespace rpcw::cli
