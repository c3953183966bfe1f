#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rpcw {

/// Why a server is not plainly healthy. The names are part of the report's contract and never change.
enum class Reason : std::uint8_t {
  // A failed probe: the transport.
  kConnectFailed,  ///< refused, reset, closed without an answer
  kTlsFailed,      ///< handshake or certificate
  kDnsFailed,      ///< the name does not resolve
  kTimeout,        ///< no whole answer within the probe's time-out
  // A failed probe: the answer.
  kHttpStatus,  ///< any status but 200; redirects are not followed
  kRpcError,    ///< a JSON-RPC error in an answer
  kBadAnswer,   ///< not what the protocol says: HTML, cut JSON, wrong types
  kTooLarge,    ///< longer than max_response_bytes
  // Neither success nor failure.
  kRateLimited,
  // A good answer with bad news.
  kLatencyTooHigh,
  kBlockTooOld,
  kBlockLag,
  kBlockAhead,
  kWrongChain,
  kForked,
  kSyncing,
  kTooFewPeers,
  kCanaryFailed,
  // From HAProxy's own counters.
  kLiveErrors,
  kLiveLatency,
  // About the state itself.
  kWarmingUp,
  kStandby,
  kBlind,
};

/// The stable code, such as "block_too_old".
std::string_view to_string(Reason reason);
/// The reason of that code; absent: there is none.
std::optional<Reason> reason_from_string(std::string_view code);

/// Whether no HTTP answer was had at all: the kind of failure that a lost packet or our own network can cause.
bool is_transport(Reason reason);

struct ReasonNote {
  Reason code{};
  /// A sentence with the numbers behind it; never holds a secret.
  std::string detail;

  friend bool operator==(const ReasonNote&, const ReasonNote&) = default;
};

/// A note about a backend, such as "unmanaged". Codes are stable, as those of reasons are.
struct BackendNote {
  std::string_view code;
  std::string detail;

  friend bool operator==(const BackendNote&, const BackendNote&) = default;
};

}  // namespace rpcw
