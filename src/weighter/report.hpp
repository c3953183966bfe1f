#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "weighter/allocate/decide.hpp"
#include "weighter/state/topology.hpp"

/// What a decision looks like from outside: the values behind the table, the JSON document and the CSV.
namespace rpcw {

struct EndpointReport {
  std::string endpoint;
  bool reachable = false;
  std::string version;
  /// 0: not known.
  std::int64_t pid = 0;
  /// What went wrong here, each a sentence for a person; empty: nothing.
  std::vector<std::string> errors;
  /// Weights that were set (or would be, in a dry run).
  std::size_t changed = 0;
};

struct ServerReport {
  std::string name;
  /// Redacted.
  std::string url;
  /// What the first reachable HAProxy had before this decision; absent: there was none.
  std::optional<unsigned> current_weight;
  /// "ready", "maint" or "drain"; empty: not known.
  std::string admin_state;
  /// Under a static algorithm: what it weighs in haproxy.cfg, and so while it is switched on; absent: the decided
  /// weight counts.
  std::optional<unsigned> static_weight;
  /// Whether it is a backup server in haproxy.cfg; absent: not known, as HAProxy was not read.
  std::optional<bool> backup;
  /// How far its newest block is behind the agreed head; absent: not known.
  std::optional<milliseconds> lag;
  /// What its quota carries, in requests a second; absent: no limit is known.
  std::optional<double> quota_per_s;
  /// Between two of its probes; 0: it is probed for another backend.
  milliseconds probe_interval{0};
  /// Requests a second that its probes may cost; absent: no budget.
  std::optional<double> probe_budget_per_s;
  ServerDecision decision;
};

struct ReferenceReport {
  /// Its operator.
  std::string name;
  /// Redacted.
  std::string url;
  /// How far its newest block is behind the agreed head; absent: not known.
  std::optional<milliseconds> lag;
  ReferenceVerdict verdict;
};

struct BackendReport {
  std::string name;
  std::string chain;
  std::string strategy;
  /// The backend whose servers of the same names are judged for this one; empty: its own.
  std::string follows;
  std::optional<config::Fallback> fallback;
  /// HAProxy's balance algorithm as it shows it; empty: not known.
  std::string algorithm;
  /// Driven by 0 % and 100 %, as the algorithm is static.
  bool percent = false;
  /// Its weights are answers to HAProxy's agent-check.
  bool agent = false;
  std::optional<AgreedHead> head;
  std::vector<BackendNote> notes;
  /// What the active servers that HAProxy has and the file does not name, or that share a name, weigh together; 0:
  /// there are none, or HAProxy was not read.
  unsigned unmanaged_weight = 0;
  unsigned healthy = 0;
  /// No provider gave any HTTP answer.
  bool blind = false;
  std::vector<ServerReport> servers;
  std::vector<ReferenceReport> references{};
};

/// Of several agents, which one sets the weights.
struct StandbyReport {
  /// As in the file.
  std::string lease;
  bool acts = false;
  /// This agent, and the one that holds the lease; empty: none does, or it is not known.
  std::string identity;
  std::string holder;
  /// Why the API server was asked in vain the last time; empty: it was not.
  std::string error;
};

/// Whose weights are decided and not sent.
enum class DryRun : std::uint8_t {
  kNone,   ///< they are sent
  kPass,   ///< a single pass's
  kAgent,  ///< a running agent's
};

struct Report {
  WallTime time;
  DryRun dry_run = DryRun::kNone;
  /// Absent: this agent is alone.
  std::optional<StandbyReport> standby{};
  std::vector<EndpointReport> haproxy;
  std::vector<BackendReport> backends;
};

class SystemState;
/// `instance`: the first reachable HAProxy as it was before the decision, for `current_weight`; nullptr: none.
Report make_report(const SystemState& state, Now now, const haproxy::Instance* instance);

/// Each server's part of the traffic by the weights of its backend, in [0, 1]: of the active servers', those that the
/// file does not name included, or of the backups' where no active one has any. 0: it is disabled, or the other group
/// has the traffic. In the order of the report.
std::vector<double> shares_of(const BackendReport& backend);

}  // namespace rpcw
