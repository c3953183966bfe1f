#include "fuzz/targets.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

namespace rpcw::fuzz {
namespace {

constexpr std::array kTargets{
    Target{"haproxy", haproxy}, Target{"config", config},         Target{"answers", answers},
    Target{"http", http},       Target{"state", state},           Target{"recording", recording},
    Target{"url", url},         Target{"controller", controller},
};

}  // namespace

std::span<const Target> targets() {
  return kTargets;
}

const Target* find(std::string_view name) {
  const auto found = std::ranges::find(kTargets, name, &Target::name);
  return found == kTargets.end() ? nullptr : &*found;
}

void must(bool kept, std::string_view promise) {
  if (kept) return;
  std::fprintf(stderr, "broken: %.*s\n", static_cast<int>(promise.size()), promise.data());
  std::abort();
}

}  // namespace rpcw::fuzz
