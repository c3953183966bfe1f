#include "rpc/family/common.hpp"
#include "rpc/family/specs.hpp"
#include "weighter/state/observation.hpp"

/// EVM JSON-RPC (ethereum/execution-apis, src/eth).
namespace rpcw::rpc::family {
namespace {

/// false is up to date. An object tells where it stands, or, as Arbitrum's, only that it is not done. geth still sends
/// one with both ends equal while it indexes, which is no lag (go-ethereum, interfaces.go, SyncProgress.Done).
std::optional<std::uint64_t> gap(std::span<const Picked* const> values) {
  const Picked& result = *values[0];
  if (result.kind == Picked::Kind::kBool) return result.text == "false" ? 0 : kUnknownGap;
  if (result.kind != Picked::Kind::kObject) return std::nullopt;
  const auto current = to_integer(*values[1]);
  const auto highest = to_integer(*values[2]);
  if (current && highest) return *highest > *current ? *highest - *current : 0;
  // An empty object: nothing is left to do.
  return result.text == "{}" ? 0 : kUnknownGap;
}

}  // namespace

Spec evm() {
  Spec out;
  out.name = "evm";
  out.title = "Ethereum and chains with its JSON-RPC";
  out.id = "/id";
  out.batches = true;
  out.errors = json_rpc_errors();
  // -32016 is not among them: some providers mean a limit by it and say so in words, Nethermind means a time-out.
  out.errors.limit_codes = {
      "-32005",  // EIP-1474 "limit exceeded"; Infura
      "-32007",  // QuickNode, "…/second request limit reached"
      "-32605",  // Hedera's relay, "IP rate limit exceeded"
      "429",     // QuickNode: HTTP's status as a code
  };
  // The chain's sequencer limits an account, not the provider us.
  out.errors.no_limit_words = {"sender is over rate limit"};
  // A status or words do not count: a gateway whose nodes are gone answers "not available" as well, and it comes back.
  out.errors.unsupported_codes = {
      "-32601",  // JSON-RPC 2.0, "method not found"
      "-32004",  // EIP-1474, "method not supported"
      "-32604",  // several gateways, "method not allowed"
  };
  out.head = {.asks = {{R"({"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["latest",false]})"}},
              .root = "/result",
              .number = {"/result/number"},
              .hash = {"/result/hash", Coding::kHash32},
              .parent = {"/result/parentHash", Coding::kHash32},
              .time = {"/result/timestamp", Coding::kSeconds}};
  out.identity = {.ask = {R"({"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]})"},
                  .value = {"/result", Coding::kIdNumber}};
  out.syncing = {.ask = {R"({"jsonrpc":"2.0","id":1,"method":"eth_syncing","params":[]})"},
                 .reads = {"/result", "/result/currentBlock", "/result/highestBlock"},
                 .gap = &gap,
                 .expected = "result is neither false nor an object"};
  out.peers = {.ask = {R"({"jsonrpc":"2.0","id":1,"method":"net_peerCount","params":[]})"}, .pointer = "/result"};
  out.block = {.ask = {R"({"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["{height:hex}",false]})"},
               .root = "/result",
               .hash = {"/result/hash", Coding::kHash32},
               .number = {"/result/number"}};
  return out;
}

}  // namespace rpcw::rpc::family
