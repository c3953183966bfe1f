#include "weighter/state/exchange.hpp"

namespace rpcw::haproxy {

std::string_view to_string(Error error) {
  switch (error) {
    case Error::kUnsupported:
      return "unsupported";
    case Error::kResolve:
      return "resolve";
    case Error::kConnect:
      return "connect";
    case Error::kPermission:
      return "permission";
    case Error::kTls:
      return "tls";
    case Error::kTimeout:
      return "timeout";
    case Error::kClosedEarly:
      return "closed_early";
    case Error::kTooLarge:
      return "too_large";
    case Error::kMalformed:
      return "malformed";
    case Error::kIo:
      return "io";
    case Error::kCancelled:
      return "cancelled";
  }
  return "io";
}

std::string_view to_string(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNone:
      return "none";
    case Refusal::kNoSuchBackend:
      return "no_such_backend";
    case Refusal::kNoSuchServer:
      return "no_such_server";
    case Refusal::kStaticAlgorithm:
      return "static_algorithm";
    case Refusal::kPermissionDenied:
      return "permission_denied";
    case Refusal::kBadWeight:
      return "bad_weight";
    case Refusal::kDisabled:
      return "disabled";
    case Refusal::kInvalidName:
      return "invalid_name";
    case Refusal::kOther:
      return "other";
  }
  return "other";
}

}  // namespace rpcw::haproxy
