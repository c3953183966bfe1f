#include "rpc/family/common.hpp"
#include "rpc/family/specs.hpp"

/// Aptos fullnode REST v1 (aptos-core, api/types/src/index.rs). The URL ends in /v1, and its root tells nearly all.
namespace rpcw::rpc::family {

Spec aptos() {
  Spec out;
  out.name = "aptos";
  out.title = "Aptos (REST, URL ending in /v1)";
  out.calls = Calls::kRest;
  out.errors = {.error = "/error_code", .code = "/error_code", .message = "/message"};
  out.errors.limit_words = limit_words();
  out.head = {.asks = {{}}, .number = {"/block_height"}, .time = {"/ledger_timestamp", Coding::kMicroseconds}};
  out.identity = {.ask = {}, .value = {"/chain_id", Coding::kIdNumber}};
  out.block = {.ask = {.path = "/blocks/by_height/{height}?with_transactions=false"},
               .hash = {"/block_hash", Coding::kFelt},
               .number = {"/block_height"}};
  return out;
}

}  // namespace rpcw::rpc::family
