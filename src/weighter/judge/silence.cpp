#include "weighter/judge/silence.hpp"

#include <algorithm>
#include <cstdint>

#include "weighter/constants.hpp"

namespace rpcw {

milliseconds no_answer_noticed(double usual_ms) {
  return std::max(constants::kNoAnswerLeast, silence_suspected(usual_ms));
}

milliseconds silence_suspected(double usual_ms) {
  return std::max(constants::kNoAnswerScan,
                  milliseconds{static_cast<std::int64_t>(constants::kNoAnswerLatencies * usual_ms)});
}

}  // namespace rpcw
