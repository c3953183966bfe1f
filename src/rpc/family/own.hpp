#pragma once

#include <memory>

#include "config/own_family.hpp"
#include "rpc/family/family.hpp"

namespace rpcw::rpc::family {

/// A family of a configuration file's own. It keeps `own`.
std::shared_ptr<const Family> make_own(std::shared_ptr<const OwnFamily> own);

}  // namespace rpcw::rpc::family
