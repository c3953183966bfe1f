#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>

#include "rpc/http_client.hpp"
#include "weighter/observation.hpp"

/// EVM JSON-RPC (ethereum/execution-apis, src/eth): request bodies, and answers turned into values. No I/O.
namespace rpcw::rpc::evm {

/// Number, hash and timestamp of the newest block in one request.
inline constexpr std::string_view kHeadRequest =
    R"({"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["latest",false]})";
inline constexpr std::string_view kChainIdRequest = R"({"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]})";

/// `target` scrubs what the provider says before any of it is quoted.
std::expected<Head, ProbeFailure> parse_head(const HttpAnswer& answer, const HttpTarget& target);
std::expected<std::uint64_t, ProbeFailure> parse_chain_id(const HttpAnswer& answer, const HttpTarget& target);

}  // namespace rpcw::rpc::evm
