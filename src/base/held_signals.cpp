#include "base/held_signals.hpp"

#include <pthread.h>

namespace rpcw {

HeldSignals::HeldSignals(std::initializer_list<int> numbers) {
  sigset_t held{};
  sigemptyset(&held);
  for (const int number : numbers) sigaddset(&held, number);
  pthread_sigmask(SIG_BLOCK, &held, &before_);
}

void HeldSignals::release() const {
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace rpcw
