#pragma once

#include <optional>
#include <vector>

namespace rpcw::bench {

/// The q-quantile, q in [0, 1]; reorders `values`. Absent if they are none.
std::optional<double> quantile(std::vector<double>& values, double q);
inline std::optional<double> quantile(std::vector<double>&& values, double q) {
  return quantile(values, q);
}

}  // namespace rpcw::bench
