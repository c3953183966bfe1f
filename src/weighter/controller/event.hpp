#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <variant>
#include <vector>

#include "config/config.hpp"
#include "weighter/state/exchange.hpp"
#include "weighter/state/observation.hpp"
#include "weighter/state/topology.hpp"

/// Everything that a Controller is told, as values.
namespace rpcw::control {

/// A probed server or reference. Assigned by action::AddTarget, and never used for another one.
using TargetId = std::uint32_t;
/// One HAProxy. Assigned by action::OpenEndpoint, and never used for another one.
using EndpointId = std::uint32_t;

namespace event {

/// The first event.
struct Started {};
/// Answers action::Recall: the state holds what an earlier process has known, if that is to be had.
struct Recalled {};
/// No new exchange begins; those under way are waited for.
struct StopRequested {};
/// The time of action::WakeAt. One that comes early or twice does no harm.
struct TimeReached {};

/// Of several agents one sets weights: this one from now on, or not.
struct Acting {
  bool acting = false;
};
/// The process stood still for a while, so its view is old: every target is checked now.
struct Resumed {};

/// A head's request has left our own queue: the wait for the provider begins. Given again when the request is repeated
/// after a combined one.
struct HeadSent {
  TargetId target = 0;
};
/// Answers action::SendHead. One for a target that was removed is ignored.
struct HeadAnswered {
  TargetId target = 0;
  HeadObservation observation;
};
/// Answers action::SendCheck.
struct CheckAnswered {
  TargetId target = 0;
  Answer answer;
};

/// Answers action::ResolveName: the HAProxys behind the configured endpoint of this index, never empty.
struct NameResolved {
  std::size_t place = 0;
  std::expected<std::vector<config::Endpoint>, haproxy::Failure> found;
};
/// Answers action::ReadInfo.
struct InfoRead {
  EndpointId endpoint = 0;
  std::expected<haproxy::Info, haproxy::Failure> info;
};
/// Answers action::ReadServers.
struct ServersRead {
  EndpointId endpoint = 0;
  std::expected<haproxy::Instance, haproxy::Failure> instance;
  /// Bytes of replies: the cost of this read for HAProxy.
  std::uint64_t bytes = 0;
};
/// Answers action::ReadLevel: the socket's level, such as "admin".
struct LevelRead {
  EndpointId endpoint = 0;
  std::expected<std::string, haproxy::Failure> level;
};
/// Answers action::SetWeights: one outcome for each command, in order.
struct WeightsAnswered {
  EndpointId endpoint = 0;
  std::vector<haproxy::Outcome> outcomes;
};

/// Answers action::ReleaseClients: HAProxy's words to each command, empty where it was done.
struct ClientsReleased {
  EndpointId endpoint = 0;
  std::expected<std::vector<std::string>, haproxy::Failure> replies;
};

}  // namespace event

using Event =
    std::variant<event::Started, event::Recalled, event::StopRequested, event::TimeReached, event::Acting,
                 event::Resumed, event::HeadSent, event::HeadAnswered, event::CheckAnswered, event::NameResolved,
                 event::InfoRead, event::ServersRead, event::LevelRead, event::WeightsAnswered, event::ClientsReleased>;

}  // namespace rpcw::control
