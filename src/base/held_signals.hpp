#pragma once

#include <csignal>
#include <initializer_list>

namespace rpcw {

/// Holds signals back until the program is ready for them. Threads that are started meanwhile hold them back for good.
class HeldSignals {
 public:
  HeldSignals(std::initializer_list<int> numbers);
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

  /// Those that came meanwhile are delivered now. A process that ends without this call ignores them.
  void release() const;

 private:
  sigset_t before_{};
};

}  // namespace rpcw
