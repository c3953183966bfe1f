#pragma once

#include <string>

#include "sim/answer.hpp"
#include "sim/server.hpp"

namespace sim::detail {

/// An answer of a provider that speaks another family than EVM.
struct Told {
  unsigned status = 200;
  std::string body;
};

/// `view.behaviour.family` is one of families(), and not evm.
Told tell(const View& view, const Request& request, const Calls& calls, Outcome outcome);

}  // namespace sim::detail
