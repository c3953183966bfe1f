#include <sstream>
#include <string>

#include "agent/replay/replay.hpp"
#include "fuzz/known.hpp"
#include "fuzz/targets.hpp"

namespace rpcw::fuzz {

void recording(std::string_view bytes) {
  static const rpcw::config::Config kConfig = known_config();
  std::istringstream in{std::string(bytes)};
  const auto replayed = replay::run({{"fuzz", in}}, kConfig);
  if (!replayed) return must(!replayed.error().what.empty(), "a refused recording says why");
  must(replayed->other_weights <= replayed->decisions, "no more decisions differ than there are");
  must(replayed->differences.size() <= replay::kMostDifferences, "memory is bounded");
}

}  // namespace rpcw::fuzz
