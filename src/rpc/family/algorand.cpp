#include "rpc/family/common.hpp"
#include "rpc/family/specs.hpp"
#include "weighter/state/observation.hpp"

/// Algorand's algod, REST v2 (go-algorand, daemon/algod/api/algod.oas2.json). The status has no block time, but tells
/// how long ago the node got its round.
namespace rpcw::rpc::family {

Spec algorand() {
  Spec out;
  out.name = "algorand";
  out.title = "Algorand (algod)";
  out.calls = Calls::kRest;
  out.errors = {.error = "/message", .code = {}, .message = "/message"};
  out.errors.limit_words = limit_words();
  out.head = {.asks = {{.path = "/v2/status"}},
              .number = {"/last-round"},
              .time = {"/time-since-last-round", Coding::kNanosecondsAgo},
              // The node knows no protocol for the next round and waits for an upgrade.
              .must = {{"/stopped-at-unsupported-round", "false", true}}};
  out.identity = {.ask = {.path = "/v2/transactions/params"}, .value = {"/genesis-id", Coding::kText}};
  out.syncing = {.ask = {.path = "/v2/status"},
                 .reads = {"/catchup-time", "/catchpoint"},
                 .gap = [](std::span<const Picked* const> values) -> std::optional<std::uint64_t> {
                   const auto catching_up = to_integer(*values[0]);
                   if (!catching_up) return std::nullopt;
                   return *catching_up > 0 || !values[1]->text.empty() ? kUnknownGap : 0;
                 }};
  out.block = {.ask = {.path = "/v2/blocks/{height}/hash"}, .hash = {"/blockHash", Coding::kText}};
  return out;
}

}  // namespace rpcw::rpc::family
