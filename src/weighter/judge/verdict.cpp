#include "weighter/judge/verdict.hpp"

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

}  // namespace rpcw
