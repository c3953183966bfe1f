#include "cli/load.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/open_files.hpp"
#include "base/text.hpp"
#include "config/load.hpp"
#include "config/quantity.hpp"
#include "observe/log.hpp"
#include "weighter/plan/server_list.hpp"
#include "weighter/schedule/pace.hpp"
#include "weighter/strategy/strategy.hpp"

namespace rpcw::cli {

std::expected<void, std::string> ensure_open_files(const config::Config& config) {
  return rpcw::ensure_open_files(open_files_for(config));
}

namespace {

/// What a command needs besides a good file and does not have, each a line.
std::vector<std::string> unmet(const config::Config& config, const std::string& file, Needs needs) {
  std::vector<std::string> out;
  if (needs == Needs::kRules) return out;
  const bool no_endpoint = config.haproxy.endpoints.empty();
  const auto by_agent = [](const config::Backend& b) { return b.drive == config::Drive::kAgent; };
  for (const config::Backend& b : config.backends) {
    if (!b.discover.empty() && no_endpoint)
      out.push_back(
          fmt::format("{}: backend.{}.discover: takes the servers from HAProxy, so haproxy.endpoints is needed, such "
                      "as endpoints = [\"unix:/run/haproxy/admin.sock\"]",
                      file, b.name));
    if (needs == Needs::kHaproxy && by_agent(b))
      out.push_back(
          fmt::format("{}: backend.{}.drive: \"agent\" needs `run`, which answers HAProxy's agent-check; a single pass "
                      "sets weights over the socket",
                      file, b.name));
  }
  const bool socket_needed = needs == Needs::kHaproxy || needs == Needs::kEndpoints ||
                             (needs == Needs::kRun && !std::ranges::all_of(config.backends, by_agent));
  const bool discovers =
      std::ranges::any_of(config.backends, [](const config::Backend& b) { return !b.discover.empty(); });
  if (socket_needed && no_endpoint && !discovers)
    out.push_back(
        fmt::format("{}: haproxy.endpoints: is needed for this command, such as "
                    "endpoints = [\"unix:/run/haproxy/admin.sock\"]",
                    file));
  return out;
}

/// Servers whose probes are so far apart that a head grows too old between them, each a line.
std::vector<std::string> sparse_probes(const config::Config& config, const std::string& file) {
  std::vector<std::string> out;
  for (const config::Backend& b : config.backends) {
    if (!b.follows.empty() || !b.chain.max_block_age) continue;
    for (const config::Server& s : b.servers) {
      const milliseconds interval = config::interval_of(s.target, config.probe);
      if (s.target.pace.budget == 0 || interval <= *b.chain.max_block_age) continue;
      out.push_back(fmt::format(
          "{}: backend.{}.server.{}: its budget leaves {} between two probes, and max_block_age is {}: a block is not "
          "called too old for that, but what happens between two probes is seen by live traffic alone",
          file, b.name, s.name, config::duration_text(interval), config::duration_text(*b.chain.max_block_age)));
    }
  }
  return out;
}

}  // namespace

Reading read_config(const Options& options, Needs needs) {
  Reading out;
  const auto refuse = [&out](std::string why) {
    out.errors.push_back(std::move(why));
    return std::move(out);
  };
  config::Surroundings surroundings = config::Surroundings::of_process(strategy_names());
  surroundings.network = needs != Needs::kRules;
  surroundings.providers = needs != Needs::kEndpoints;
  auto loaded = config::load(options.config_file, surroundings);
  if (!loaded) {
    for (const config::Diagnostic& d : loaded.error()) {
      out.errors.push_back(d.to_text());
      out.error_count += d.count;
    }
    return out;
  }
  for (const config::Diagnostic& d : loaded->warnings) out.warnings.push_back(d.to_text());
  config::Config& config = loaded->config;
  for (const std::string& name : options.backends) {
    if (std::ranges::any_of(config.backends, [&](const config::Backend& b) { return b.name == name; })) continue;
    std::string known;
    for (const config::Backend& b : config.backends) known += fmt::format("{}{}", known.empty() ? "" : ", ", b.name);
    return refuse(
        fmt::format("--backend {}: {} has no such backend; it has {}", harmless(name), options.config_file, known));
  }
  for (const config::Backend& b : config.backends) {
    const auto chosen = [&](const std::string& name) {
      return std::ranges::find(options.backends, name) != options.backends.end();
    };
    if (!b.follows.empty() && chosen(b.name) && !chosen(b.follows))
      return refuse(fmt::format("--backend {}: its servers are judged in {}, which it follows; add --backend {}",
                                b.name, b.follows, b.follows));
  }
  if (!options.backends.empty())
    std::erase_if(config.backends, [&](const config::Backend& b) {
      return std::ranges::find(options.backends, b.name) == options.backends.end();
    });
  for (std::string& why : unmet(config, options.config_file, needs)) {
    out.errors.push_back(std::move(why));
    ++out.error_count;
  }
  if (out.error_count > 0) return out;
  set_paces(config);
  for (std::string& warning : sparse_probes(config, options.config_file)) out.warnings.push_back(std::move(warning));
  out.config = std::move(config);
  return out;
}

std::expected<config::Config, ExitCode> take_config(Reading reading, Needs needs, FindingsTo to) {
  const auto complain = [to](const std::string& text) {
    if (to == FindingsTo::kLog)
      log::error(text);
    else
      std::fprintf(stderr, "%s\n", text.c_str());
  };
  for (const std::string& text : reading.errors) complain(text);
  if (reading.error_count > 0)
    complain(fmt::format("{} in the configuration{}", counted(reading.error_count, "error"),
                         to == FindingsTo::kLog ? "" : "; nothing was probed or sent"));
  if (!reading.config || needs == Needs::kRules || needs == Needs::kEndpoints) return std::move(reading.config);
  if (auto ok = ensure_open_files(*reading.config); !ok) {
    complain(ok.error());
    return std::unexpected(kOwnError);
  }
  if (to == FindingsTo::kStart) log::configure(reading.config->log);
  for (const std::string& text : reading.warnings) {
    if (to == FindingsTo::kTerminal)
      std::fprintf(stderr, "warning: %s\n", text.c_str());
    else
      log::warn(text);
  }
  return std::move(reading.config);
}

std::expected<config::Config, ExitCode> load_config(const Options& options, Needs needs, FindingsTo to) {
  return take_config(read_config(options, needs), needs, to);
}

}  // namespace rpcw::cli
