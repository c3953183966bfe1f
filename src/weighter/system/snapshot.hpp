#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "weighter/allocate/decide.hpp"
#include "weighter/state/history.hpp"

/// The knowledge of a backend together with keys of all that it is about, so that another configuration, another list
/// of servers or another run can take over what still fits.
namespace rpcw {

struct BackendState;

struct BackendSnapshot {
  /// Of the backend.
  std::string name;
  /// Keys of its servers and references, in the order of `history`.
  std::vector<std::string> servers;
  std::vector<std::string> references;
  /// Keys of its settings, and of its canaries among them. With other settings weights may move at once; with other
  /// canaries their earlier answers do not count.
  std::string settings;
  std::string canaries;
  BackendHistory history;
  BackendView view;
  BackendDecision decision;
  bool decided = false;
  /// As BackendState::guessed.
  bool guessed = false;
};

/// Makes a key from a name, which may be shown, and a text with secrets. Equal keys should be rare; their order tells
/// them apart.
using Keyer = std::function<std::string(std::string_view name, std::string_view secret)>;
/// The text itself, for keys that do not leave the process.
std::string plain_key(std::string_view name, std::string_view text);

/// The keys of `backend`, without any knowledge.
BackendSnapshot identity_of(const config::Backend& backend, const Keyer& key);
BackendSnapshot snapshot_of(const config::Backend& backend, const BackendState& state, const Keyer& key);

/// Whether checks that were sent will still be answered here, and what was decided still be pushed.
enum class Continuity : std::uint8_t { kNewDaemon, kSameDaemon };

/// Puts what `was` knows of the targets of `backend` into `state`, which knows nothing yet. A backend whose servers are
/// all the same ones, in whatever order, goes on where it was. Of others the servers that stay keep their shares, and
/// new ones begin with nothing.
void restore(BackendState& state, const config::Backend& backend, BackendSnapshot&& was, const Keyer& key,
             Continuity continuity);

}  // namespace rpcw
