#include "config/config.hpp"

#include "config/url.hpp"

namespace rpcw::config {
namespace {

url::HostShown host_shown(const Target& target) {
  return target.redact_host ? url::HostShown::kEnd : url::HostShown::kUnlessKey;
}

}  // namespace

std::string shown_url(const Target& target) {
  return url::redact(target.url, host_shown(target));
}

std::string shown_host(const Target& target) {
  const auto parts = url::parse(target.url);
  return parts ? url::shown_host(parts->host, host_shown(target)) : "…";
}

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
