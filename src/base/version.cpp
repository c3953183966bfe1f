#include "base/version.hpp"

namespace rpcw {

std::string_view version() {
  return RPCW_VERSION;
}

std::string_view revision() {
  return RPCW_REVISION;
}

}  // namespace rpcw
