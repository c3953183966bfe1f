#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "weighter/allocate/decide.hpp"
#include "weighter/judge/live.hpp"
#include "weighter/state/observation.hpp"

/// All that ever enters a SystemState, as values: the same events in a SystemState of the same configuration give the
/// same weights.
namespace rpcw {

class SystemState;

namespace event {

/// A head probe is due; its request may wait in our queue.
struct ProbeBegun {
  std::size_t target = 0;
  MonoTime at{};
};
/// The probe's request has left our queue: the wait for the provider begins.
struct ProbeSent {
  std::size_t target = 0;
  MonoTime at{};
};
/// The probe has had no answer for so long that the next decision weighs it.
struct NoAnswerYet {
  std::size_t target = 0;
};
struct HeadCame {
  std::size_t target = 0;
  HeadObservation observation;
};
struct AnswerCame {
  std::size_t target = 0;
  Answer answer;
};
/// The block checks of a comparison of chains were sent.
struct UrgentChecksSent {};
struct HeadsScanned {
  Now now;
};
/// A backend's decisions wait for the first answers of new servers, or do so no more.
struct DecisionsBlocked {
  std::uint32_t backend = 0;
  bool blocked = false;
};
/// HAProxy shows something new of these backends.
struct ViewsChanged {
  struct Of {
    std::uint32_t backend = 0;
    BackendView view;
  };
  std::vector<Of> backends;
};
/// A HAProxy has counted traffic.
struct TrafficCame {
  std::uint32_t backend = 0;
  /// One for each of its servers.
  std::vector<LiveDelta> deltas;
  MonoTime at{};
};
struct Decided {
  Now now;
  /// All backends, not only those with news.
  bool all = false;
};

}  // namespace event

using Event = std::variant<event::ProbeBegun, event::ProbeSent, event::NoAnswerYet, event::HeadCame, event::AnswerCame,
                           event::UrgentChecksSent, event::HeadsScanned, event::DecisionsBlocked, event::ViewsChanged,
                           event::TrafficCame, event::Decided>;

/// Listens to a SystemState.
class EventSink {
 public:
  virtual ~EventSink() = default;
  /// `state` is as it is after the event. Must not change it.
  virtual void record(const Event& event, const SystemState& state) = 0;
  /// `state` has other servers: from here on the indices of events are those of the new list.
  virtual void servers_changed(SystemState& state) = 0;
};

}  // namespace rpcw
