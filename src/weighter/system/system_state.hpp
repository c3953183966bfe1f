#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "weighter/allocate/decide.hpp"
#include "weighter/judge/judge.hpp"
#include "weighter/judge/live.hpp"
#include "weighter/state/topology.hpp"
#include "weighter/system/event_sink.hpp"
#include "weighter/system/snapshot.hpp"

namespace rpcw {

/// Everything that is known of one backend. Plain values, sized as the file is.
struct BackendState {
  BackendHistory history;
  BackendView view;
  BackendDecision decision;
  /// Something that a decision depends on has changed since the last one.
  bool dirty = true;
  /// The weights of `decision` are applied: HAProxy is brought to them.
  bool decided = false;
  /// No decision is made for now: answers are awaited first.
  bool blocked = false;
  /// `decision` was made without earlier weights and without HAProxy's. The first read replaces its weights by
  /// HAProxy's, from which the next decision goes on.
  bool guessed = false;
};

/// Everything that is known of all backends: what was observed, what HAProxy shows, what was decided. No I/O and no
/// clock; shared by the single pass and the loop.
class SystemState {
 public:
  /// Keeps a reference to `config`.
  explicit SystemState(const config::Config& config);

  struct Target {
    std::uint32_t backend = 0;
    bool reference = false;
    std::uint32_t index = 0;
  };
  /// Everything to probe, servers before references within a backend. The index is the prober's. A backend that
  /// follows another one has none.
  [[nodiscard]] const std::vector<Target>& targets() const { return targets_; }
  [[nodiscard]] const config::Target& target_config(std::size_t target) const;
  [[nodiscard]] const TargetHistory& history(std::size_t target) const;
  [[nodiscard]] const config::Config& config() const { return config_; }

  /// A head probe is due. Returns the checks to send beside it.
  std::vector<Check> begin_probe(std::size_t target, MonoTime now);
  /// The probe's request has left our queue: the wait counts from here. Of several requests for one head the newest
  /// counts.
  void probe_sent(std::size_t target, MonoTime now);
  /// The probe has had no answer for so long that the next `decide` weighs it.
  void note_no_answer(std::size_t target);
  /// Fold an answer in; the next `decide` counts it.
  void observe(std::size_t target, HeadObservation&& observation);
  void observe(std::size_t target, const Answer& answer);

  struct TargetCheck {
    std::size_t target = 0;
    Check check;
  };
  /// The checks to send at once, whenever the next probe is due: blocks of a comparison of chains. Each is returned
  /// once.
  std::vector<TargetCheck> urgent_checks();
  /// Finds the agreed head without a decision, so that `urgent_checks` has the blocks that a first decision needs.
  void scan(Now now);

  /// Takes what the HAProxys that can be reached show, for the decisions to come; nullptr: that one was not read. See
  /// `join` for where they differ. With none at all the last view stays. Returns whether anything that a decision
  /// depends on has changed.
  bool update_views(std::span<const haproxy::Instance* const> instances);
  bool update_views(const haproxy::Instance* instance) { return update_views(std::span(&instance, 1)); }
  /// The same for the backends whose views differ from before. Precondition: they exist, and their views have as many
  /// servers as the file.
  bool update_views(std::vector<event::ViewsChanged::Of> news);

  /// `deltas`: what a HAProxy has counted of the backend's servers since it was last read, in the order of the file.
  /// Returns the targets to probe at once, since their traffic looks bad. Does nothing for backends with `live =
  /// false`.
  std::vector<std::size_t> observe_live(std::uint32_t backend, const std::vector<LiveDelta>& deltas, MonoTime now);

  struct Change {
    std::uint32_t backend = 0;
    /// The decision that was replaced.
    BackendDecision before;
  };
  /// Decides anew for all backends with news since the last call (or all, with `all`), and returns these.
  std::vector<Change> decide(Now now, bool all = false);

  /// As of the last `decide`: no provider of any backend can be reached, so that the fault is more likely ours.
  [[nodiscard]] bool blind() const { return blind_; }

  /// Empty before the first `decide`.
  [[nodiscard]] const BackendDecision& decision(std::size_t backend) const { return backends_[backend].decision; }

  [[nodiscard]] std::vector<std::string> backend_names() const;

  /// The backend whose targets and verdicts this one goes by: itself, or the one that it follows.
  [[nodiscard]] std::uint32_t judged_by(std::uint32_t backend) const { return judged_by_[backend]; }
  /// Of a backend that follows another one: by server, its index there; absent: it is not there.
  [[nodiscard]] const std::vector<std::optional<std::uint32_t>>& judged_as(std::uint32_t backend) const {
    return judged_as_[backend];
  }

