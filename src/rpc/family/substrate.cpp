#include "rpc/family/common.hpp"
#include "rpc/family/specs.hpp"

/// Substrate JSON-RPC (polkadot-sdk). A header has no time: a second request reads the storage item Timestamp.Now,
/// whose key is twox128("Timestamp") + twox128("Now") on every chain with pallet_timestamp.
namespace rpcw::rpc::family {

Spec substrate() {
  Spec out;
  out.name = "substrate";
  out.title = "Substrate: Polkadot, Kusama and their parachains";
  out.id = "/id";
  out.errors = json_rpc_errors();
  out.errors.limit_codes = {"-32999"};                  // "RPC rate limit exceeded", the node's own limiter
  out.errors.unsupported_codes = {"-32601", "-32604"};  // the second: "method is unsafe"
  out.head = {.asks = {{R"({"jsonrpc":"2.0","id":1,"method":"chain_getHeader","params":[]})"},
                       {R"({"jsonrpc":"2.0","id":1,"method":"state_getStorage","params":["0xf0c365c3cf59d671eb72da0e7a)"
                        R"(4113c49f1f0515f462cdcf84e0f1d6045dfcbb"]})"}},
              .timed = 0,
              .root = "/result",
              .number = {"/result/number"},
              .time = {"/result", Coding::kScaleMilliseconds, 1, true}};
  out.identity = {.ask = {R"({"jsonrpc":"2.0","id":1,"method":"chain_getBlockHash","params":[0]})"},
                  .value = {"/result", Coding::kHash32}};
  constexpr std::string_view kHealth = R"({"jsonrpc":"2.0","id":1,"method":"system_health","params":[]})";
  out.syncing = {.ask = {kHealth}, .reads = {"/result/isSyncing"}, .gap = &any_true};
  out.peers = {.ask = {kHealth}, .pointer = "/result/peers"};
  out.block = {.ask = {R"({"jsonrpc":"2.0","id":1,"method":"chain_getBlockHash","params":[{height}]})"},
               .hash = {"/result", Coding::kHash32}};
  return out;
}

}  // namespace rpcw::rpc::family
