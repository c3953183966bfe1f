#include "weighter/lease/election.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <utility>

namespace rpcw::lease {
namespace {

using std::chrono::duration_cast;

/// The deadline is looked at this often, and a process that stood still is found out.
constexpr milliseconds kTick{500};
/// A tick that is so late means that the process stood still: SIGSTOP, a paused virtual machine, a frozen container.
constexpr milliseconds kStill{2'000};
/// Those that wait ask more often than client-go's, which costs the server a GET of 1 KB: what the holder gives back is
/// taken sooner. They spread their attempts, so that they do not collide at each of them.
constexpr milliseconds kLeastWait = kRetryPeriod / 2;

/// The API's MicroTime.
std::string micro_time(WallTime at) {
  const auto ms = at.time_since_epoch();
  const std::time_t seconds = duration_cast<std::chrono::seconds>(ms).count();
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     (ms - std::chrono::seconds(seconds)).count() * 1000);
}

bool same_spec(const Record& a, const Record& b) {
  return a.holder == b.holder && a.duration == b.duration && a.acquired == b.acquired && a.renewed == b.renewed &&
         a.transitions == b.transitions;
}

}  // namespace

Election::Election(std::string name, std::string identity, std::uint32_t seed, Role role)
    : name_(std::move(name)), identity_(std::move(identity)), random_(seed), role_(role) {}

std::vector<Action> Election::on(Event event, Now now) {
  now_ = now;
  note_time();
  std::visit([this](auto&& e) { handle(std::forward<decltype(e)>(e)); }, std::move(event));
  if (stopping_) {
    stop_step();
  } else {
    const bool attempt_soon = pending_ == Pending::kNone && next_try_ > now_.mono;
    out_.emplace_back(action::WakeAt{attempt_soon ? std::min(now_.mono + kTick, next_try_) : now_.mono + kTick});
  }
  return std::exchange(out_, {});
}

milliseconds Election::jittered() {
  // A linear congruential generator (Knuth's MMIX): enough to keep agents apart.
  random_ = random_ * 6364136223846793005U + 1442695040888963407U;
  const double part = static_cast<double>(random_ >> 40U) / static_cast<double>(1U << 24U);
  const auto spread = static_cast<double>((kRetryPeriod - kLeastWait).count());
  return kLeastWait + milliseconds(static_cast<std::int64_t>(part * spread));
}

void Election::log(config::LogLevel level, std::string_view text) {
  out_.emplace_back(action::Log{level, fmt::format("lease {}: {}", name_, text)});
}

void Election::observe(const Record& record) {
  if (!observed_ || !same_spec(*observed_, record)) {
    const bool another = !record.holder.empty() && record.holder != identity_ && holder() != record.holder;
    if (another && !acting_)
      log(config::LogLevel::kInfo, fmt::format("{} holds it; this agent {}", record.holder,
                                               observes() ? "is a dry run and sets no weights" : "stands by"));
    // The first look does not tell a living holder from a dead one.
    if (observed_ && !record.holder.empty() && record.holder != identity_) other_lives_ = true;
    observed_at_ = now_.mono;
  }
  observed_ = record;
}

void Election::stand_down(std::string_view why) {
  acting_ = false;
  log(config::LogLevel::kWarn, fmt::format("{}; this agent sets no weights any more", why));
  out_.emplace_back(action::Acting{false});
}

void Election::write(Record record, bool create) {
  pending_ = Pending::kWrite;
  write_begun_ = now_.mono;
  out_.emplace_back(action::Write{std::move(record), create});
}

std::optional<MonoTime> Election::others_end() const {
  if (holder().empty() || holder() == identity_) return std::nullopt;
  return observed_at_ +
         (observed_->duration.count() > 0 ? duration_cast<milliseconds>(observed_->duration) : kLeaseDuration);
}

/// The next attempt follows after the retry period, or at the very end of another's lease. The holder does not wait
/// longer than that.
void Election::attempt_ended() {
  pending_ = Pending::kNone;
  next_try_ = now_.mono + (acting_ ? kRetryPeriod : jittered());
  if (const auto end = others_end(); end && *end > now_.mono) next_try_ = std::min(next_try_, *end);
}

/// Before each event, whichever comes first after the process stood still.
void Election::note_time() {
  const bool still = last_event_ && now_.mono - *last_event_ > kTick + kStill;
  last_event_ = now_.mono;
  if (still) {
    out_.emplace_back(action::Resumed{});
    cold_ = true;
  }
  if (acting_ && now_.mono >= valid_until_)
    stand_down(fmt::format("it was not renewed for {} s{}", duration_cast<std::chrono::seconds>(kRenewDeadline).count(),
                           still              ? ", since this process stood still"
                           : trouble_.empty() ? ""
                                              : ": " + trouble_));
}

/// An agent that does not ask for the lease for long says why, once.
void Election::note_lack(const std::string& lacks) {
  if (!cold_) {
    cold_since_.reset();
    cold_logged_ = false;
    return;
  }
  if (!cold_since_) cold_since_ = now_.mono;
  if (acting_ || cold_logged_ || lacks.empty() || now_.mono - *cold_since_ < kLeaseDuration) return;
  cold_logged_ = true;
  log(config::LogLevel::kWarn,
      fmt::format("this agent does not ask for it, since its view is not complete: {}", lacks));
}

void Election::handle(event::TimeReached&& event) {
  // `lacks` was found before this event could say that the process stood still.
  const bool resumed =
      std::ranges::any_of(out_, [](const Action& a) { return std::holds_alternative<action::Resumed>(a); });
  cold_ = resumed || !event.lacks.empty();
  if (observes())
    cold_ = false;
  else
    note_lack(event.lacks);
  if (stopping_ || pending_ != Pending::kNone || now_.mono < next_try_) return;
  if (!acting_ && cold_) return;
  pending_ = Pending::kRead;
  out_.emplace_back(action::Read{});
}

void Election::handle(event::Found&& event) {
  if (pending_ != Pending::kRead) return;
  read_ = true;
  if (observes()) {
    if (event.record)
      observe(*event.record);
    else
      observed_.reset();
    trouble_.clear();
    failures_ = 0;
    attempt_ended();
    return;
  }
  Record mine{.holder = identity_,
              .duration = duration_cast<std::chrono::seconds>(kLeaseDuration),
              .acquired = micro_time(now_.wall),
              .renewed = micro_time(now_.wall)};
  if (stopping_ || (!acting_ && cold_)) {
    if (event.record) observe(*event.record);
    attempt_ended();
    return;
  }
  if (!event.record) {
    write(std::move(mine), true);
    return;
  }
  observe(*event.record);
  const Record& found = *observed_;
  const bool ours = found.holder == identity_;
  if (!found.holder.empty() && !ours) {
    if (acting_) stand_down(fmt::format("{} holds it", found.holder));
    if (now_.mono < others_end()) {
      trouble_.clear();
      failures_ = 0;
      attempt_ended();
      return;
    }
  }
  mine.transitions = found.transitions;
  if (ours)
    mine.acquired = found.acquired;
  else
    ++mine.transitions;
  mine.resource_version = found.resource_version;
  write(std::move(mine), false);
}

void Election::handle(event::Written&& event) {
  const bool release = pending_ == Pending::kRelease;
  pending_ = Pending::kNone;
  observed_ = std::move(event.record);
  observed_at_ = now_.mono;
  trouble_.clear();
  failures_ = 0;
  if (release) {
    released_ = true;
    return;
  }
  // From the request's start on: the server may have written it at once, and answered late.
  valid_until_ = write_begun_ + kRenewDeadline;
  if (!acting_ && !cold_ && !stopping_ && now_.mono < valid_until_) {
    acting_ = true;
    log(config::LogLevel::kInfo, "this agent holds it and sets the weights");
    out_.emplace_back(action::Acting{true});
  }
  attempt_ended();
}

void Election::handle(event::Conflict&&) {
  if (pending_ == Pending::kRelease) released_ = true;
  attempt_ended();
}

void Election::handle(event::Failed&& event) {
  if (pending_ == Pending::kRelease) released_ = true;
  if (trouble_ != event.why)
    log(config::LogLevel::kWarn,
        fmt::format("{}; {}", event.why,
                    acting_                               ? "this agent goes on until the lease is over"
                    : role_ == Role::kJoining && !known() ? "this agent goes on alone, as before"
                    : observes()                          ? "the holder is not known"
                                                          : "this agent stands by"));
  trouble_ = std::move(event.why);
  ++failures_;
  attempt_ended();
}

void Election::handle(event::StopRequested&&) {
  stopping_ = true;
}

/// A request that is under way may still make this agent the holder, so it is waited for.
void Election::stop_step() {
  if (finished_ || pending_ != Pending::kNone) return;
  if (observed_ && observed_->holder == identity_ && !released_) {
    if (std::exchange(acting_, false)) out_.emplace_back(action::Acting{false});
    Record record = *observed_;
    record.holder.clear();
    record.duration = std::chrono::seconds{1};
    record.renewed = record.acquired = micro_time(now_.wall);
    pending_ = Pending::kRelease;
    out_.emplace_back(action::Write{std::move(record), false});
    return;
  }
  if (std::exchange(acting_, false)) out_.emplace_back(action::Acting{false});
  finished_ = true;
  out_.emplace_back(action::Finish{});
}

}  // namespace rpcw::lease
