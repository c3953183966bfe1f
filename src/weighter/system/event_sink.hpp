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

/// A head probe is due, and waits for its turn.
struct ProbeBegun {
  std::size_t target = 0;
  MonoTime at{};
};
/// Its request has left our queue: from here on the provider is waited for.
struct ProbeSent {
  std::size_t target = 0;
  MonoTime at{};
};
/// It had no answer for a while.
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
/// Blocks to tell a fork by were asked for.
struct UrgentChecksSent {};
struct HeadsScanned {
  Now now;
};
/// A backend waits for its newcomers' first answers, or does so no more.
struct DecisionsBlocked {
  std::uint32_t backend = 0;
  bool blocked = false;
};
/// HAProxy shows other things than before of these backends.
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
  /// The servers of `state` are others now: the indices of events mean something else from here on.
  virtual void servers_changed(SystemState& state) = 0;
};

}  // namespace rpcw
