#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/said.hpp"
#include "weighter/controller/context.hpp"
#include "weighter/plan/client_release.hpp"
#include "weighter/plan/other_writers.hpp"
#include "weighter/plan/planner.hpp"
#include "weighter/report.hpp"

namespace rpcw::control {

/// One HAProxy: when it is read, which weights it is sent, and what is made of its answers. One exchange is under way
/// at a time. A running agent reads it again and again; a single pass reads it once and waits for the decision.
class EndpointControl {
 public:
  EndpointControl(Context& context, EndpointId id, const config::Endpoint& endpoint);

  [[nodiscard]] EndpointId id() const { return id_; }
  [[nodiscard]] const config::Endpoint& endpoint() const { return endpoint_; }
  /// As last read, with the weights confirmed since; nullptr: not reachable.
  [[nodiscard]] const haproxy::Instance* instance() const { return instance_ ? &*instance_ : nullptr; }
  /// The same, but the last one known while it is not reachable: a restart moves no server. nullptr: never read.
  [[nodiscard]] const haproxy::Instance* last() const { return last_ ? &*last_ : instance(); }
  [[nodiscard]] bool busy() const { return exchange_ != Exchange::kNone; }
  /// It was read, or the attempt failed.
  [[nodiscard]] bool was_tried() const { return was_tried_; }
  /// Why it could not be read the last time; empty: it could.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }

  /// Starts the exchange that is due, if any, and sets the timer of the next.
  void step();
  /// Targets may be different now: they are pushed with the next step.
  void wake() { woken_ = true; }
  /// Something looks wrong that this HAProxy may see as well: it is read soon, as far as that costs it little.
  void read_soon();
  /// Its servers are read again at once.
  void read_again();
  /// Whether its name still leads to it. A HAProxy that its name does not lead to any more is watched until it does not
  /// answer, at most for a minute: a Kubernetes service leaves out pods that are ending and still have traffic.
  void set_listed(bool listed);
  /// Its name does not lead to it any more, and its time is over. Logged by the call that finds it so.
  [[nodiscard]] bool has_left();

  void on(event::InfoRead&& event);
  /// Targets (indices of the state) whose traffic looks bad; nullopt: nothing was read.
  std::optional<std::vector<std::size_t>> on(event::ServersRead&& event);
  void on(event::WeightsAnswered&& event);
  void on(event::LevelRead&& event);
  void on(event::ClientsReleased&& event);

  /// Single pass: the decision is made, and this HAProxy may be brought to it.
  void allow_push() { push_allowed_ = true; }
  /// Single pass: nothing is left to do here.
  [[nodiscard]] bool done() const;
  /// Single pass: an algorithm turned out to be static, so that the decision may be another one.
  [[nodiscard]] bool take_found_static() { return std::exchange(found_static_, false); }
  [[nodiscard]] EndpointReport report() const;
  /// For the controller that replaces this one.
  [[nodiscard]] StaticBackends static_backends() const {
    return {endpoint_.text, instance_ ? instance_->pid : 0, percent_};
  }
  /// What is missing before it has all the weights that it should have, a line; empty: nothing, it is not reachable, or
  /// it refuses them.
  [[nodiscard]] std::string unsettled() const;
  /// It refuses weights because of its socket's level, a line; empty: it does not, or is not reachable.
  [[nodiscard]] std::string denied() const;

 private:
  enum class Exchange : std::uint8_t { kNone, kInfo, kServers, kLevel, kWeights, kRelease };
  using Key = OtherWriters::Key;

  // endpoint_control.cpp: reading, and what a read shows.
  void read();
  void read_all();
  [[nodiscard]] milliseconds interval() const;
  void note_cost(std::uint64_t bytes);
  void note_worker(bool was_reachable, std::int64_t old_pid, haproxy::Worker worker);
  void log_worker(bool was_reachable, std::int64_t old_pid);
  void mark_static();
  std::vector<std::size_t> observe_traffic(const haproxy::Instance* before, haproxy::Instance& fresh);
  void failed(const haproxy::Failure& failure);
  void lost(const haproxy::Failure& failure);

