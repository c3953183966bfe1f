#pragma once

#include "rpc/family/spec.hpp"

/// Parts that several families share.
namespace rpcw::rpc::family {

/// JSON-RPC's places of an error, and the words of providers for a rate limit under codes that say nothing. No codes.
Errors json_rpc_errors();
/// The same words, for other places.
std::vector<std::string_view> limit_words();

/// For SyncingAsk::gap. 0 when all values are false, kUnknownGap when one is true; one that is missing counts as false,
/// unless all are.
std::optional<std::uint64_t> any_true(std::span<const Picked* const> values);
/// How much higher the second number is than the first.
std::optional<std::uint64_t> difference(std::span<const Picked* const> values);

}  // namespace rpcw::rpc::family
