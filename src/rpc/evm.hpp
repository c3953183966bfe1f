#pragma once

#include <array>
#include <cstddef>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "rpc/http_client.hpp"
#include "rpc/json_pick.hpp"
#include "weighter/state/observation.hpp"

/// EVM JSON-RPC (ethereum/execution-apis, src/eth): request bodies, and answers turned into values. No I/O.
namespace rpcw::rpc::evm {

/// Number, hash and timestamp of the newest block in one request.
inline constexpr std::string_view kHeadRequest =
    R"({"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["latest",false]})";

/// The request for anything else. `canary`: what to send for CheckKind::kCanary; else it is not looked at.
std::string request(const Check& check, const config::Canary* canary);

/// The head and questions that need no argument and no work, as one JSON-RPC 2.0 batch.
std::string batch_request(std::span<const Check> checks);
/// All of an answer that this family's rules look at.
struct Reply {
  long status = 0;
  std::optional<milliseconds> retry_after;
  /// The answer's; valid as long as that.
  std::string_view body;
  /// It is JSON; else there are no values.
  bool json = false;
  /// Its id is another request's. Always false in a batch, whose parts are found by their ids.
  bool of_another = false;
  std::array<Picked, 10> values;
};
Reply read_reply(const HttpAnswer& answer);
/// Those in the answer to a batch of `count` requests, in the order of the requests. Absent: there is none, for
/// whatever reason.
std::vector<std::optional<Reply>> read_batch(const HttpAnswer& answer, std::size_t count);

/// `target` scrubs what the provider says before any of it is quoted. A failure is `unsupported` when the answer has a
/// JSON-RPC code that means that the method does not exist.
std::expected<Head, ProbeFailure> head_in(const Reply& reply, const HttpTarget& target);
std::expected<AnswerValue, ProbeFailure> answer_in(const Check& check, const Reply& reply, const HttpTarget& target);

}  // namespace rpcw::rpc::evm