  /// Takes over what `other` knows of servers and references that have the same backend, chain, name and URL here, and
  /// what it decided for them: a backend whose servers are all the same ones, in whatever order, goes on where it was.
  /// Of others the servers that stay keep their shares, and those that are new begin with nothing; its weights wait for
  /// the next `decide`.
  void adopt(SystemState&& other);

  /// Calls `change`, which may change only the servers of the configuration that this state refers to. Servers that
  /// stay keep their history, their checks under way and their applied weight. New ones start with no share and weight
  /// 0; a backend of new ones alone has no applied weights. Indices of targets change. A server that left within
  /// constants::kAbsence keeps its latency, its errors, its ejections and its quota, while its head and chain are asked
  /// for as of a new one.
  void change_servers(const std::function<void()>& change, MonoTime now);

  /// Whether this backend was decided at least once by this process, or has no servers. Unlike `decided` also where no
  /// server has a verdict, as when all are rate-limited from the start: then there are no weights to apply.
  [[nodiscard]] bool has_decision(std::size_t backend) const {
    const BackendState& b = backends_[backend];
    return b.history.servers.empty() || (!cold_ && b.decision.servers.size() == b.history.servers.size());
  }
  /// Whether this backend has applied weights.
  [[nodiscard]] bool decided(std::size_t backend) const { return backends_[backend].decided; }
  /// While it is blocked, `decide` leaves a backend out (unless all are wanted).
  void block_decisions(std::uint32_t backend, bool blocked);

  /// The knowledge to store, one for each backend.
  [[nodiscard]] std::vector<BackendSnapshot> snapshot(const Keyer& key) const;
  /// As adopt() above, from another process: until the first `decide` this state is `cold`.
  void adopt(std::vector<BackendSnapshot>&& snapshots, const Keyer& key);
  /// No decision was made since another process's snapshots were adopted: they may be old, so nothing is pushed, and
  /// every target should be probed first.
  [[nodiscard]] bool cold() const { return cold_; }

  /// Grows with all that changes what `snapshot` returns.
  [[nodiscard]] std::uint64_t changes() const { return changes_; }

  /// From now on `sink` gets every event that can make a difference; nullptr: none does.
  void set_sink(EventSink* sink) { sink_ = sink; }
  /// Does what the recorded call has done. Precondition: the event's indices exist here.
  void apply(const Event& event);

  [[nodiscard]] const BackendState& backend(std::size_t backend) const { return backends_[backend]; }
  /// Puts it back. Precondition: each list in it is as long as the file's, or empty where it may be.
  void restore(std::size_t backend, BackendState&& known) { backends_[backend] = std::move(known); }
  void restore(bool blind, bool cold) {
    blind_ = blind;
    cold_ = cold;
  }

 private:
  TargetHistory& mutable_history(std::size_t target);
  /// The verdict on a backend that follows another one, from `judged`, the other's. Copies the histories of its
  /// servers.
  BackendVerdict follow(std::uint32_t backend, const BackendVerdict& judged, Now now);
  /// Of a backend's first server; its others and its references follow.
  [[nodiscard]] std::size_t first_target(std::uint32_t backend) const { return first_targets_[backend]; }
  Change decide_one(std::uint32_t backend, BackendVerdict&& verdict, Now now);
  /// Whether no provider of any backend can be reached: sets `blind`, and the reason of all servers.
  void note_blind();
  /// HAProxy is read for the first time: the next decision goes on from its weights.
  static void take_weights(BackendState& backend, const BackendView& view);
  template <typename Event>
  void record(Event&& event) const {
    if (sink_ != nullptr) sink_->record(std::forward<Event>(event), *this);
  }
  /// Sizes everything for the configuration's servers, of which nothing is known yet.
  void begin();

  const config::Config& config_;
  std::vector<BackendState> backends_;
  std::vector<Target> targets_;
  std::vector<std::size_t> first_targets_;
  std::vector<std::uint32_t> judged_by_;
  std::vector<std::vector<std::optional<std::uint32_t>>> judged_as_;
  /// Servers that HAProxy does not have any more, those that left last at the end.
  struct Departed {
    std::string key;
    MonoTime at{};
    TargetHistory history;
  };
  std::deque<Departed> departed_;
  bool blind_ = false;
  EventSink* sink_ = nullptr;
  bool cold_ = false;
  std::uint64_t changes_ = 0;
};

}  // namespace rpcw
