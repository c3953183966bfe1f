#include "weighter/judge/live.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "weighter/constants.hpp"
#include "weighter/judge/answer_sizes.hpp"
#include "weighter/judge/live_rates.hpp"
#include "weighter/judge/quota.hpp"
#include "weighter/judge/silence.hpp"
#include "weighter/state/decay.hpp"

namespace rpcw {
namespace {

LiveCounts faded(const LiveCounts& c, double left) {
  return {c.requests * left, c.ended * left, c.failures * left, c.client_errors * left};
}

void add(LiveCounts& to, const LiveCounts& c) {
  to.requests += c.requests;
  to.ended += c.ended;
  to.failures += c.failures;
  to.client_errors += c.client_errors;
}

/// Counts as of `now`. One read counts all servers, so what is left of those counted then is computed once for all.
class Fading {
 public:
  explicit Fading(MonoTime now) : now_(now) {}

  LiveCounts newest(const LiveHistory& h) { return faded(h.newest, left_of(h).newest); }
  LiveCounts recent(const LiveHistory& h) { return faded(h.recent, left_of(h).recent); }
  LiveCounts minute(const LiveHistory& h) { return faded(h.minute, left_of(h).minute); }
  /// The parts that are left of what fades like that.
  double recent_left(const LiveHistory& h) { return left_of(h).recent; }
  double minute_left(const LiveHistory& h) { return left_of(h).minute; }

 private:
  struct Left {
    double newest = 0;
    double recent = 0;
    double minute = 0;
  };

  const Left& left_of(const LiveHistory& h) {
    if (std::exchange(known_, true) && counted_at_ == h.counted_at) return left_;
    counted_at_ = h.counted_at;
    const MonoTime elapsed = now_ - counted_at_;
    left_ = {decay(elapsed, constants::kLiveNewest), decay(elapsed, constants::kLiveRecent),
             decay(elapsed, constants::kLiveMinute)};
    return left_;
  }

  const MonoTime now_;
  bool known_ = false;
  MonoTime counted_at_{};
  Left left_;
};

/// More of what comes by chance than its usual number explains.
bool beyond_chance(double count, double usual) {
  return count > usual + constants::kLiveDeviations * std::sqrt(usual);
}

/// `before`: what the last minute was like.
bool failing_suddenly(const LiveCounts& before, const LiveDelta& d) {
  const double usual = ratio(before.failures, before.ended) * static_cast<double>(d.ended);
  const auto failures = static_cast<double>(d.failures);
  return failures >= constants::kLiveSuddenFailures && beyond_chance(failures, usual);
}

/// Requests that are open when each takes as long as usual (Little's law).
double open_usually(const LiveHistory& h) {
  return rate_of(h) * h.average_ms.value_or(0.0) / 1000.0;
}

/// Clients leave when they have waited for too long, for more than a server usually takes by far. Some leave whatever
/// the server does, as those that ask two at once and take the first answer: that does not count. `seconds`: the time
/// since the read before. Returns how many of those that have just left have failed.
std::uint64_t note_aborts(TargetHistory& t, const LiveDelta& d, double seconds, double left) {
  std::optional<Aborts>& known = t.live.aborts;
  constexpr double kForgotten = 0.1;
  if (d.aborted == 0 && (!known || known->count * left < kForgotten)) {
    known.reset();
    return 0;
  }
  if (!known) known.emplace();
  const double usual = usual_ms(t);
  const double usually = rate_of(t.live) * usual / 1000.0;
  known->count = known->count * left + static_cast<double>(d.aborted);
  known->waited_s = known->waited_s * left + std::max(0.0, static_cast<double>(d.open) - usually) * seconds;
  const double waited_ms = 1000.0 * ratio(known->waited_s, known->count);
  return waited_ms > static_cast<double>(no_answer_noticed(usual).count()) ? d.aborted : 0;
}

/// Notes the servers whose open requests pile up, and sets `suspect` where they seem to begin to. When clients send
/// many at once, they pile up everywhere: that is no server's fault.
void note_waiting(std::span<TargetHistory> servers, std::span<const LiveDelta> deltas, MonoTime now,
                  std::vector<bool>& suspect) {
  double open = 0;
  double usual = 0;
  for (std::size_t i = 0; i < servers.size(); ++i) {
    open += static_cast<double>(deltas[i].open);
    usual += open_usually(servers[i].live);
  }
  for (std::size_t i = 0; i < servers.size(); ++i) {
    LiveHistory& h = servers[i].live;
    const auto own = static_cast<double>(deltas[i].open);
    const double own_usually = open_usually(h);
    const double elsewhere = ratio(open - own, usual - own_usually);
    const double expected = own_usually * std::max(1.0, elsewhere);
    const std::optional<double> before = std::exchange(h.waiting_ms, std::nullopt);
    if (beyond_chance(own - constants::kLivePileSuspected, expected)) suspect[i] = true;
    if (beyond_chance(own - constants::kLivePile, constants::kLivePileFactor * expected)) {
      if (!h.waiting_since) h.waiting_since = now - deltas[i].elapsed;
      // How many there are tells how long they will wait, but few are sent by now where that has taken the share.
      const double here_ms = std::chrono::duration<double, std::milli>(now - *h.waiting_since).count();
      h.waiting_ms = std::min(1000.0 * own / std::max(rate_of(h), 1.0), constants::kWaitingAhead * here_ms);
    } else if (before) {
      // Given back at once, the share would pile them up again.
      const double faded = *before * decay(deltas[i].elapsed, constants::kWaitingHalfLife);
      if (faded > static_cast<double>(constants::kNoAnswerLeast.count())) h.waiting_ms = faded;
    }
    if (!h.waiting_ms) h.waiting_since.reset();
  }
}

/// Answers are timed for some seconds, so that a slow spell is not remembered for longer. `left`: the part that is left
/// of what was known at the read before.
void time_answers(LiveHistory& h, const LiveDelta& d, MonoTime now, double left) {
  h.timed *= left;
  h.timed_ms *= left;
  if (d.average_ms) {
    const bool rises = h.average_ms && *d.average_ms > *h.average_ms;
    const double before = h.average_ms.value_or(0.0);
    h.average_ms =
        rises ? before + (*d.average_ms - before) * blend(now - h.counted_at, constants::kUsualRise) : *d.average_ms;
  }
  if (!d.latency_ms) return;
  h.timed += static_cast<double>(d.timed);
  h.timed_ms += static_cast<double>(d.timed) * *d.latency_ms;
  h.latency_ms = ratio(h.timed_ms, h.timed);
}

/// The rate of failures that is exceeded even if chance was against the server: the lower end of Wilson's interval.
double surely_failing(const LiveCounts& c) {
  if (c.ended <= 0) return 0.0;
  constexpr double kZ2 = constants::kLiveDeviations * constants::kLiveDeviations;
  const double n = c.ended;
  const double p = c.failures / n;
  const double spread = constants::kLiveDeviations * std::sqrt(p * (1 - p) / n + kZ2 / (4 * n * n));
  return std::max(0.0, (p + kZ2 / (2 * n) - spread) / (1 + kZ2 / n));
}

/// The counts of all servers, in their order, for what the others of one show.
class Everybody {
 public:
  void count(const LiveCounts& c) {
    add(sum_, c);
    if (counts_.empty() || rate(c) > rate(counts_[worst_])) worst_ = counts_.size();
    counts_.push_back(c);
  }

