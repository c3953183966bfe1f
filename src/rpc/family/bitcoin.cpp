#include "rpc/family/common.hpp"
#include "rpc/family/specs.hpp"
#include "weighter/state/observation.hpp"

/// Bitcoin Core JSON-RPC and its relatives (bitcoincore.org/en/doc). RPC errors come as HTTP 500, an unknown method as
/// 404; 503 is a full work queue. `chain` is "main" on all of them, so the hash of block 0 is the identity.
namespace rpcw::rpc::family {

Spec bitcoin() {
  Spec out;
  out.name = "bitcoin";
  out.title = "Bitcoin Core and its relatives";
  out.id = "/id";
  out.errors = json_rpc_errors();
  out.errors.limit_codes = {"429"};
  out.errors.limit_pages = {{503, "work queue depth exceeded"}};  // bitcoin, src/httpserver.cpp
  out.errors.unsupported_codes = {"-32601"};
  constexpr std::string_view kInfo = R"({"jsonrpc":"1.0","id":1,"method":"getblockchaininfo","params":[]})";
  out.head = {.asks = {{kInfo}},
              .root = "/result",
              .number = {"/result/blocks"},
              .hash = {"/result/bestblockhash", Coding::kHexText},
              // Since v23; Litecoin and Dogecoin have the median of eleven blocks alone.
              .time = {"/result/time", Coding::kMinerSeconds, 0, true},
              .other_time = {"/result/mediantime", Coding::kMedianSeconds}};
  out.identity = {.ask = {R"({"jsonrpc":"1.0","id":1,"method":"getblockhash","params":[0]})"},
                  .value = {"/result", Coding::kHexText}};
  out.syncing = {.ask = {kInfo},
                 .reads = {"/result/blocks", "/result/headers", "/result/initialblockdownload"},
                 .gap = [](std::span<const Picked* const> values) -> std::optional<std::uint64_t> {
                   const auto gap = difference(values);
                   return gap == std::uint64_t{0} && values[2]->text == "true" ? kUnknownGap : gap;
                 }};
  out.peers = {.ask = {R"({"jsonrpc":"1.0","id":1,"method":"getconnectioncount","params":[]})"}, .pointer = "/result"};
  out.block = {.ask = {R"({"jsonrpc":"1.0","id":1,"method":"getblockhash","params":[{height}]})"},
               .hash = {"/result", Coding::kHexText}};
  return out;
}

}  // namespace rpcw::rpc::family
