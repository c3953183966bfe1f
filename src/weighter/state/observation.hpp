#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.hpp"
#include "weighter/state/reason.hpp"

namespace rpcw {

/// The newest block that a provider reports.
struct Head {
  std::uint64_t number = 0;
  /// As the chain writes it; compared for equality only. Empty: the head came without one.
  std::string hash;
  WallTime timestamp{};
  /// False: the provider told no time, and `timestamp` is not valid until `fold` has set it.
  bool dated = true;
  /// The hash of the block before; empty: the head came without it.
  std::string parent{};

  friend bool operator==(const Head&, const Head&) = default;
};

struct ProbeFailure {
  Reason code{};
  /// A sentence for a person; never holds a secret.
  std::string detail;
  /// How long the provider asks us to stay away; absent: it did not say.
  std::optional<milliseconds> retry_after;
  /// The provider does not offer this check, which can be done without.
  bool unsupported = false;
  /// This machine could not send the request, for want of a descriptor or a port: the provider is not to blame.
  bool ours = false;
};

/// What one head probe brought.
struct HeadObservation {
  /// When the last byte came, or the failure was known.
  Now received;
  /// From the request's start on an open connection to the answer's last byte. Of a failure: the time it took.
  std::chrono::microseconds latency{};
  std::expected<Head, ProbeFailure> head;
};

/// The checks besides the head, which are sent less often.
enum class CheckKind : std::uint8_t {
  kIdentity,  ///< which chain is this
  kSyncing,   ///< is it still catching up
  kPeers,     ///< how many other nodes does it know
  kBlock,     ///< the hash of the block at a height
  kCanary,    ///< a request for real work
};

/// The name in recordings and metrics, such as "identity".
std::string_view to_string(CheckKind kind);
/// Absent: no check has that name.
std::optional<CheckKind> check_kind_from_string(std::string_view name);

struct Check {
  CheckKind kind{};
  /// kBlock: the height. kCanary: its index in the backend. Else 0.
  std::uint64_t argument = 0;

  friend bool operator==(const Check&, const Check&) = default;
};

/// A node says that it is catching up, and not how far it has to go.
inline constexpr std::uint64_t kUnknownGap = UINT64_MAX;

struct AnswerValue {
  /// kSyncing: blocks that it says it lacks; 0: none, it is up to date. kPeers: how many.
  std::uint64_t number = 0;
  /// kIdentity: which chain it is, as Chain::identity. kBlock: the hash; empty: it has no such block.
  std::string text;
};

/// The answer to one check.
struct Answer {
  Now received;
  Check check;
  std::expected<AnswerValue, ProbeFailure> value;
};

}  // namespace rpcw
