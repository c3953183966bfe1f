#include "rpc/family/common.hpp"
#include "rpc/family/specs.hpp"

/// NEAR JSON-RPC (docs.near.org/api/rpc/network; nearcore, chain/jsonrpc/src/lib.rs). Heights are skipped: a block that
/// is missing is no fork.
namespace rpcw::rpc::family {

Spec near() {
  Spec out;
  out.name = "near";
  out.title = "NEAR";
  out.id = "/id";
  out.errors = json_rpc_errors();
  // The message is "Server error" for nearly all of them.
  out.errors.message = "/error/cause/name";
  // A gateway's errors have no cause.
  out.errors.other_message = "/error/message";
  out.errors.limit_codes = {"429", "-429"};
  out.errors.unsupported_codes = {"-32601"};
  constexpr std::string_view kStatus = R"({"jsonrpc":"2.0","id":1,"method":"status","params":[]})";
  out.head = {.asks = {{kStatus}},
              .root = "/result",
              .number = {"/result/sync_info/latest_block_height"},
              .hash = {"/result/sync_info/latest_block_hash", Coding::kText},
              .time = {"/result/sync_info/latest_block_time", Coding::kRfc3339}};
  out.identity = {.ask = {kStatus}, .value = {"/result/chain_id", Coding::kText}};
  out.syncing = {.ask = {kStatus}, .reads = {"/result/sync_info/syncing"}, .gap = &any_true};
  out.peers = {.ask = {R"({"jsonrpc":"2.0","id":1,"method":"network_info","params":[]})"},
               .pointer = "/result/num_active_peers"};
  out.block = {.ask = {R"({"jsonrpc":"2.0","id":1,"method":"block","params":{"block_id":{height}}})"},
               .root = "/result",
               .hash = {"/result/header/hash", Coding::kText},
               .number = {"/result/header/height"}};
  return out;
}

}  // namespace rpcw::rpc::family