  [[nodiscard]] const LiveCounts& of(std::size_t server) const { return counts_[server]; }

  /// The part of the others' requests that failed; 0: they had none. The worst of them does not count where there are
  /// two: one server that fails would make the others' few requests look like failures too.
  [[nodiscard]] double others_rate(std::size_t server) const {
    LiveCounts others = without(sum_, counts_[server]);
    if (counts_.size() > 2 && server != worst_) others = without(others, counts_[worst_]);
    return rate(others);
  }

  [[nodiscard]] bool heard_others(std::size_t server) const { return sum_.ended - counts_[server].ended >= 1.0; }

 private:
  static double rate(const LiveCounts& c) { return ratio(c.failures, c.ended); }
  static LiveCounts without(const LiveCounts& all, const LiveCounts& one) {
    return {.ended = all.ended - one.ended, .failures = all.failures - one.failures};
  }

  std::vector<LiveCounts> counts_;
  LiveCounts sum_;
  std::size_t worst_ = 0;
};

}  // namespace

std::vector<std::size_t> fold_live(std::span<TargetHistory> servers, std::span<const LiveDelta> deltas, MonoTime now,
                                   Requests requests) {
  std::vector<bool> suspect(servers.size());
  /// Negative: there was no read before, so that what was counted belongs to no known time, or there were no requests.
  std::vector<double> carried_per_s(servers.size(), -1.0);
  std::vector<std::optional<double>> off(servers.size());
  double total_per_s = 0;
  double minute_left = 1.0;
  Fading fading(now);
  for (std::size_t i = 0; i < servers.size(); ++i) {
    LiveHistory& h = servers[i].live;
    LiveDelta d = deltas[i];
    // Reads of several HAProxys cover the same time, which counts once.
    const double seconds = std::chrono::duration<double>(std::min(d.elapsed, now - h.counted_at)).count();
    time_answers(h, d, now, fading.recent_left(h));
    off[i] = note_sizes(h.sizes, d, now);
    minute_left = fading.minute_left(h);
    h.newest = fading.newest(h);
    h.recent = fading.recent(h);
    h.minute = fading.minute(h);
    if (d.elapsed > MonoTime{0}) note_saturation(servers[i], d, seconds, fading.minute_left(h));
    const std::uint64_t given_up = note_aborts(servers[i], d, seconds, fading.recent_left(h));
    d.failures += given_up;
    d.ended += given_up;
    suspect[i] = failing_suddenly(h.minute, d);
    h.measured_s = h.measured_s * fading.recent_left(h) + seconds;
    h.counted_at = now;
    const LiveCounts fresh{static_cast<double>(d.requests), static_cast<double>(d.ended),
                           static_cast<double>(d.failures), static_cast<double>(d.client_errors)};
    add(h.newest, fresh);
    add(h.recent, fresh);
    add(h.minute, fresh);
    total_per_s += rate_of(h);
    if (d.elapsed > MonoTime{0} && d.requests > 0) carried_per_s[i] = carried(h, d, seconds);
  }
  compare_sizes(servers, off, minute_left);
  note_waiting(servers, deltas, now, suspect);
  std::vector<std::size_t> suspects;
  for (std::size_t i = 0; i < servers.size(); ++i)
    if (suspect[i] && !servers[i].ejection.is_out) suspects.push_back(i);
  // Clients' own errors fall on all alike, so the least that any server shows is theirs. Pooled, the limits of several
  // providers would hide each other.
  double everywhere = 1.0;
  unsigned heard = 0;
  for (const TargetHistory& t : servers) {
    if (t.live.recent.requests < constants::kLiveEnough) continue;
    everywhere = std::min(everywhere, ratio(t.live.recent.client_errors, t.live.recent.ended));
    ++heard;
  }
  if (heard < 2) everywhere = 0.0;
  if (requests == Requests::kOfSome) everywhere = 1.0;
  for (std::size_t i = 0; i < servers.size(); ++i)
    if (carried_per_s[i] >= 0)
      steer_quota(servers[i].live, everywhere, carried_per_s[i], total_per_s,
                  total_per_s / static_cast<double>(servers.size()), now);
  return suspects;
}

void restart_live(LiveHistory& live) {
  live.newest = {};
  live.recent = {};
  live.minute = {};
  live.measured_s = 0;
  restart_live_latency(live);
  keep_usual_size(live.sizes);
  live.waiting_ms.reset();
  live.waiting_since.reset();
  live.aborts.reset();
  live.saturation.reset();
}

void probe_was_limited(TargetHistory& target, MonoTime now) {
  LiveHistory& server = target.live;
  Fading fading(now);
  if (fading.recent(server).requests < constants::kLiveEnough) return;
  // Limits that come with status 200 show in no counter of HAProxy's: such probes alone tell of them, and not by how
  // much they are exceeded.
  const bool shown = fading.minute(server).client_errors >= 1.0;
  const double left = shown ? constants::kQuotaMargin : constants::kQuotaUnseenLeft;
  lower_quota(server, left, now);
}

std::vector<LiveView> scan_live(std::span<const TargetHistory> servers, MonoTime now, Requests requests) {
  const double out_least = requests == Requests::kOfSome ? constants::kLiveOutHashed : 0.0;
  Everybody all_newest;
  Everybody all_recent;
  Everybody all_minute;
  double total_per_s = 0;
  Fading fading(now);
  for (const TargetHistory& t : servers) {
    all_newest.count(fading.newest(t.live));
    all_recent.count(fading.recent(t.live));
    all_minute.count(fading.minute(t.live));
    total_per_s += rate_of(t.live);
  }
  std::vector<LiveView> out;
  out.reserve(servers.size());
  for (std::size_t i = 0; i < servers.size(); ++i) {
    const LiveHistory& h = servers[i].live;
    LiveView& v = out.emplace_back();
    const auto weigh = [&](const Everybody& all, double out_at, double failures_at_least) {
      const LiveCounts& own = all.of(i);
      if (own.ended < 1.0) return;
      const double peers = all.others_rate(i);
      const double rate = (own.failures + constants::kErrorPrior * peers) / (own.ended + constants::kErrorPrior);
      const double excess = ratio(own.failures, own.ended) - peers;
      v.out = v.out || (excess >= std::max(out_at, out_least) && own.failures >= failures_at_least);
      v.failing = v.failing || (excess >= constants::kLiveFailing && own.failures >= constants::kLiveFailingFailures);
      if (rate < v.error_rate) return;
      v.attempts = own.ended;
      v.failures = own.failures;
      v.peers_rate = peers;
      v.error_rate = rate;
    };
    weigh(all_recent, constants::kLiveOutRecent, constants::kLiveOutRecentFailures);
    weigh(all_minute, constants::kLiveOutMinute, constants::kLiveOutMinuteFailures);
    v.out = v.out || (surely_failing(all_minute.of(i)) >= std::max(constants::kLiveOutFew, out_least) &&
                      all_minute.heard_others(i) && all_minute.others_rate(i) <= constants::kLiveOutFewOthers);
    const LiveCounts& newest = all_newest.of(i);
    const double others = all_newest.others_rate(i);
    v.out = v.out || (newest.failures >= constants::kLiveOutRecentFailures &&
                      surely_failing(newest) - others >= std::max(constants::kLiveOutSurely, out_least));
    if (h.timed * decay(now - h.counted_at, constants::kLiveRecent) >= constants::kLiveEnough)
      v.latency_ms = h.latency_ms;
    v.waiting_ms = h.waiting_ms;
    v.sizes_differ = requests == Requests::kOfAll && sizes_differ(h.sizes);
    if (total_per_s > constants::kQuotaTrafficLeast) v.backend_per_s = total_per_s;
    if (h.quota_per_s && total_per_s > constants::kQuotaTrafficLeast)
      v.quota_share = std::min(1.0, *h.quota_per_s / total_per_s);
  }
  return out;
}

}  // namespace rpcw
