#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "weighter/reason.hpp"
#include "weighter/time.hpp"

namespace rpcw {

/// The newest block that a provider reports.
struct Head {
  std::uint64_t number = 0;
  /// As the chain writes it; compared for equality only.
  std::string hash;
  WallTime timestamp{};

  friend bool operator==(const Head&, const Head&) = default;
};

struct ProbeFailure {
  Reason code{};
  /// A sentence for a person; never holds a secret.
  std::string detail;
  /// How long the provider asks us to stay away; absent: it did not say.
  std::optional<milliseconds> retry_after;
};

/// What one head probe brought.
struct HeadObservation {
  /// When the last byte came, or the failure was known.
  Now received;
  /// From the request's start on an open connection to the answer's last byte. Of a failure: the time it took.
  std::chrono::microseconds latency{};
  std::expected<Head, ProbeFailure> head;
};

/// What one question for the chain's identity brought.
struct IdentityObservation {
  Now received;
  /// EIP-155 chain id.
  std::expected<std::uint64_t, ProbeFailure> chain_id;
};

}  // namespace rpcw
