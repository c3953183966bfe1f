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
  /// The provider does not offer what was asked: no failure where it could be done without.
  bool unsupported = false;
  /// This machine could not ask, for want of a descriptor or a port: it says nothing about the provider.
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

/// What is asked besides the head, and seldom.
enum class CheckKind : std::uint8_t {
  kIdentity,  ///< which chain is this
  kSyncing,   ///< is it still catching up
  kPeers,     ///< how many other nodes does it know
  kBlock,     ///< the hash of the block at a height
  kCanary,    ///< a request for real work
};

/// The name in recordings, such as "identity".
std::string_view to_string(CheckKind kind);
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

/// What one such question brought.
struct Answer {
  Now received;
  Check check;
  std::expected<AnswerValue, ProbeFailure> value;
};

}  // namespace rpcw
