#pragma once

#include <string>
#include <vector>

#include "traffic/result.hpp"

namespace rpcw::bench {

struct Machine {
  /// 2026-01-02.
  std::string date;
  std::string processor;
  unsigned cores = 0;
  std::string kernel;
  std::string haproxy;
};
Machine this_machine();

/// Tables: the bad answers of all scenarios, then each scenario's classes and latencies, and the time from fault to
/// weight 0. `charts`: the folder of the SVG files as links name it, empty for none.
std::string to_markdown(const std::vector<Summary>& summaries, const Machine& machine, std::string_view charts);

std::string to_json(const std::vector<Summary>& summaries, const Machine& machine);

}  // namespace rpcw::bench
