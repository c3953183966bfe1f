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
#include "weighter/event_sink.hpp"
#include "weighter/judge/judge.hpp"
#include "weighter/judge/live.hpp"
#include "weighter/report.hpp"
#include "weighter/state/topology.hpp"

namespace rpcw {

/// A weight that HAProxy should have and does not.
struct WeightChange {
  std::uint32_t backend = 0;
  /// Index in the file.
  std::uint32_t server = 0;
  unsigned from = 0;
  unsigned to = 0;
  /// `to` is a percentage of the weight in haproxy.cfg, 0 or 100: all that a static algorithm takes.
  bool percent = false;
};

/// Everything that is known of all backends: what was observed, what HAProxy shows, what was decided. No I/O and no
/// clock; shared by the single pass and the loop.
class Fleet {
 public:
  /// Keeps a reference to `config`.
  explicit Fleet(const config::Config& config);

  struct Target {
    std::uint32_t backend = 0;
    bool reference = false;
    std::uint32_t index = 0;
  };
  /// Everything to probe, servers before references within a backend. The index is the prober's.
  [[nodiscard]] const std::vector<Target>& targets() const { return targets_; }
  [[nodiscard]] const config::Target& target_config(std::size_t target) const;
  [[nodiscard]] const TargetHistory& history(std::size_t target) const;
  [[nodiscard]] const config::Config& config() const { return config_; }

  /// A head probe is due. Returns what to ask beside it.
  std::vector<Check> begin_probe(std::size_t target, MonoTime now);
  /// Its request has left our queue: silence counts from here. Of several for one head the newest counts.
  void probe_sent(std::size_t target, MonoTime now);
  /// It has had no answer for so long that the next `decide` should weigh that.
  void silent(std::size_t target);
  /// Fold an answer in; the next `decide` counts it.
  void observe(std::size_t target, HeadObservation&& observation);
  void observe(std::size_t target, const Answer& answer);

  struct TargetCheck {
    std::size_t target = 0;
    Check check;
  };
  /// What to ask at once, whenever the next probe is due: blocks to tell a fork by. Each is returned once.
  std::vector<TargetCheck> urgent_checks();
  /// Only looks at the heads, so that `urgent_checks` knows what a first decision needs.
  void look(Now now);

  /// What the HAProxys that can be reached show, for the decisions to come; of each nullptr: not read. A server is in
  /// maintenance, or DOWN, when it is so in all that have it; what else they differ in is as the first has it. With
  /// none at all the last view stays. Returns whether anything that a decision depends on differs from before.
  bool see(std::span<const haproxy::Instance* const> instances);
  bool see(const haproxy::Instance* instance) { return see(std::span(&instance, 1)); }
  /// The same, of those backends of which anything is shown that was not shown before. Precondition: they exist, and
  /// their views have as many servers as the file.
  bool see(std::vector<event::Seen::Of> news);

  /// What a HAProxy has counted of a backend's servers since it was last read, in the order of the file. Returns the
  /// targets to probe at once: their traffic looks bad. Nothing happens for backends with `live = false`.
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

  /// In an order that never leaves a backend without a server on the way: what rises comes before what falls.
  /// Servers whose weight in `instance` is not what is held. Those that it does not have are left out, as are backends
  /// without any verdict. Where several HAProxys were seen and what is held would leave this one with nobody, since its
  /// own states differ, those of its servers that it can use share equally: the healthy ones, else all but the
  /// never-class.
  [[nodiscard]] std::vector<WeightChange> plan(const haproxy::Instance& instance) const;

  /// Names of servers and backends in the file that `instance` lacks, each a sentence.
  [[nodiscard]] std::vector<std::string> missing(const haproxy::Instance& instance) const;

  [[nodiscard]] std::vector<std::string> backend_names() const;

  /// `instance`: what the first reachable HAProxy showed before the decision, for `current_weight`; nullptr: none.
  [[nodiscard]] Report report(Now now, const haproxy::Instance* instance) const;

  /// Takes over what `other` knows of servers and references that have the same backend, chain, name and URL here, and
  /// what it decided for them: a backend whose servers are all the same ones, in whatever order, goes on where it was.
  /// Of others the servers that stay keep their shares, and those that are new begin with nothing; its weights wait for
  /// the next `decide`.
  void adopt(Fleet&& other);

