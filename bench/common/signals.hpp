#pragma once

#include <csignal>

namespace rpcw::bench {

inline volatile std::sig_atomic_t signal_noted = 0;

/// From now on SIGINT, SIGTERM and SIGHUP are noted instead of ending the process, so that it can stop what it has
/// started.
inline void note_signals() {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) std::signal(number, [](int) { signal_noted = 1; });
}

/// Whether one has come.
inline bool signalled() {
  return signal_noted != 0;
}

/// What a program that was interrupted ends with.
inline constexpr int kInterrupted = 130;

}  // namespace rpcw::bench
