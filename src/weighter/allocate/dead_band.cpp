#include <algorithm>
#include <array>

#include "weighter/allocate/decide.hpp"
#include "weighter/constants.hpp"

namespace rpcw {

bool hashes(std::string_view algorithm) {
  // As backend_lb_algo_str in HAProxy's backend.c shows them.
  constexpr std::array<std::string_view, 6> kHashes{"source", "uri", "url_param", "hdr", "rdp-cookie", "hash"};
  return std::ranges::find(kHashes, algorithm) != kHashes.end();
}

Requests requests_under(std::string_view algorithm) {
  return hashes(algorithm) ? Requests::kOfSome : Requests::kOfAll;
}

bool worth_pushing(std::span<const unsigned> applied, std::span<const unsigned> targets, double dead_band) {
  const double band = std::max(constants::kDeadBand, dead_band);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (applied[i] == targets[i]) continue;
    if (applied[i] == 0 || targets[i] == 0) return true;
    const unsigned step = applied[i] > targets[i] ? applied[i] - targets[i] : targets[i] - applied[i];
    const double part = static_cast<double>(step) / static_cast<double>(applied[i]);
    if (part >= band && (step >= constants::kDeadStep || part >= constants::kDeadStepWaived)) return true;
  }
  return false;
}

}  // namespace rpcw
