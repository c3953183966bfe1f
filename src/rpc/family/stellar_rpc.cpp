#include "rpc/family/common.hpp"
#include "rpc/family/specs.hpp"

/// Stellar RPC, formerly Soroban RPC (stellar-rpc, cmd/stellar-rpc/internal/methods/get_health.go). A node that is
/// behind answers getHealth with an error. getLatestLedger is no substitute: it returns whole ledgers.
namespace rpcw::rpc::family {

Spec stellar_rpc() {
  Spec out;
  out.name = "stellar-rpc";
  out.title = "Stellar RPC";
  out.id = "/id";
  out.errors = json_rpc_errors();
  out.errors.limit_words.emplace_back("surpassed queue limit");
  out.errors.limit_pages = {{503, ""}};  // its queue is full (network/backlogQ.go)
  out.errors.unsupported_codes = {"-32601"};
  out.head = {.asks = {{R"({"jsonrpc":"2.0","id":1,"method":"getHealth"})"}},
              .root = "/result",
              .number = {"/result/latestLedger"},
              // Absent before v27.1.0.
              .time = {"/result/latestLedgerCloseTime", Coding::kSeconds, 0, true},
              .must = {{"/result/status", "healthy"}}};
  out.identity = {.ask = {R"({"jsonrpc":"2.0","id":1,"method":"getNetwork"})"},
                  .value = {"/result/passphrase", Coding::kText}};
  out.block = {.ask = {R"({"jsonrpc":"2.0","id":1,"method":"getLedgers","params":{"startLedger":{height},)"
                       R"("pagination":{"limit":1}}})"},
               .root = "/result/ledgers/0",
               .hash = {"/result/ledgers/0/hash", Coding::kHexText},
               .number = {"/result/ledgers/0/sequence"}};
  return out;
}

}  // namespace rpcw::rpc::family
