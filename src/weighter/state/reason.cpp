#include "weighter/state/reason.hpp"

namespace rpcw {

std::string_view to_string(Reason reason) {
  switch (reason) {
    case Reason::kConnectFailed:
      return "connect_failed";
    case Reason::kTlsFailed:
      return "tls_failed";
    case Reason::kDnsFailed:
      return "dns_failed";
    case Reason::kTimeout:
      return "timeout";
    case Reason::kHttpStatus:
      return "http_status";
    case Reason::kRpcError:
      return "rpc_error";
    case Reason::kBadAnswer:
      return "bad_answer";
    case Reason::kTooLarge:
      return "too_large";
    case Reason::kRateLimited:
      return "rate_limited";
    case Reason::kLatencyTooHigh:
      return "latency_too_high";
    case Reason::kBlockTooOld:
      return "block_too_old";
    case Reason::kBlockLag:
      return "block_lag";
    case Reason::kBlockAhead:
      return "block_ahead";
    case Reason::kWrongChain:
      return "wrong_chain";
    case Reason::kForked:
      return "forked";
    case Reason::kSyncing:
      return "syncing";
    case Reason::kTooFewPeers:
      return "too_few_peers";
    case Reason::kCanaryFailed:
      return "canary_failed";
    case Reason::kLiveErrors:
      return "live_errors";
    case Reason::kLiveLatency:
      return "live_latency";
    case Reason::kWarmingUp:
      return "warming_up";
    case Reason::kStandby:
      return "standby";
    case Reason::kBlind:
      return "blind";
  }
  return "unknown";
}

std::optional<Reason> reason_from_string(std::string_view code) {
  for (unsigned i = 0; i <= static_cast<unsigned>(Reason::kBlind); ++i)
    if (to_string(static_cast<Reason>(i)) == code) return static_cast<Reason>(i);
  return std::nullopt;
}

bool is_transport(Reason reason) {
  return reason == Reason::kConnectFailed || reason == Reason::kTlsFailed || reason == Reason::kDnsFailed ||
         reason == Reason::kTimeout;
}

}  // namespace rpcw
