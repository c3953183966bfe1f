#include "rpc/family/common.hpp"
#include "rpc/family/specs.hpp"
#include "weighter/state/observation.hpp"

/// XRPL JSON-RPC, rippled and Clio (xrpl.org, HTTP / WebSocket APIs). Errors come as HTTP 200 with result.error; an
/// overloaded server answers 503.
namespace rpcw::rpc::family {

Spec xrpl() {
  Spec out;
  out.name = "xrpl";
  out.title = "XRP Ledger";
  out.calls = Calls::kXrpl;
  out.errors = {.error = "/result/error", .code = "/result/error", .message = "/result/error_message"};
  out.errors.limit_codes = {"slowDown", "tooBusy"};
  out.errors.limit_words = limit_words();
  out.errors.limit_pages = {{503, "server is overloaded"}};  // rippled, src/xrpld/rpc/detail/ServerHandler.cpp
  out.errors.unsupported_codes = {"unknownCmd", "noPermission", "notSupported"};
  constexpr std::string_view kInfo = R"({"method":"server_info","params":[{}]})";
  out.head = {.asks = {{R"({"method":"ledger","params":[{"ledger_index":"validated","transactions":false,)"
                        R"("expand":false}]})"}},
              .root = "/result",
              .number = {"/result/ledger_index"},
              .hash = {"/result/ledger_hash", Coding::kHexText},
              .time = {"/result/ledger/close_time", Coding::kRippleSeconds},
              .must = {{"/result/validated", "true"}}};
  // A server of the main network need not tell its id; those of others must have one.
  out.identity = {.ask = {kInfo}, .value = {"/result/info/network_id", Coding::kIdNumber}, .otherwise = "0"};
  // Clio tells no state.
  out.syncing = {.ask = {kInfo},
                 .reads = {"/result/info/server_state"},
                 .gap = [](std::span<const Picked* const> values) -> std::optional<std::uint64_t> {
                   const std::string& state = values[0]->text;
                   const bool good = state.empty() || state == "full" || state == "validating" || state == "proposing";
                   return good ? 0 : kUnknownGap;
                 }};
  out.peers = {.ask = {kInfo}, .pointer = "/result/info/peers"};
  out.block = {.ask = {R"({"method":"ledger","params":[{"ledger_index":{height}}]})"},
               .hash = {"/result/ledger_hash", Coding::kHexText},
               .number = {"/result/ledger_index"}};
  return out;
}

}  // namespace rpcw::rpc::family
