#include "weighter/judge/quota.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

#include "weighter/constants.hpp"
#include "weighter/judge/live_rates.hpp"

namespace rpcw {
namespace {

/// More are open than answers that take as long as usual explain.
bool requests_wait(const LiveHistory& h, const LiveDelta& d, double usual_ms, double seconds) {
  const double rate = std::max(rate_of(h), ratio(static_cast<double>(d.requests), seconds));
  const double usually = rate * usual_ms / 1000.0;
  return static_cast<double>(d.open) >= constants::kWaitingLeast + constants::kLivePileFactor * usually;
}

/// What it answers in a second while requests wait; absent: there is no such pace, or it is not known.
std::optional<double> pace_while_waiting(const LiveHistory& h) {
  if (!h.saturation || h.saturation->reads < constants::kSaturatedReads) return std::nullopt;
  const Saturation& s = *h.saturation;
  const auto variance = [&](double sum, double squares) { return squares / s.reads - sum / s.reads * sum / s.reads; };
  const double pace = s.rates / s.reads;
  const double own = variance(s.rates, s.squares);
  const double by_chance = pace * s.reads / s.seconds;
  const double most = constants::kSaturatedSpread * pace;
  if (pace * s.seconds < constants::kLiveEnough || own > most * most + by_chance) return std::nullopt;
  // Where a limit is known, traffic stays near it, and what is sent varies little.
  const bool known = h.quota_per_s && pace <= constants::kSaturatedKnown * *h.quota_per_s;
  const bool apart =
      s.reads >= constants::kSaturatedVaried && variance(s.sent, s.sent_squares) >= constants::kSaturatedVariance * own;
  if (!known && !apart) return std::nullopt;
  return pace;
}

void set_quota(LiveHistory& h, double per_s, MonoTime now) {
  h.quota_per_s = per_s;
  h.quota_at = now;
}

}  // namespace

void note_saturation(TargetHistory& t, const LiveDelta& d, double seconds, double left) {
  std::optional<Saturation>& known = t.live.saturation;
  const double usual = known ? std::min(known->usual_ms, usual_ms(t)) : usual_ms(t);
  const bool waits = requests_wait(t.live, d, usual, seconds);
  if (!known && !waits) return;
  if (!known) known.emplace();
  Saturation& s = *known;
  s.usual_ms = usual;
  for (double* sum : {&s.reads, &s.seconds, &s.rates, &s.squares, &s.sent, &s.sent_squares}) *sum *= left;
  if (!std::exchange(s.waiting, waits) || !waits || seconds <= 0) {
    constexpr double kForgotten = 0.5;
    if (s.reads < kForgotten && !waits && !t.live.quota_per_s) known.reset();
    return;
  }
  const double sent = static_cast<double>(d.requests) / seconds;
  const double answered = static_cast<double>(d.ended - d.failures) / seconds;
  s.reads += 1;
  s.seconds += seconds;
  s.rates += answered;
  s.squares += answered * answered;
  s.sent += sent;
  s.sent_squares += sent * sent;
}

double carried(const LiveHistory& h, const LiveDelta& d, double seconds) {
  const auto requests = static_cast<double>(d.requests);
  const double good = requests - std::min(requests, static_cast<double>(d.client_errors));
  const bool alone = 2 * seconds >= std::chrono::duration<double>(d.elapsed).count();
  return alone ? good / std::max(seconds, 0.1) : rate_of(h) * good / requests;
}

void steer_quota(LiveHistory& h, double everywhere, double carried_per_s, double total_per_s, double fair_per_s,
                 MonoTime now) {
  const double excess = ratio(h.recent.client_errors, h.recent.ended) - everywhere;
  const bool refuses = h.recent.client_errors >= constants::kQuotaRefusals && excess > constants::kQuotaExcess;
  const auto served_per_s = pace_while_waiting(h);
  if (h.recent.requests >= constants::kLiveEnough && (refuses || served_per_s)) {
    // A read that comes long after the one before says too little; what the memory has seen answered bounds it. A pace
    // is what is answered.
    const double answered = rate_of(h) * (1.0 - ratio(h.recent.client_errors, h.recent.ended));
    const double carried =
        constants::kQuotaMargin *
        (refuses ? std::clamp(carried_per_s, constants::kQuotaFallMost * answered, rate_of(h)) : *served_per_s);
    if (h.quota_per_s && now - h.quota_at < constants::kQuotaSettle) return;
    // Only a try for more that meets the limit makes the next one rarer: a provider that refuses everything for some
    // seconds meets it with each read.
    const bool tried = h.quota_per_s && h.quota_step > constants::kQuotaStep;
    if (tried) h.quota_hold = std::min(h.quota_hold * 2, constants::kQuotaHoldMost);
    if (!h.quota_per_s) h.quota_hold = constants::kQuotaHold;
    h.quota_step = constants::kQuotaStep;
    set_quota(h, h.quota_per_s ? std::min(*h.quota_per_s * constants::kQuotaMargin, carried) : carried, now);
    // This evidence is used up: what comes now tells about the new share.
    h.recent.client_errors = 0;
    if (h.saturation) h.saturation = Saturation{.waiting = h.saturation->waiting, .usual_ms = h.saturation->usual_ms};
    return;
  }
  if (!h.quota_per_s || now - h.quota_at < h.quota_hold) return;
  if (*h.quota_per_s >= total_per_s) {
    h.quota_per_s.reset();
    return;
  }
  // From nearly nothing, all of which was refused, a part of it would lead nowhere.
  set_quota(h, *h.quota_per_s + h.quota_step * std::max(*h.quota_per_s, constants::kQuotaGrowthLeast * fair_per_s),
            now);
  h.quota_step = std::min(h.quota_step * 2, constants::kQuotaStepMost);
  h.quota_hold = std::max(h.quota_hold / 2, constants::kQuotaHold);
}

void lower_quota(LiveHistory& h, double left, MonoTime now) {
  if (h.quota_per_s && now - h.quota_at < constants::kQuotaSettle) return;
  if (!h.quota_per_s) h.quota_hold = constants::kQuotaHold;
  h.quota_step = constants::kQuotaStep;
  set_quota(h, std::min(h.quota_per_s.value_or(rate_of(h)), rate_of(h)) * left, now);
}

}  // namespace rpcw
