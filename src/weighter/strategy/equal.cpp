#include "weighter/strategy/strategy.hpp"

namespace rpcw::strategy {

extern const Strategy kEqual{
    .name = "equal",
    .description = "health alone",
    .score =
        [](const config::Backend&, const ServerVerdict&, std::string_view, ScoreInputs&) {
          return StrategyScore{1, 1};
        },
};

}  // namespace rpcw::strategy
