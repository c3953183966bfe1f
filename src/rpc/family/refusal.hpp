#pragma once

#include <expected>
#include <string>

#include "rpc/family/reply.hpp"
#include "rpc/family/spec.hpp"
#include "rpc/http_target.hpp"
#include "weighter/state/observation.hpp"

/// The rules by which an answer says that something is wrong; all checks of a family share them.
namespace rpcw::rpc::family {

/// An error unless the answer is good: a rate limit, another status than 200, no JSON, another request's id, or an
/// error in the answer. It is `unsupported` when the answer says that the method does not exist. `target` scrubs the
/// provider's words before they are quoted.
std::expected<void, ProbeFailure> require_good(const Errors& rules, const Layout& layout, const Reply& reply,
                                               const HttpTarget& target);

/// `detail`: a sentence without secrets. `unsupported`: see ProbeFailure.
std::unexpected<ProbeFailure> fail(Reason code, std::string detail, bool unsupported = false);

}  // namespace rpcw::rpc::family
