#pragma once

#include "base/time.hpp"

namespace rpcw {

/// Both clocks, now. The one place where the program reads them for its decisions.
Now read_clocks();

}  // namespace rpcw
