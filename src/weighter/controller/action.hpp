#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "weighter/controller/event.hpp"
#include "weighter/controller/log_line.hpp"
#include "weighter/controller/server_change.hpp"

/// Everything that a Controller can ask for. Pointers and spans are valid until the action's answer is given to the
/// controller; those of AddTarget for as long as the target is there.
namespace rpcw::control {
namespace action {

struct AddTarget {
  TargetId target = 0;
  const config::Target* config = nullptr;
  /// The argument of a canary check counts these.
  std::span<const config::Canary> canaries;
  const Chain* chain = nullptr;
  std::string backend{};
  /// Empty: a reference.
  std::string server{};
};
/// Answers to its checks under way are not wanted any more.
struct RemoveTarget {
  TargetId target = 0;
};
/// Raise the limit on open files to this number: sockets of checks and of HAProxys, and what any process has.
struct ExpectFiles {
  std::size_t count = 0;
};

/// Ask for the newest block. Answer: event::HeadAnswered.
struct SendHead {
  TargetId target = 0;
};
/// Answer: event::CheckAnswered.
struct SendCheck {
  TargetId target = 0;
  Check check;
};
/// A head and other checks in one request where the family allows it. Answers: event::HeadAnswered, and
/// event::CheckAnswered for each check.
struct SendTogether {
  TargetId target = 0;
  std::vector<Check> checks;
  /// False: the connection is not needed again soon.
  bool keep_connection = true;
};

/// Give the state what an earlier process has known, now that its servers are known. Answer: event::Recalled.
struct Recall {};

/// Look up the name of the configured endpoint of this index. Answer: event::NameResolved.
struct ResolveName {
  std::size_t place = 0;
};
struct OpenEndpoint {
  EndpointId endpoint = 0;
  config::Endpoint config;
};
/// No exchange is under way there.
struct CloseEndpoint {
  EndpointId endpoint = 0;
};
/// Only version, pid and uptime. Answer: event::InfoRead.
struct ReadInfo {
  EndpointId endpoint = 0;
};
/// Answer: event::ServersRead.
struct ReadServers {
  EndpointId endpoint = 0;
  /// The result of the read before, to be brought up to date; nullptr: read everything.
  const haproxy::Instance* last = nullptr;
};
/// Answer: event::LevelRead.
struct ReadLevel {
  EndpointId endpoint = 0;
};
/// Answer: event::WeightsAnswered.
struct SetWeights {
  EndpointId endpoint = 0;
  std::vector<haproxy::WeightCommand> commands;
};

/// Answer: event::ClientsReleased.
struct ReleaseClients {
  EndpointId endpoint = 0;
  std::vector<haproxy::ReleaseCommand> commands;
};

/// Give event::TimeReached at that time; replaces the wake-up before. Absent: none is needed.
struct WakeAt {
  std::optional<MonoTime> at;
};
struct Log {
  LogLine line;
};

// For an observer; the agent has nothing to do.

/// All backends with news were decided.
struct Decided {
  std::vector<ServerChange> changes;
};
/// Another writer has changed the weight of a server here, and it is put back.
struct Repaired {
  EndpointId endpoint = 0;
  std::string backend;
  std::string server;
};
/// A reload or a restart: another worker than the one before serves here.
struct WorkerReplaced {
  EndpointId endpoint = 0;
};

/// Nothing is under way and nothing will be: the controller wants no more events.
struct Finish {};

}  // namespace action

using Action = std::variant<action::AddTarget, action::RemoveTarget, action::ExpectFiles, action::SendHead,
                            action::SendCheck, action::SendTogether, action::Recall, action::ResolveName,
                            action::OpenEndpoint, action::CloseEndpoint, action::ReadInfo, action::ReadServers,
                            action::ReadLevel, action::SetWeights, action::ReleaseClients, action::WakeAt, action::Log,
                            action::Decided, action::Repaired, action::WorkerReplaced, action::Finish>;

}  // namespace rpcw::control
