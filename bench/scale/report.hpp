#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/machine.hpp"
#include "scale/measure.hpp"

namespace rpcw::bench {

struct ScaleResults {
  std::vector<Passes> passes;
  std::optional<Idle> idle;
  std::optional<Starts> starts;
};

/// Tables, with the goals and whether they are met.
std::string to_markdown(const ScaleResults& results, const Machine& machine);

std::string to_json(const ScaleResults& results, const Machine& machine);

/// What a pass takes of what the bare loop takes, by number of providers: an SVG document.
std::string ratio_chart(const ScaleResults& results);

}  // namespace rpcw::bench
