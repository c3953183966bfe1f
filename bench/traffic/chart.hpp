#pragma once

#include <string>
#include <vector>

#include "traffic/result.hpp"

/// SVG documents, complete in themselves.
namespace rpcw::bench {

/// Bad answers by class, a bar for each contestant.
std::string bars(const Summary& summary);

/// Second by second, a strip for each contestant: the bad answers of the first run, above the times of the faults.
std::string timeline(const Summary& summary);

/// The same strips with the share of each provider.
std::string shares(const Summary& summary);

}  // namespace rpcw::bench
