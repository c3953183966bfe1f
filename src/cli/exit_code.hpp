#pragma once

#include <algorithm>
#include <array>

namespace rpcw::cli {

/// What the program ends with; scripts and CI rely on the numbers. When several apply, the order is kOwnError, kUsage,
/// kHaproxy, kUnhealthy, kDone.
enum ExitCode : int {
  /// Every backend has at least one healthy server.
  kDone = 0,
  /// A backend had nothing healthy and fell back; for `check --online`: a provider is not well.
  kUnhealthy = 1,
  /// The command line or the configuration is wrong; nothing was probed or sent.
  kUsage = 2,
  /// HAProxy could not be reached, refused or did not confirm a command, or lacks a named backend or server.
  kHaproxy = 3,
  /// A file or port that cannot be used, or a bug.
  kOwnError = 4,
};

/// Of several results the one that counts.
constexpr ExitCode worse(ExitCode a, ExitCode b) {
  constexpr std::array kOrder{kDone, kUnhealthy, kHaproxy, kUsage, kOwnError};
  return std::ranges::find(kOrder, a) > std::ranges::find(kOrder, b) ? a : b;
}

}  // namespace rpcw::cli