  // endpoint_push.cpp: weights and released clients, and other writers.
  bool push();
  void push_once();
  [[nodiscard]] std::vector<WeightChange> planned() const;
  void send(const std::vector<WeightChange>& changes);
  [[nodiscard]] Key key_of(const WeightChange& change) const;
  void confirm(const Key& key, const WeightChange& change);
  void note_refusal(const Key& key, const WeightChange& change, const haproxy::Outcome& outcome);
  void refused_static(const std::string& backend);
  void push_failed(const haproxy::Failure& failure, std::set<Key> unconfirmed);
  void log_push_trouble();
  void follow_ejections();
  bool release();
  bool is_contended(const WeightChange& change);
  [[nodiscard]] bool is_left_alone(const Key& key) const;
  [[nodiscard]] bool is_to_cross(const Key& key) const;
  void mark_contended();

  void log_notes();
  /// `fields`: besides the endpoint, here and below.
  void log_once(const std::string& what, std::string_view event = "message",
                std::vector<std::pair<std::string_view, std::string>> fields = {});
  void log(config::LogLevel level, std::string message, std::string_view event = "message",
           std::vector<std::pair<std::string_view, std::string>> fields = {});
  [[nodiscard]] const std::string& name() const { return endpoint_.text; }

  Context& c_;
  const EndpointId id_;
  const config::Endpoint endpoint_;
  Exchange exchange_ = Exchange::kNone;
  /// There may be something to push.
  bool woken_ = false;
  /// Since when its name does not lead to it; absent: it does.
  std::optional<MonoTime> unlisted_;
  std::optional<haproxy::Instance> instance_;
  /// While it is not reachable: the last one known; absent: never read.
  std::optional<haproxy::Instance> last_;
  bool was_tried_ = false;
  std::string trouble_;
  /// Servers are read with every read, or less often where that would cost HAProxy too much: `affordable_` apart.
  MonoTime servers_read_at_{};
  milliseconds affordable_{0};
  MonoTime next_read_{};
  /// When traffic was counted last.
  MonoTime counted_at_{};
  /// The last read has shown something that the next one should settle.
  bool suspicious_ = false;
  /// At the last read clients sent enough for a quick look at the next counts to tell something.
  bool busy_ = false;
  bool pace_logged_ = false;
  bool ever_reached_ = false;
  /// Reads and pushes are told apart: each may work without the other.
  struct Trouble {
    /// The kinds that were logged since it last worked.
    std::set<haproxy::Error> logged;
    /// Before the next attempt; 0: the last one worked.
    milliseconds back_off{0};
  };
  Trouble reads_;
  Trouble pushes_;
  /// Why the last push was not confirmed, until a read shows whether HAProxy is there at all.
  std::optional<haproxy::Failure> unlogged_;
  /// After a push that was not confirmed: no other one before then; absent: none has to wait.
  std::optional<MonoTime> next_push_;
  /// Servers whose weight may have been set or not by the last push.
  std::set<Key> unconfirmed_;
  /// When the last read of the servers, and the one under way, began.
  MonoTime read_begun_{};
  MonoTime reading_since_{};
  struct Refused {
    /// It is not sent again before.
    MonoTime until{};
    haproxy::Refusal why{};
  };
  /// Servers whose weight was refused.
  std::map<Key, Refused> refused_;
  OtherWriters writers_;
  /// Backends of this worker that take only 0 % and 100 %.
  std::set<std::string> percent_;
  /// Logged about this worker already.
  Said logged_;
  /// The push under way: its changes and their servers. Another list may give the servers other numbers meanwhile.
  std::vector<WeightChange> sent_;
  std::vector<Key> sent_to_;
  ClientRelease clients_;

  // Single pass.
  bool push_allowed_ = false;
  bool found_static_ = false;
  /// 0: not pushed yet. After a refusal of a static algorithm there is a second round.
  unsigned rounds_ = 0;
  bool finished_ = false;
  EndpointReport report_;
};

}  // namespace rpcw::control
