#include "base/version.hpp"

namespace rpcw {

std::string_view version() {
  return RPCW_VERSION;
}

}  // namespace rpcw
