#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "rpc/http_client.hpp"
#include "weighter/observation.hpp"

/// EVM JSON-RPC (ethereum/execution-apis, src/eth): request bodies, and answers turned into values. No I/O.
namespace rpcw::rpc::evm {

/// Number, hash and timestamp of the newest block in one request.
inline constexpr std::string_view kHeadRequest =
    R"({"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["latest",false]})";

/// The request for anything else. `canary`: what to send for Question::kCanary; else it is not looked at.
std::string request(const Ask& ask, const config::Canary* canary);

/// The head and questions that need no argument and no work, as one JSON-RPC 2.0 batch.
std::string batch_request(std::span<const Ask> questions);
/// The answers in the answer to a batch of `count` requests, each as if it had come alone, in the order of the
/// requests. Absent: there is none, for whatever reason. Refers to `answer`'s body.
std::vector<std::optional<HttpAnswer>> batch_answers(const HttpAnswer& answer, std::size_t count);

/// `target` scrubs what the provider says before any of it is quoted. A failure is `unsupported` when the answer means
/// that the provider does not offer the method, whatever the words.
std::expected<Head, ProbeFailure> parse_head(const HttpAnswer& answer, const HttpTarget& target);
std::expected<AnswerValue, ProbeFailure> parse_answer(const Ask& ask, const HttpAnswer& answer,
                                                      const HttpTarget& target);

}  // namespace rpcw::rpc::evm
