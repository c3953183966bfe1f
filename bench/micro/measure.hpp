#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>

#include "micro/allocations.hpp"

namespace rpcw::bench {

/// Times `action` and counts what it allocates. `items`: how many servers it works on, or whatever its time should be
/// proportional to; at least 1.
template <typename Action>
void measure(benchmark::State& state, std::int64_t items, Action action) {
  const std::uint64_t before = allocations();
  for (auto _ : state) action();
  const auto made = static_cast<double>(allocations() - before);
  state.counters["items"] = static_cast<double>(items);
  state.counters["allocations"] = benchmark::Counter(made, benchmark::Counter::kAvgIterations);
  state.SetComplexityN(items);
}

/// From the smallest backend to the largest that is meant to work.
inline void sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->RangeMultiplier(10)->Range(10, 10'000)->Unit(benchmark::kMicrosecond)->Complexity(benchmark::oAuto);
}

}  // namespace rpcw::bench
