#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "rpc/family/family.hpp"

namespace rpcw::rpc::family {

/// All families of this build, in the order in which they are listed to users; made at the first call.
std::span<const std::unique_ptr<const Family>> all();

/// nullptr: this build has no family of that name.
const Family* find(std::string_view name);

/// The chain's own family, made anew, or the known one. Throws std::invalid_argument when there is none of that name:
/// configurations have been checked.
std::shared_ptr<const Family> of(const Chain& chain);

}  // namespace rpcw::rpc::family
