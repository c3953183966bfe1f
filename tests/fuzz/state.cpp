#include <fmt/format.h>

#include <cmath>
#include <string>

#include "fuzz/known.hpp"
#include "fuzz/targets.hpp"
#include "store/state_codec.hpp"
#include "store/state_file.hpp"
#include "weighter/system/system_state.hpp"

namespace rpcw::fuzz {

void state(std::string_view bytes) {
  static const rpcw::config::Config kConfig = known_config();
  const Now now{WallTime{std::chrono::seconds{1'795'663'760}}, MonoTime{std::chrono::hours{10}}};
  auto stored = store::decode(bytes, now);
  if (!stored) return must(!stored.error().empty(), "a refused state file says why");

  // As StateFile::load does, but that keys are names, as in the seeds; settings have none.
  const Keyer by_name = [](std::string_view name, std::string_view) {
    return std::string(name.empty() ? "d71b" : name);
  };
  const auto again = store::decode(store::encode(stored->salt, stored->backends, now, stored->left_out), now);
  must(again.has_value(), "a state that was read can be written and read again");
  SystemState known(kConfig);
  known.adopt(std::move(stored->backends), by_name);
  known.decide(now, true);
  for (const ServerDecision& server : known.decision(0).servers) {
    must(server.weight <= 256, "weights are at most 256");
    must(std::isfinite(server.score) && server.score >= 0, "scores are numbers");
  }
  must(store::decode(store::encode(std::string(32, '0'), known.snapshot(by_name), now), now).has_value(),
       "what came of a state can be written and read again");
}

}  // namespace rpcw::fuzz
