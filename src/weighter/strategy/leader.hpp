#pragma once

#include <cstdint>
#include <span>

#include "base/time.hpp"
#include "weighter/state/history.hpp"

/// Strategy `leader`: one server has everything, and changes are rare.
namespace rpcw {

struct Candidate {
  /// Index in the file.
  std::uint32_t server = 0;
  double score = 0;
  double preference = 1;
};

/// The leader stays as long as it is among the candidates; with `switch_back`, until another's score has been better by
/// 30 % for 30 s. A new one is the most preferred, then the first in the file, of those whose score is within 30 % of
/// the best. Precondition: at least one candidate, in the order of the file.
std::uint32_t choose_leader(Lead& lead, std::span<const Candidate> candidates, bool switch_back, MonoTime now);

}  // namespace rpcw
