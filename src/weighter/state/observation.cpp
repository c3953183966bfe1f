#include "weighter/state/observation.hpp"

#include <algorithm>
#include <array>

namespace rpcw {
namespace {

constexpr std::array<std::string_view, 5> kCheckNames{"identity", "syncing", "peers", "block", "canary"};

}  // namespace

std::string_view to_string(CheckKind kind) {
  return kCheckNames[static_cast<std::size_t>(kind)];
}

std::optional<CheckKind> check_kind_from_string(std::string_view name) {
  const auto at = std::ranges::find(kCheckNames, name);
  if (at == kCheckNames.end()) return std::nullopt;
  return static_cast<CheckKind>(at - kCheckNames.begin());
}

}  // namespace rpcw
