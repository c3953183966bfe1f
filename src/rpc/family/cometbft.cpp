#include "rpc/family/common.hpp"
#include "rpc/family/specs.hpp"

/// CometBFT RPC (cometbft, rpc/openapi/openapi.yaml). On GET its errors come as HTTP 500 with a JSON-RPC error. Sei's
/// nodes answer a GET with the bare result, or the bare error as HTTP 200 (sei-chain,
/// sei-tendermint/rpc/jsonrpc/server/http_server.go).
namespace rpcw::rpc::family {

Spec cometbft() {
  Spec out;
  out.name = "cometbft";
  out.title = "CometBFT: Cosmos chains";
  out.envelope = "/result";
  out.errors = json_rpc_errors();
  // The message is "Internal error" for nearly all of them.
  out.errors.message = "/error/data";
  out.errors.other_message = "/error/message";
  out.errors.unsupported_codes = {"-32601"};
  out.head = {.asks = {{.path = "/status"}},
              .root = "/result/sync_info",
              .number = {"/result/sync_info/latest_block_height"},
              .hash = {"/result/sync_info/latest_block_hash", Coding::kHexText},
              .time = {"/result/sync_info/latest_block_time", Coding::kRfc3339}};
  out.identity = {.ask = {.path = "/status"}, .value = {"/result/node_info/network", Coding::kText}};
  out.syncing = {.ask = {.path = "/status"}, .reads = {"/result/sync_info/catching_up"}, .gap = &any_true};
  out.peers = {.ask = {.path = "/net_info"}, .pointer = "/result/n_peers"};
  // It gives the nearest blocks that it has when it lacks this one.
  out.block = {.ask = {.path = "/blockchain?minHeight={height}&maxHeight={height}"},
               .root = "/result/block_metas/0",
               .hash = {"/result/block_metas/0/block_id/hash", Coding::kHexText},
               .number = {"/result/block_metas/0/header/height"}};
  return out;
}

}  // namespace rpcw::rpc::family
