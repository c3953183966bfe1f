#include "rpc/family/common.hpp"
#include "rpc/family/specs.hpp"

/// Tron's HTTP API (tronprotocol/documentation-en, docs/api/http). Errors and rate limits come as HTTP 200 with
/// `Error`, TronGrid's limits also as 403 and 503. Its /jsonrpc is of the family evm.
namespace rpcw::rpc::family {

Spec tron() {
  Spec out;
  out.name = "tron";
  out.title = "Tron (HTTP API)";
  out.calls = Calls::kRest;
  out.errors = {.error = "/Error", .code = {}, .message = "/Error"};
  out.errors.limit_words = limit_words();
  // java-tron, RateLimiterServlet.
  out.errors.limit_words.emplace_back("lack of computing resources");
  // developers.tron.network/reference/rate-limits
  out.errors.limit_words.emplace_back("exceeds the frequency limit");
  out.errors.limit_words.emplace_back("query server is suspended");
  out.head = {.asks = {{R"({"detail":false})", "/wallet/getblock"}},
              .number = {"/block_header/raw_data/number"},
              .hash = {"/blockID", Coding::kHexText},
              .time = {"/block_header/raw_data/timestamp", Coding::kMilliseconds}};
  out.identity = {.ask = {R"({"id_or_num":"0","detail":false})", "/wallet/getblock"},
                  .value = {"/blockID", Coding::kHexText}};
  out.peers = {.ask = {.path = "/wallet/getnodeinfo"}, .pointer = "/currentConnectCount"};
  // An empty object when it is absent.
  out.block = {.ask = {R"({"id_or_num":"{height}","detail":false})", "/wallet/getblock"},
               .hash = {"/blockID", Coding::kHexText},
               .number = {"/block_header/raw_data/number"}};
  return out;
}

}  // namespace rpcw::rpc::family
