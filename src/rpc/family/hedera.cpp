#include "rpc/family/common.hpp"
#include "rpc/family/specs.hpp"

/// Hedera's mirror node, REST v1 (docs.hedera.com, List blocks). It has no network id; the hash of block 0 stands for
/// one (mainnet: of 2019-09-13, as hiero mirror node tests have it). Hedera's JSON-RPC relay is of the family evm.
namespace rpcw::rpc::family {

Spec hedera() {
  Spec out;
  out.name = "hedera";
  out.title = "Hedera (mirror node)";
  out.calls = Calls::kRest;
  out.errors = {.error = "/_status", .code = {}, .message = "/_status/messages/0/message"};
  out.errors.limit_words = limit_words();
  // SHA-384, 96 digits: not the relay's 64.
  out.head = {.asks = {{.path = "/api/v1/blocks?limit=1&order=desc"}},
              .root = "/blocks/0",
              .number = {"/blocks/0/number"},
              .hash = {"/blocks/0/hash", Coding::kHexText},
              .time = {"/blocks/0/timestamp/to", Coding::kDottedSeconds}};
  out.identity = {.ask = {.path = "/api/v1/blocks/0"}, .value = {"/hash", Coding::kHexText}};
  out.block = {.ask = {.path = "/api/v1/blocks/{height}"}, .hash = {"/hash", Coding::kHexText}, .number = {"/number"}};
  return out;
}

}  // namespace rpcw::rpc::family
