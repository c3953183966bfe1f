#include "rpc/family/common.hpp"
#include "rpc/family/specs.hpp"
#include "weighter/state/observation.hpp"

/// Starknet JSON-RPC (starkware-libs/starknet-specs, api/starknet_api_openrpc.json). No request gives a header alone:
/// the list of at most 500 transaction hashes is the price of the time.
namespace rpcw::rpc::family {

Spec starknet() {
  Spec out;
  out.name = "starknet";
  out.title = "Starknet";
  out.id = "/id";
  out.errors = json_rpc_errors();
  out.errors.limit_codes = {"429", "-32005"};
  out.errors.unsupported_codes = {"-32601"};
  out.head = {.asks = {{R"({"jsonrpc":"2.0","id":1,"method":"starknet_getBlockWithTxHashes","params":["latest"]})"}},
              .root = "/result",
              .number = {"/result/block_number"},
              .hash = {"/result/block_hash", Coding::kFelt},
              .time = {"/result/timestamp", Coding::kSeconds}};
  out.identity = {.ask = {R"({"jsonrpc":"2.0","id":1,"method":"starknet_chainId","params":[]})"},
                  .value = {"/result", Coding::kFelt}};
  out.syncing = {.ask = {R"({"jsonrpc":"2.0","id":1,"method":"starknet_syncing","params":[]})"},
                 .reads = {"/result", "/result/current_block_num", "/result/highest_block_num"},
                 .gap = [](std::span<const Picked* const> values) -> std::optional<std::uint64_t> {
                   if (values[0]->kind == Picked::Kind::kBool) return values[0]->text == "false" ? 0 : kUnknownGap;
                   return difference(values.subspan(1));
                 },
                 .expected = "result is neither false nor an object"};
  out.block = {.ask = {R"({"jsonrpc":"2.0","id":1,"method":"starknet_getBlockWithTxHashes","params":[{"block_number":)"
                       R"({height}}]})"},
               .root = "/result",
               .hash = {"/result/block_hash", Coding::kFelt},
               .number = {"/result/block_number"}};
  return out;
}

}  // namespace rpcw::rpc::family
