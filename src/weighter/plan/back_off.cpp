#include "weighter/plan/back_off.hpp"

#include <algorithm>
#include <boost/asio/ip/address.hpp>

namespace rpcw::haproxy {
namespace {

/// Long enough that a HAProxy that hangs costs little, short enough that its return is noticed soon.
constexpr milliseconds kLongestBackOff{5000};

bool is_local(const config::Endpoint& endpoint) {
  if (endpoint.kind == config::Endpoint::Kind::kUnix || endpoint.kind == config::Endpoint::Kind::kMaster) return true;
  if (endpoint.resolved.empty() && endpoint.address == "localhost") return true;
  boost::system::error_code not_numeric;
  const auto address =
      boost::asio::ip::make_address(endpoint.resolved.empty() ? endpoint.address : endpoint.resolved, not_numeric);
  return !not_numeric && address.is_loopback();
}

/// The attempt ended at once, so the next one costs no waiting.
bool ends_at_once(Error error) {
  return error == Error::kConnect || error == Error::kPermission || error == Error::kClosedEarly;
}

}  // namespace

milliseconds next_back_off(const config::Endpoint& endpoint, Error error, milliseconds before,
                           milliseconds watch_interval) {
  if (is_local(endpoint) && ends_at_once(error)) return watch_interval;
  return std::clamp(before * 2, watch_interval, std::max(kLongestBackOff, watch_interval));
}

}  // namespace rpcw::haproxy
