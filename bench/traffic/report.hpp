#pragma once

#include <string>
#include <vector>

#include "common/machine.hpp"
#include "traffic/result.hpp"

namespace rpcw::bench {

/// Tables: the bad answers of all scenarios, then each scenario's classes and latencies, and the time from fault to
/// weight 0. `charts`: the folder of the SVG files as links name it, empty for none.
std::string to_markdown(const std::vector<Summary>& summaries, const Machine& machine, std::string_view charts);

std::string to_json(const std::vector<Summary>& summaries, const Machine& machine);

}  // namespace rpcw::bench
