#include "config/config.hpp"

namespace rpcw::config {

std::string_view to_string(Strategy strategy) {
  switch (strategy) {
    case Strategy::kAdaptive:
      return "adaptive";
    case Strategy::kInverseLatency:
      return "inverse-latency";
    case Strategy::kEqual:
      return "equal";
    case Strategy::kLeader:
      return "leader";
  }
  return "?";
}

std::string_view to_string(Fallback fallback) {
  switch (fallback) {
    case Fallback::kEqual:
      return "equal";
    case Fallback::kKeep:
      return "keep";
  }
  return "?";
}

std::string_view to_string(Scale scale) {
  switch (scale) {
    case Scale::kShare:
      return "share";
    case Scale::kPeak:
      return "peak";
  }
  return "?";
}

}  // namespace rpcw::config
