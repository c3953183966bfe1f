#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "config/config.hpp"
#include "weighter/state/topology.hpp"

/// What a HAProxy shows of a backend, as decisions and plans see it. Pure.
namespace rpcw {

/// What HAProxy shows of one of our servers; as the decision sees it.
struct ServerView {
  /// MAINT or DRAIN by an operator: HAProxy gives it nothing, whatever we say.
  bool disabled = false;
  bool backup = false;
  /// The weight that HAProxy has, 0..256.
  unsigned weight = 0;
  /// Its weight in haproxy.cfg; absent: not known.
  std::optional<unsigned> configured_weight;
  /// HAProxy's own check has it DOWN, and it gets nothing. It keeps its weight for its return, but is not counted on.
  bool down = false;
  /// Weight 0 in haproxy.cfg under an algorithm that takes only 0 % and 100 % of that: it gets nothing for good.
  bool stuck = false;

  friend bool operator==(const ServerView&, const ServerView&) = default;
};

/// What HAProxy shows of a backend.
struct BackendView {
  /// In the order of the file; absent: HAProxy has no such server, or was not read.
  std::vector<std::optional<ServerView>> servers;
  /// A backup server that the file does not name and that HAProxy would use.
  bool usable_foreign_backup = false;
  /// The balance algorithm as HAProxy shows it; empty: not known.
  std::string algorithm;
  /// How long this HAProxy worker has been running, at most kWorkerSettled: beyond that it makes no difference; 0: not
  /// known.
  std::chrono::seconds worker_age{0};

  friend bool operator==(const BackendView&, const BackendView&) = default;
};

/// Whether HAProxy would send this server traffic if it had a weight.
bool usable(const haproxy::ServerRow& row);

/// Whether HAProxy's own check (or its agent's word) keeps new requests from it.
bool down(const haproxy::ServerRow& row);

/// What an operator has set: "ready", "maint" or "drain"; empty: not known.
std::string admin_state_text(const haproxy::ServerRow& row);

/// Its weight in haproxy.cfg is 0 and its backend takes only percentages of that: no weight can be set.
bool stuck(const haproxy::BackendRow& backend, const haproxy::ServerRow& server);

using NameSet = std::unordered_set<std::string_view>;
/// The names of the file's servers. Refers to the texts in `cfg`.
NameSet names_of(const config::Backend& cfg);

/// Whether a backup server that the file does not name would take over.
bool has_usable_foreign_backup(const config::Backend& cfg, const haproxy::BackendRow& row);

/// What `instance` shows of the backend; all servers absent where it has none of this name.
BackendView view_of(const config::Backend& cfg, const haproxy::Instance& instance);

/// Adds what another HAProxy shows of the same backend. A server is disabled, down or stuck only where it is so in all
/// that have it; weights and roles are those of the first one that has it.
void join(BackendView& out, BackendView&& other);

/// Whether a decision made for `a` holds for `b`: everything is equal but weights and ages.
bool same_circumstances(const BackendView& a, const BackendView& b);

}  // namespace rpcw
