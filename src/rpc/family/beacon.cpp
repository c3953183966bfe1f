#include "rpc/family/common.hpp"
#include "rpc/family/specs.hpp"
#include "weighter/state/observation.hpp"

/// Ethereum's consensus layer, the Beacon API (ethereum/beacon-APIs). A head tells its slot; the time follows from the
/// chain's genesis. An optimistic node has not validated its execution payloads.
namespace rpcw::rpc::family {

Spec beacon() {
  Spec out;
  out.name = "beacon";
  out.title = "Ethereum consensus layer (Beacon API)";
  out.calls = Calls::kRest;
  out.errors = {.error = "/code", .code = "/code", .message = "/message"};
  out.errors.limit_words = limit_words();
  out.head = {.asks = {{.path = "/eth/v1/beacon/headers/head"}},
              .root = "/data",
              .number = {"/data/header/message/slot"},
              .hash = {"/data/root", Coding::kHash32},
              .time = {"/data/header/message/slot", Coding::kSlots},
              .must = {{"/execution_optimistic", "false", true}}};
  out.identity = {.ask = {.path = "/eth/v1/beacon/genesis"},
                  .value = {"/data/genesis_validators_root", Coding::kHash32}};
  out.syncing = {.ask = {.path = "/eth/v1/node/syncing"},
                 .reads = {"/data/sync_distance", "/data/is_syncing", "/data/is_optimistic", "/data/el_offline"},
                 .gap = [](std::span<const Picked* const> values) -> std::optional<std::uint64_t> {
                   const auto distance = to_integer(*values[0]);
                   const auto syncing = any_true(values.subspan(1, 1));
                   // Blocks that no execution client has checked must not be served, however near the head.
                   const auto unchecked = any_true(values.subspan(2));
                   if (!distance || !syncing) return std::nullopt;
                   if (unchecked.value_or(0) != 0) return kUnknownGap;
                   if (*syncing == 0) return 0;
                   return *distance > 0 ? *distance : kUnknownGap;
                 }};
  out.peers = {.ask = {.path = "/eth/v1/node/peer_count"}, .pointer = "/data/connected"};
  // 404: an empty slot, or one that it does not know.
  out.block = {.ask = {.path = "/eth/v1/beacon/blocks/{height}/root"}, .hash = {"/data/root", Coding::kHash32}};
  return out;
}

}  // namespace rpcw::rpc::family
