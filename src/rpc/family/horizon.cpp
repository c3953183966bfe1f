#include "rpc/family/common.hpp"
#include "rpc/family/specs.hpp"

/// Stellar's Horizon (stellar/go, protocols/horizon/main.go). Errors are RFC 7807 documents with a status of their own.
namespace rpcw::rpc::family {

Spec horizon() {
  Spec out;
  out.name = "horizon";
  out.title = "Stellar Horizon";
  out.calls = Calls::kRest;
  out.errors = {.error = "/title", .code = {}, .message = "/title"};
  out.errors.limit_words = limit_words();
  out.head = {.asks = {{}},
              .number = {"/history_latest_ledger"},
              .time = {"/history_latest_ledger_closed_at", Coding::kRfc3339}};
  out.identity = {.ask = {}, .value = {"/network_passphrase", Coding::kText}};
  // What its core has and it has not ingested yet.
  out.syncing = {.ask = {}, .reads = {"/history_latest_ledger", "/core_latest_ledger"}, .gap = &difference};
  out.block = {.ask = {.path = "/ledgers/{height}"}, .hash = {"/hash", Coding::kHexText}, .number = {"/sequence"}};
  return out;
}

}  // namespace rpcw::rpc::family
