#include "cli/load.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/open_files.hpp"
#include "config/load.hpp"
#include "config/tls_files.hpp"
#include "observe/log.hpp"
#include "weighter/plan/roster.hpp"

namespace rpcw::cli {

std::expected<void, std::string> ensure_open_files(const config::Config& config) {
  return rpc::ensure_open_files(open_files_for(config));
}

std::expected<config::Config, ExitCode> load_config(const Options& options, Needs needs, Voice voice) {
  const auto complain = [voice](const std::string& text) {
    if (voice == Voice::kLog)
      log::error(text);
    else
      std::fprintf(stderr, "%s\n", text.c_str());
  };
  config::Surroundings surroundings = config::Surroundings::of_process();
  surroundings.network = needs != Needs::kRules;
  auto loaded = config::load(options.config_file, surroundings);
  if (!loaded) {
    for (const config::Diagnostic& d : loaded.error()) complain(d.to_text());
    complain(fmt::format("{} error{} in the configuration{}", loaded.error().size(),
                         loaded.error().size() == 1 ? "" : "s",
                         voice == Voice::kLog ? "" : "; nothing was probed or sent"));
    return std::unexpected(kUsage);
  }
  config::Config config = std::move(loaded->config);
  for (const std::string& name : options.backends) {
    if (std::ranges::any_of(config.backends, [&](const config::Backend& b) { return b.name == name; })) continue;
    std::string known;
    for (const config::Backend& b : config.backends) known += fmt::format("{}{}", known.empty() ? "" : ", ", b.name);
    complain(fmt::format("--backend {}: {} has no such backend; it has {}", name, options.config_file, known));
    return std::unexpected(kUsage);
  }
  if (!options.backends.empty())
    std::erase_if(config.backends, [&](const config::Backend& b) {
      return std::ranges::find(options.backends, b.name) == options.backends.end();
    });

  if (needs == Needs::kRules) return config;
  for (const config::Backend& b : config.backends) {
    if (b.discover.empty() || !config.haproxy.endpoints.empty()) continue;
    complain(
        fmt::format("{}: backend.{}.discover: takes the servers from HAProxy, so haproxy.endpoints is needed, such "
                    "as endpoints = [\"unix:/run/haproxy/admin.sock\"]",
                    options.config_file, b.name));
    return std::unexpected(kUsage);
  }
  if (needs == Needs::kHaproxy && config.haproxy.endpoints.empty()) {
    complain(
        fmt::format("{}: haproxy.endpoints: is needed for this command, such as "
                    "endpoints = [\"unix:/run/haproxy/admin.sock\"]",
                    options.config_file));
    return std::unexpected(kUsage);
  }
  for (const auto& [table, files] :
       {std::pair("haproxy", &config.haproxy.tls), std::pair("probe", &config.probe.tls)}) {
    const auto ok = config::check_tls_files(*files);
    if (ok) continue;
    complain(fmt::format("{}: {}: {}", options.config_file, table, ok.error()));
    return std::unexpected(kUsage);
  }
  if (auto ok = ensure_open_files(config); !ok) {
    complain(ok.error());
    return std::unexpected(kOwnError);
  }
  if (voice != Voice::kPlain) log::configure(config.log);
  for (const config::Diagnostic& d : loaded->warnings) {
    if (voice == Voice::kPlain)
      std::fprintf(stderr, "warning: %s\n", d.to_text().c_str());
    else
      log::warn(d.to_text());
  }
  return config;
}

}  // namespace rpcw::cli
