#include "weighter/judge/verdict.hpp"

#include <algorithm>
#include <utility>

namespace rpcw {

std::string_view to_string(State state) {
  switch (state) {
    case State::kHealthy:
      return "healthy";
    case State::kDegraded:
      return "degraded";
    case State::kEjected:
      return "ejected";
    case State::kUnknown:
      return "unknown";
    case State::kDisabled:
      return "disabled";
  }
  return "unknown";
}

void degrade(ServerVerdict& verdict, Reason reason, std::string detail) {
  verdict.state = State::kDegraded;
  if (std::ranges::find(verdict.reasons, reason, &ReasonNote::code) == verdict.reasons.end())
    verdict.reasons.push_back({reason, std::move(detail)});
}

}  // namespace rpcw
