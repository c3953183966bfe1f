#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "weighter/allocate/decide.hpp"
#include "weighter/judge/live.hpp"
#include "weighter/state/observation.hpp"

/// All that ever enters a Fleet, as values: whoever applies the same events to a Fleet of the same configuration gets
/// the same weights.
namespace rpcw {

class Fleet;

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
struct Silent {
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
struct Looked {
  Now now;
};
/// A backend waits for its newcomers' first answers, or does so no more.
struct HeldUp {
  std::uint32_t backend = 0;
  bool held_up = false;
};
/// HAProxy shows other things than before of these backends.
struct Seen {
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

using Event =
    std::variant<event::ProbeBegun, event::ProbeSent, event::Silent, event::HeadCame, event::AnswerCame,
                 event::UrgentChecksSent, event::Looked, event::HeldUp, event::Seen, event::TrafficCame, event::Decided>;

/// Listens to a Fleet.
class EventSink {
 public:
  virtual ~EventSink() = default;
  /// `fleet` is as it is after the event. Must not change it.
  virtual void record(const Event& event, const Fleet& fleet) = 0;
  /// The servers of `fleet` are others now: the indices of events mean something else from here on.
  virtual void servers_changed(Fleet& fleet) = 0;
};

}  // namespace rpcw