  /// Calls `change`, which changes the servers of the configuration that this fleet refers to and nothing else of it,
  /// and goes on with what is known of those that stay: questions that are under way stay asked, and the weights that
  /// are held stay so. One that is new has no share and the weight 0 until a decision gives it more; a backend with new
  /// servers only holds nothing. Targets have other indices afterwards.
  /// One that was here within constants::kAbsence is no stranger: its ejections, its failures and its quota are known,
  /// while its head and chain are asked for as of anybody new.
  void change_servers(const std::function<void()>& change, MonoTime now);

  /// Whether weights are held for this backend.
  [[nodiscard]] bool decided(std::size_t backend) const { return backends_[backend].decided; }
  /// While it is held up, `decide` leaves a backend out (unless all are wanted).
  void hold_up(std::uint32_t backend, bool held_up);

  /// All that is known of one backend, and what it is known of.
  struct Memory {
    /// Of the backend.
    std::string name;
    /// Keys of its servers and references, in the order of `history`.
    std::vector<std::string> servers;
    std::vector<std::string> references;
    /// Keys of its settings, and of its canaries among them. Others than now: weights may move at once, and what the
    /// canaries have answered says nothing.
    std::string settings;
    std::string canaries;
    BackendHistory history;
    BackendView view;
    BackendDecision decision;
    bool decided = false;
  };
  /// Makes a key of what something is: of its name, which may be shown, and of a text with secrets. Equal keys should
  /// be rare, and are told apart by their order.
  using Keyer = std::function<std::string(std::string_view name, std::string_view secret)>;
  [[nodiscard]] std::vector<Memory> recall(const Keyer& key) const;
  /// As above, of what another process has known: until the first `decide`, `plan` is empty and this fleet is `cold`.
  void adopt(std::vector<Memory>&& memories, const Keyer& key);
  /// Nothing was decided since another process's memories were adopted: they may be old, so everybody should be asked
  /// first.
  [[nodiscard]] bool cold() const { return cold_; }

  /// Grows with all that changes what `recall` returns.
  [[nodiscard]] std::uint64_t changes() const { return changes_; }

  /// From now on `tape` hears of every event that can make a difference; nullptr: nobody does.
  void set_sink(EventSink* sink) { sink_ = sink; }
  /// What the call that the event tells of would do. Precondition: its indices exist here.
  void apply(const Event& event);

  /// Everything that is known of one backend. Plain values, sized as the file is.
  struct Backend {
    BackendHistory history;
    BackendView view;
    BackendDecision decision;
    /// There is news since the last decision.
    bool dirty = true;
    /// `decision` is what HAProxy should have.
    bool decided = false;
    bool held_up = false;
  };
  [[nodiscard]] const Backend& backend(std::size_t backend) const { return backends_[backend]; }
  /// Puts it back. Precondition: each list in it is as long as the file's, or empty where it may be.
  void restore(std::size_t backend, Backend&& known) { backends_[backend] = std::move(known); }
  void restore_blind(bool blind) { blind_ = blind; }
  /// Whether what was asked will still be answered here, and what was decided still be pushed.
  enum class Continuity : std::uint8_t { kNewDaemon, kSameDaemon };

 private:
  TargetHistory& mutable_history(std::size_t target);
  /// Of a backend's first server; its others and its references follow.
  [[nodiscard]] std::size_t first_target(std::uint32_t backend) const { return first_targets_[backend]; }
  void note_blind();
  template <typename Event>
  void tell(Event&& event) const {
    if (sink_ != nullptr) sink_->record(std::forward<Event>(event), *this);
  }
  /// By server: what `plan` brings HAProxy's `row` to. The decision's weights, unless this HAProxy could then send
  /// nobody anything: what several show is joined for a decision, and one may have changed since.
  [[nodiscard]] std::vector<unsigned> wanted_at(std::uint32_t backend, const haproxy::BackendRow& row) const;
  /// What and whose it is, without anything that is known.
  [[nodiscard]] Memory identity(std::size_t backend, const Keyer& key) const;
  void begin();
  void adopt(std::size_t backend, Memory&& was, const Keyer& key, Continuity continuity);

  const config::Config& config_;
  std::vector<Backend> backends_;
  std::vector<Target> targets_;
  std::vector<std::size_t> first_targets_;
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
