#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "config/config.hpp"

/// Which of several agents sets weights: the rule of Kubernetes' Lease, without I/O, clock or randomness. Events in,
/// actions out. Durations are the observer's own, as in client-go's leaderelection: no clock is compared with another.
namespace rpcw::lease {

// Shorter than client-go's 15, 10 and 2 s, so that a death costs no more than 15 s in all: the standby may see the last
// renewal kRetryPeriod late.
/// Others wait this long after the last change that they have seen before they take over.
inline constexpr milliseconds kLeaseDuration{12'000};
/// The holder stops setting weights this long after it began its last good renewal. The rest up to kLeaseDuration
/// covers an exchange with HAProxy that is under way.
inline constexpr milliseconds kRenewDeadline{8'000};
/// Between two attempts to renew; those that wait try once or twice as often.
inline constexpr milliseconds kRetryPeriod{2'000};

/// A Lease's spec, and its version.
struct Record {
  /// Empty: released.
  std::string holder{};
  /// 0: not given.
  std::chrono::seconds duration{0};
  /// Times as the API writes them; compared, never interpreted.
  std::string acquired{};
  std::string renewed{};
  std::int64_t transitions = 0;
  std::string resource_version{};
};

namespace event {
/// Answers action::Read; absent: there is no such Lease.
struct Found {
  std::optional<Record> record;
};
/// Answers action::Write.
struct Written {
  Record record;
};
/// Answers action::Write: the Lease has changed since it was read.
struct Conflict {};
/// Answers either. `why`: a sentence without secrets.
struct Failed {
  std::string why;
};
/// `lacks`: what the agent's view lacks before it is fresh enough to act on, in words; empty: nothing.
struct TimeReached {
  std::string lacks;
};
struct StopRequested {};
}  // namespace event
using Event = std::variant<event::Found, event::Written, event::Conflict, event::Failed, event::TimeReached,
                           event::StopRequested>;

namespace action {
struct Read {};
/// With the version of the last read, so that it fails where another has written since; `create`: there is none yet.
struct Write {
  Record record;
  bool create = false;
};
/// Give event::TimeReached then; replaces the wake-up before.
struct WakeAt {
  MonoTime at{};
};
/// From now on this agent sets weights, or does not.
struct Acting {
  bool acting = false;
};
/// The process stood still for a while: what it knows is old.
struct Resumed {};
struct Log {
  config::LogLevel level;
  std::string text;
};
/// After StopRequested: nothing is under way and nothing will be.
struct Finish {};
}  // namespace action
using Action = std::variant<action::Read, action::Write, action::WakeAt, action::Acting, action::Resumed, action::Log,
                            action::Finish>;

/// What an agent wants of the lease.
enum class Role : std::uint8_t {
  kCandidate,  ///< to hold it
  kJoining,    ///< the same; it was alone so far, and sets weights without the lease until `known`
  kObserver,   ///< to know the holder: it writes nothing. For a dry run, which sets no weights
};

class Election {
 public:
  /// `name`: of the Lease, for the log. `identity`: unlike any other agent's. `seed`: for the jitter.
  Election(std::string name, std::string identity, std::uint32_t seed, Role role = Role::kCandidate);

  /// `now` must not go back. The first event is TimeReached.
  std::vector<Action> on(Event event, Now now);

  /// Whether weights may be set at this very moment. False from the deadline on, whether or not the loop has turned.
  [[nodiscard]] bool holds(MonoTime now) const { return acting_ && now < valid_until_; }
  /// This agent holds the lease, or another one was seen to renew it. An observer has read it: nothing depends on it.
  [[nodiscard]] bool known() const { return acting_ || other_lives_ || (observes() && read_); }
  /// Attempts in a row that have failed.
  [[nodiscard]] unsigned failures() const { return failures_; }
  /// As last seen; empty: none, or not known.
  [[nodiscard]] std::string holder() const { return observed_ ? observed_->holder : std::string{}; }
  [[nodiscard]] const std::string& identity() const { return identity_; }
  /// Why the last attempt failed; empty: it did not.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }

 private:
  enum class Pending : std::uint8_t { kNone, kRead, kWrite, kRelease };

  [[nodiscard]] bool observes() const { return role_ == Role::kObserver; }

  void handle(event::Found&& event);
  void handle(event::Written&& event);
  void handle(event::Conflict&& event);
  void handle(event::Failed&& event);
  void handle(event::TimeReached&& event);
  void handle(event::StopRequested&& event);

  void observe(const Record& record);
  void write(Record record, bool create);
  void attempt_ended();
  /// When another's lease is over, by what was last seen. Absent: it is free, ours or not known.
  [[nodiscard]] std::optional<MonoTime> others_end() const;
  void note_time();
  void note_lack(const std::string& lacks);
  void stand_down(std::string_view why);
  void stop_step();
  void log(config::LogLevel level, std::string_view text);
  milliseconds jittered();

  const std::string name_;
  const std::string identity_;
  std::uint64_t random_;
  const Role role_;
  std::vector<Action> out_;
  Now now_;
  Pending pending_ = Pending::kNone;
  std::optional<Record> observed_;
  /// When `observed_` was last seen to change.
  MonoTime observed_at_{};
  /// Another holder's record was seen to change.
  bool other_lives_ = false;
  MonoTime write_begun_{};
  MonoTime next_try_{};
  /// The event before.
  std::optional<MonoTime> last_event_;
  /// The agent's view is not fresh, so it may not become the one that counts.
  bool cold_ = true;
  /// Since when; absent: it is fresh.
  std::optional<MonoTime> cold_since_;
  bool cold_logged_ = false;
  /// The Lease was read, or found missing, at least once.
  bool read_ = false;
  bool acting_ = false;
  MonoTime valid_until_{};
  std::string trouble_;
  unsigned failures_ = 0;
  bool stopping_ = false;
  bool released_ = false;
  bool finished_ = false;
};

}  // namespace rpcw::lease
