#pragma once

#include <cstdint>
#include <string>
#include <string_view>

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

struct Answer {
  enum class End : std::uint8_t { kComplete, kBroken, kTimeout };
  End end = End::kBroken;
  /// The rest is of a complete answer.
  unsigned status = 0;
  std::string body{};
  /// X-Head and X-Provider; empty if absent, as in HAProxy's own answers.
  std::string head{};
  std::string provider{};
};

/// The chain's true head when the request was sent and when the answer was there. The client is given the benefit of
/// the doubt on both ends: stale is counted from the former, too high from the latter.
struct Truth {
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
};

Verdict judge(const Answer& answer, const Truth& truth);

}  // namespace rpcw::bench
