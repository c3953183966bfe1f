#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "weighter/controller/context.hpp"
#include "weighter/schedule/extra.hpp"

namespace rpcw::control {

/// When each target is checked, and by how many requests: intervals, the first round, batches, missing answers, and the
/// repetitions of a single pass. At most one head request of a target is under way.
class CheckSchedule {
 public:
  /// `file`: the configuration as it was read, whose canaries stay where they are.
  /// `before`: of the controller before, which this one continues.
  CheckSchedule(Context& context, const config::Config& file, ChecksBefore before);

  /// The state has its targets now: announces them and sends the first checks of all that need not wait for longer, by
  /// what their providers have asked for or by their budgets.
  void start();

  /// Identifies each target across a change of the server list, in the state's order.
  [[nodiscard]] std::vector<std::string> keys() const;
  /// The state has other targets now. `before`: `keys()` before the change. Targets that are new get their first
  /// checks.
  void targets_changed(const std::vector<std::string>& before);

  void on(const event::HeadSent& event);
  void on(event::HeadAnswered&& event);
  void on(event::CheckAnswered&& event);
  void on_probe_timer(TargetId target);
  void on_retry_timer(std::uint32_t retry);
  void on_first_answer_timer(TargetId target);

  /// For the controller that replaces this one.
  [[nodiscard]] ChecksBefore checked() const;

  /// Checks these targets (indices of the state) now, as far as their limits allow: traffic or a head looks suspicious.
  void check_now(std::span<const std::size_t> targets);
  /// HAProxy was read: checks servers ahead of time whose clients would be hit by a fault first, as far as the bill
  /// allows.
  void check_exposed();
  /// Checks every target now, as far as its limits allow.
  void check_all();
  /// Sends the checks that cannot wait for the next probe: blocks that tell forks apart, and the chain id of a server
  /// whose heads or traffic look as if it were on another chain.
  void send_urgent();
  /// After a decision: when no server of a backend is healthy any more, all of them are checked at once and more often.
  void follow_outages();
  /// After a decision: targets whose answers it has weighed get their next time.
  void schedule_answered();

  /// Every target has had its chance to answer: the first decision may be made.
  [[nodiscard]] bool all_answered() const { return answered_ == probes_.size(); }
  /// Single pass, when all have answered: asks again for heads that have become old while another target was waited
  /// for, as one that stands still would. Once in a pass; false: there was none to ask for.
  bool ask_old_heads_again();
  /// No request is under way and none waits.
  [[nodiscard]] bool idle() const { return open_ == 0 && queue_.empty() && retries_.empty(); }

 private:
  enum class Wait : std::uint8_t { kNextCheck, kSuspectSilence, kNoticeSilence };
  struct Probe {
    TargetId id = 0;
    /// When its newest check was due, and when the head's request left our queue.
    MonoTime last_start{};
    MonoTime sent_at{};
    /// When it was last checked out of turn; absent: never.
    std::optional<MonoTime> last_extra{};
    /// Of its budget, in requests; absent: it has none.
    std::optional<Allowance> kept{};
    /// The same, as a controller before has left it; absent: there was none.
    std::optional<double> kept_before{};
    bool head_under_way = false;
    bool begun = false;
    /// When its first check was due, for this controller or one before; absent: it was not yet.
    std::optional<MonoTime> first_due;
    /// Of its first round, what is still without an answer.
    bool first_head = false;
    std::vector<Check> first_checks;
    /// Its first round is over, or no decision waits for it.
    bool answered = false;
    /// Decisions about its backend wait for its first round.
    bool blocks_backend = false;
    /// Its head came, and its next check is scheduled after the next decision.
    bool to_schedule = false;
    Wait wait = Wait::kNextCheck;
    /// Its usual latency when the head was asked for.
    double usual_ms = 0;
    /// Single pass: heads still to be asked for, and failed attempts in a row at this one.
    unsigned samples_left = 0;
    unsigned attempts = 0;
    /// Single pass: an earlier one has left a history, which counts a failure by itself.
    bool has_history = false;
    /// Single pass: failed attempts at other checks.
    std::vector<std::pair<Check, unsigned>> check_attempts;
    /// Requests of a combined first round that are not answered yet.
    std::size_t together = 0;
  };
  struct Retry {
    TargetId target = 0;
    /// Absent: the head.
    std::optional<Check> check;
  };
  struct Queued {
    TargetId target = 0;
    std::vector<Check> checks;
  };

  // check_schedule.cpp: requests, answers, and what waits for them.
  /// nullptr: it was removed.
  Probe* find(TargetId target);
  std::size_t index(const Probe& probe) const { return static_cast<std::size_t>(&probe - probes_.data()); }
  Probe new_probe(std::size_t target);
  void go_on(Probe& probe, const std::string& key);
  void count_blockers();
  void check(std::span<const std::size_t> targets);
  std::vector<Check> begin(std::size_t target);
  void send_head(Probe& probe);
  void send_check(Probe& probe, const Check& check);
  void send_queued();
  void answered_one(Probe& probe);
  void settle(Probe& probe);
  void mark_answered(Probe& probe);
  bool retry(Probe& probe, const ProbeFailure& failure, unsigned& attempts, std::optional<Check> check);
  void await_answer(Probe& probe);

  // check_timing.cpp: when the next check is due, and what a check before that costs.
  void schedule(Probe& probe);
  void set_allowances();
  bool may_check_now(Probe& probe);
  /// It has had its extra check of this interval.
  [[nodiscard]] bool had_extra(const Probe& probe) const;
  /// Its budget allows a check before its time.
  bool can_pay(Probe& probe);
  void check_early(Probe& probe);
  /// Takes the price of a check before its time out of the target's budget.
  void pay_early(Probe& probe);
  /// Between two regular checks.
  [[nodiscard]] milliseconds interval_of(const Probe& probe) const;

  Context& c_;
  const config::Config& file_;
  const ChecksBefore before_;
  std::minstd_rand random_;
  /// In the state's order.
  std::vector<Probe> probes_;
  /// By TargetId: index in probes_; kGone: removed.
  std::vector<std::size_t> index_of_;
  std::vector<TargetId> to_schedule_;
  std::size_t answered_ = 0;
  /// By backend: probes that block its decisions.
  std::vector<std::size_t> blockers_;
  /// By backend: the allowance for checks out of turn.
  std::vector<Allowance> extra_;
  /// By backend: since when no server is healthy; absent: some server is.
  std::vector<std::optional<MonoTime>> outage_since_;
  /// Requests under way.
  std::size_t open_ = 0;
  /// Combined first rounds that wait, since queued requests take memory, and targets whose own are under way.
  std::deque<Queued> queue_;
  std::size_t together_open_ = 0;
  std::map<std::uint32_t, Retry> retries_;
  std::uint32_t next_retry_ = 0;
  /// Single pass: old heads were asked for again.
  bool refreshed_ = false;
};

}  // namespace rpcw::control
