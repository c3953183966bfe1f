#include "rpc/family/common.hpp"
#include "rpc/family/specs.hpp"

/// Solana JSON-RPC (Agave, Firedancer). Height and time come from one small request, the clock sysvar, in base64, since
/// Firedancer parses no accounts (firedancer, src/discof/rpc/fd_rpc_tile.c). getHealth's error -32005 says how many
/// slots a node is behind (agave, rpc-client-api/src/custom_error.rs): on EVM the same code is a rate limit.
namespace rpcw::rpc::family {

Spec solana() {
  Spec out;
  out.name = "solana";
  out.title = "Solana";
  out.id = "/id";
  out.errors = json_rpc_errors();
  out.errors.limit_codes = {"429"};  // QuickNode's Solana error reference
  out.errors.unsupported_codes = {"-32601"};
  out.head = {.asks = {{R"({"jsonrpc":"2.0","id":1,"method":"getAccountInfo","params":["SysvarC1ock11111111111111111)"
                        R"(111111111111111",{"encoding":"base64","commitment":"confirmed"}]})"}},
              .root = "/result",
              .number = {"/result/context/slot"},
              .time = {"/result/value/data/0", Coding::kClockSysvar}};
  out.identity = {.ask = {R"({"jsonrpc":"2.0","id":1,"method":"getGenesisHash"})"},
                  .value = {"/result", Coding::kText}};
  out.syncing = {.ask = {R"({"jsonrpc":"2.0","id":1,"method":"getHealth"})"},
                 .reads = {"/error/data/numSlotsBehind", "/result"},
                 .gap = [](std::span<const Picked* const> values) -> std::optional<std::uint64_t> {
                   if (values[1]->text == "ok") return 0;
                   return std::nullopt;
                 },
                 .expected = "result is not ok",
                 .behind_code = "-32005"};
  // A slot may be skipped or cleaned up; then this is an error, and no vote on a fork.
  out.block = {.ask = {R"({"jsonrpc":"2.0","id":1,"method":"getBlock","params":[{height},{"encoding":"json",)"
                       R"("transactionDetails":"none","rewards":false,"commitment":"confirmed",)"
                       R"("maxSupportedTransactionVersion":0}]})"},
               .root = "/result",
               .hash = {"/result/blockhash", Coding::kText}};
  return out;
}

}  // namespace rpcw::rpc::family
