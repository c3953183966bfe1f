#include "weighter/plan/back_off.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace rpcw {
namespace {

/// Long enough that a HAProxy that hangs costs little, short enough that its return is noticed soon.
constexpr milliseconds kLongestBackOff{5000};

bool is_local(const config::Endpoint& endpoint) {
  if (endpoint.kind == config::Endpoint::Kind::kUnix || endpoint.kind == config::Endpoint::Kind::kMaster) return true;
  return is_loopback(endpoint.resolved.empty() ? endpoint.address : endpoint.resolved);
}

/// The attempt ended at once, so the next one costs no waiting.
bool ends_at_once(haproxy::Error error) {
  return error == haproxy::Error::kConnect || error == haproxy::Error::kPermission ||
         error == haproxy::Error::kClosedEarly;
}

}  // namespace

milliseconds next_back_off(const config::Endpoint& endpoint, haproxy::Error error, milliseconds before,
                           milliseconds watch_interval) {
  if (is_local(endpoint) && ends_at_once(error)) return watch_interval;
  return std::clamp(before * 2, watch_interval, std::max(kLongestBackOff, watch_interval));
}

}  // namespace rpcw
