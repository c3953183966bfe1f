#include "base/clock.hpp"

#include <chrono>

namespace rpcw {

Now read_clocks() {
  return {std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now()),
          std::chrono::duration_cast<MonoTime>(std::chrono::steady_clock::now().time_since_epoch())};
}

}  // namespace rpcw
