#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "store/json_codec.hpp"
#include "weighter/system/system_state.hpp"

/// The text of a state file: what a state knows, as JSON. The monotonic clock begins anew with each boot, so instants
/// on it are written as distances from the moment of saving, and that as wall clock.
namespace rpcw::store {

inline constexpr std::string_view kStateFormat = "rpc-weighter state";
/// How every file begins, whatever its version.
inline constexpr std::string_view kStateBegin = R"({"format":"rpc-weighter state")";
/// Longer texts are neither written nor read: this is enough for some ten thousand targets.
inline constexpr std::size_t kMostStateBytes = 32U << 20U;

/// What is kept of a backend that was left out, as by `--backend`.
struct LeftOut {
  /// When it was saved the last time by a process that did not leave it out.
  WallTime saved;
  BackendSnapshot backend;
};

struct StoredState {
  /// When it was saved.
  WallTime saved;
  /// What the keys in `backends` are made with: 32 lower-case hexadecimal digits.
  std::string salt;
  std::vector<BackendSnapshot> backends;
  std::vector<LeftOut> left_out;
};

/// Of a decision only the servers' states and weights and the fallback are kept; of requests under way nothing.
/// `now`: the moment of saving, on both clocks.
std::string encode(std::string_view salt, const std::vector<BackendSnapshot>& backends, Now now,
                   const std::vector<LeftOut>& left_out = {});

/// Instants come out as if the state had been saved as long before `now` as the wall clock says; as if just now when
/// that has gone back. The text may be anything: the error is a sentence with the place and what would be right. What
/// comes out is safe to decide with, though it may be nonsense.
std::expected<StoredState, std::string> decode(std::string_view text, Now now);

}  // namespace rpcw::store
