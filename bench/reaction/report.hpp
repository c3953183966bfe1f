#pragma once

#include <string>
#include <vector>

#include "common/machine.hpp"
#include "reaction/trial.hpp"

namespace rpcw::bench {

struct ReactionResults {
  std::vector<Reactions> reactions;
  std::vector<double> reloads_s;
};

std::string to_markdown(const ReactionResults& results, const Machine& machine);
std::string to_json(const ReactionResults& results, const Machine& machine);
/// An SVG document: time to weight 0 against requests a day, a line for each kind of fault.
std::string cost_chart(const ReactionResults& results);

}  // namespace rpcw::bench
