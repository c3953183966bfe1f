#include "weighter/judge/ejection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "base/text.hpp"
#include "weighter/constants.hpp"
#include "weighter/judge/live.hpp"

namespace rpcw {
namespace {

milliseconds whole_ms(MonoTime t) {
  return std::chrono::duration_cast<milliseconds>(t);
}

bool is_out_by_traffic(const TargetHistory& t) {
  return t.ejection.is_out && !t.live.ejected_because.empty();
}

}  // namespace

Ejections::Ejections(BackendHistory& history, const config::Backend& backend, const config::Probe& probe, MonoTime now,
                     bool blind)
    : history_(history),
      backend_(backend),
      probe_(probe),
      now_(now),
      blind_(blind),
      out_by_traffic_(static_cast<std::size_t>(std::ranges::count_if(history.servers, is_out_by_traffic))) {}

void Ejections::count(std::size_t server, bool bad) {
  TargetHistory& t = history_.servers[server];
  if (bad) {
    t.health.good_in_row = 0;
    ++t.health.bad_in_row;
    t.ejection.quiet_since = now_;
    if (t.health.judged == 0 || t.health.bad_in_row >= probe_.fall) eject(server);
    return;
  }
  t.health.bad_in_row = 0;
  ++t.health.good_in_row;
  if (t.ejection.is_out) {
    if (t.health.good_in_row >= probe_.rise && now_ >= t.ejection.until) readmit(t);
    return;
  }
  forgive_one(server);
}

void Ejections::eject(std::size_t server, bool forgiven) {
  TargetHistory& t = history_.servers[server];
  if (t.ejection.is_out) return;
  t.ejection.is_out = true;
  if (is_out_by_traffic(t)) ++out_by_traffic_;
  t.ejection.since = now_;
  t.ejection.returned_at.reset();
  t.ejection.forgiven = forgiven || blind_;
  if (t.ejection.forgiven) {
    t.ejection.until = now_;
    return;
  }
  constexpr unsigned kMost = 32;
  t.ejection.count = std::min(t.ejection.count + 1, kMost);
  t.ejection.until = now_ + eject_time(backend_, t.ejection.count, backend_.servers[server].name);
}

bool Ejections::traffic_may_eject(Requests requests) const {
  if (requests == Requests::kOfSome && out_by_traffic_ > 0) return false;
  return static_cast<double>(out_by_traffic_ + 1) <=
         constants::kLiveOutMost * static_cast<double>(history_.servers.size());
}

void Ejections::readmit(TargetHistory& t) {
  if (is_out_by_traffic(t)) --out_by_traffic_;
  t.ejection.is_out = false;
  t.ejection.quiet_since = now_;
  // It begins anew: what it did to the traffic before is paid for.
  t.live.ejected_because.clear();
  restart_live(t.live);
  restart_latency(t.latency, t.health.good_in_row);
  if (backend_.ramp > milliseconds{0} && !t.ejection.forgiven) t.ejection.returned_at = now_;
}

/// One ejection for each quiet time that is long enough.
void Ejections::forgive_one(std::size_t server) const {
  TargetHistory& t = history_.servers[server];
  if (t.ejection.count == 0) return;
  const MonoTime last = eject_time(backend_, t.ejection.count, backend_.servers[server].name);
  const MonoTime quiet = std::max(last * constants::kForgiveTimeOuts, MonoTime{constants::kForgiveLeast});
  if (now_ - t.ejection.quiet_since < quiet) return;
  --t.ejection.count;
  t.ejection.quiet_since = now_;
}

void Ejections::forgive_outage() {
  for (std::size_t i = 0; i < history_.servers.size(); ++i) {
    TargetHistory& t = history_.servers[i];
    const MonoTime window = 2 * config::interval_of(backend_.servers[i].target, probe_) + probe_.timeout;
    if (!t.ejection.is_out || t.ejection.count == 0 || now_ - t.ejection.since > window || t.ejection.until <= now_)
      continue;
    --t.ejection.count;
    t.ejection.forgiven = true;
    t.ejection.until = now_;
  }
}

bool Ejections::waive_time_out(std::size_t server) {
  TargetHistory& t = history_.servers[server];
  if (!t.ejection.is_out) return false;
  t.ejection.forgiven = true;
  t.ejection.until = std::min(t.ejection.until, now_);
  if (t.probes.failure || t.probes.limited || t.health.good_in_row < probe_.rise) return false;
  readmit(t);
  return true;
}

ReasonNote Ejections::describe_return(std::size_t server) const {
  const TargetHistory& t = history_.servers[server];
  if (!t.live.ejected_because.empty()) return {Reason::kLiveErrors, t.live.ejected_because};
  if (t.health.good_in_row < probe_.rise)
    return {Reason::kWarmingUp, fmt::format("{} of {} good probes in a row", t.health.good_in_row, probe_.rise)};
  return {Reason::kWarmingUp, fmt::format("answers well, stays out for another {} (ejected {})",
                                          span_text(std::max(whole_ms(t.ejection.until - now_), milliseconds{0})),
                                          counted(t.ejection.count, "time"))};
}

void apply_ramp(EjectionHistory& ejection, const config::Backend& backend, MonoTime now, ServerVerdict& verdict) {
  if (!ejection.returned_at) return;
  const MonoTime back_for = now - *ejection.returned_at;
  if (back_for >= backend.ramp) {
    ejection.returned_at.reset();
    return;
  }
  if (!may_serve(verdict.state)) return;
  const double part = static_cast<double>(back_for.count()) / static_cast<double>(MonoTime{backend.ramp}.count());
  verdict.ramp = std::min(verdict.ramp, std::max(std::sqrt(std::sqrt(part)), constants::kRampStart));
  degrade(verdict, Reason::kWarmingUp,
          fmt::format("back for {} of {}", span_text(whole_ms(back_for)), span_text(backend.ramp)));
}

MonoTime eject_time(const config::Backend& backend, unsigned count, std::string_view seed) {
  milliseconds t = backend.eject_time;
  for (unsigned i = 1; i < count && t < backend.max_eject_time; ++i) t *= 2;
  t = std::min(t, backend.max_eject_time);
  // Then the mixer of SplitMix64: any even spread will do, but it must be the same everywhere.
  std::uint64_t h = fnv1a(seed, kFnvBasis + count);
  h = (h ^ (h >> 30U)) * 0xbf58476d1ce4e5b9U;
  h = (h ^ (h >> 27U)) * 0x94d049bb133111ebU;
  h ^= h >> 31U;
  const double unit = static_cast<double>(h >> 11U) / 9007199254740992.0;
  const double factor = 1.0 + constants::kEjectJitter * (2.0 * unit - 1.0);
  return MonoTime{static_cast<std::int64_t>(static_cast<double>(MonoTime{t}.count()) * factor)};
}

}  // namespace rpcw
