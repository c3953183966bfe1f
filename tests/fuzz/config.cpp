#include "config/config.hpp"

#include <algorithm>
#include <optional>
#include <string>

#include "config/load.hpp"
#include "fuzz/targets.hpp"
#include "rpc/family/registry.hpp"
#include "weighter/strategy/strategy.hpp"

namespace rpcw::fuzz {
namespace {

void without_key(const std::vector<rpcw::config::Diagnostic>& list) {
  for (const auto& d : list)
    must(d.to_text().find(kKey) == std::string::npos, "no message about a configuration holds a key");
}

rpcw::config::Surroundings surroundings() {
  rpcw::config::Surroundings out;
  out.variable = [](const std::string& name) -> std::optional<std::string> {
    if (name.starts_with("UNSET")) return std::nullopt;
    if (name.starts_with("HOST")) return "host.example";
    return std::string(kKey);
  };
  out.read_file = [](const std::string& path) -> std::expected<std::string, std::string> {
    if (path.ends_with("none")) return std::unexpected("no such file");
    return "https://provider.example/" + std::string(kKey) + "\n";
  };
  for (const Strategy* strategy : strategies()) out.strategies.push_back(strategy->name);
  return out;
}

}  // namespace

void config(std::string_view bytes) {
  // Keys come from variables and files. In plain text a key may stand where no key belongs: in a name, say.
  if (bytes.find(kKey) != std::string_view::npos) return;
  static const rpcw::config::Surroundings kSurroundings = surroundings();
  const auto loaded = rpcw::config::parse(bytes, "fuzz.toml", kSurroundings);
  if (!loaded) {
    must(!loaded.error().empty(), "a refused configuration says why");
    return without_key(loaded.error());
  }
  without_key(loaded->warnings);
  for (const rpcw::config::Backend& backend : loaded->config.backends) {
    must(!backend.chain.family.empty(), "a backend has a chain");
    // Makes the requests of a [[family]].
    must(rpc::family::of(backend.chain) != nullptr, "a chain of an accepted configuration has a family");
    must(backend.max_share >= 0.01 && backend.max_share <= 1, "max_share is in its range");
    for (const rpcw::config::Server& server : backend.servers) {
      must(server.preference >= 0.01 && server.preference <= 100, "preference is in its range");
      must(rpcw::config::shown_url(server.target).find(kKey) == std::string::npos, "a shown URL holds no key");
    }
  }
  must(loaded->config.probe.interval.count() >= 100, "interval is in its range");
}

}  // namespace rpcw::fuzz
