#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "integration/http_client.hpp"

/// Whether an answer was of use to the client that got it.
namespace rpcw::bench {

enum class Verdict : std::uint8_t {
  kGood,
  /// Based on a block that is more than kMaxLagBlocks behind the chain's head.
  kStale,
  /// Based on a block that the chain does not have: of another chain, of a fork, or not made yet.
  kWrong,
  kError,
  /// HTTP 429, or JSON-RPC's -32005.
  kLimited,
  kTimedOut,
};
inline constexpr std::size_t kVerdicts = 6;
std::string_view to_string(Verdict verdict);

using Answer = test::HttpAnswer;

/// The chain's true head when the request was sent and when the answer was there. The client is given the benefit of
/// the doubt on both ends: stale is counted from the former, too high from the latter.
struct Truth {
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
};

Verdict judge(const Answer& answer, const Truth& truth);

}  // namespace rpcw::bench
