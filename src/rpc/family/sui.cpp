#include "rpc/family/common.hpp"
#include "rpc/family/specs.hpp"

/// Sui GraphQL (sui, crates/sui-indexer-alt-graphql/schema.graphql); the URL is the GraphQL endpoint's. JSON-RPC was
/// retired in July 2026. Errors come as HTTP 200 with `errors`.
namespace rpcw::rpc::family {

Spec sui() {
  Spec out;
  out.name = "sui";
  out.title = "Sui (GraphQL)";
  out.calls = Calls::kRest;
  out.errors = {.error = "/errors", .code = "/errors/0/extensions/code", .message = "/errors/0/message"};
  out.errors.limit_words = limit_words();
  out.head = {.asks = {{R"({"query":"{ checkpoint { sequenceNumber digest timestamp } }"})"}},
              .root = "/data/checkpoint",
              .number = {"/data/checkpoint/sequenceNumber"},
              .hash = {"/data/checkpoint/digest", Coding::kText},
              .time = {"/data/checkpoint/timestamp", Coding::kRfc3339}};
  out.identity = {.ask = {R"({"query":"{ chainIdentifier }"})"}, .value = {"/data/chainIdentifier", Coding::kDigest58}};
  out.block = {.ask = {R"({"query":"{ checkpoint(sequenceNumber: {height}) { sequenceNumber digest } }"})"},
               .root = "/data/checkpoint",
               .hash = {"/data/checkpoint/digest", Coding::kText},
               .number = {"/data/checkpoint/sequenceNumber"}};
  return out;
}

}  // namespace rpcw::rpc::family
