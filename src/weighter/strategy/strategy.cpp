#include "weighter/strategy/strategy.hpp"

#include <algorithm>
#include <array>
#include <cassert>

namespace rpcw {
namespace strategy {
extern const Strategy kAdaptive, kInverseLatency, kEqual, kLeader;
}
namespace {

constexpr std::array kStrategies{&strategy::kAdaptive, &strategy::kInverseLatency, &strategy::kEqual,
                                 &strategy::kLeader};

}  // namespace

std::span<const Strategy* const> strategies() {
  return kStrategies;
}

std::vector<std::string_view> strategy_names() {
  std::vector<std::string_view> out;
  for (const Strategy* s : kStrategies) out.push_back(s->name);
  return out;
}

const Strategy& strategy_named(std::string_view name) {
  const auto at = std::ranges::find(kStrategies, name, &Strategy::name);
  assert(at != kStrategies.end());
  return at == kStrategies.end() ? *kStrategies.front() : **at;
}

}  // namespace rpcw
