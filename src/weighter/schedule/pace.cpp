#include "weighter/schedule/pace.hpp"

#include <algorithm>

#include "config/url.hpp"
#include "weighter/cadence.hpp"

namespace rpcw {
namespace {

constexpr milliseconds kDay{86'400'000};

std::uint64_t times_a_day(milliseconds interval) {
  return static_cast<std::uint64_t>((kDay.count() + interval.count() / 2) / interval.count());
}

/// The shortest interval from `least` on whose bill the budget covers; the longest one where none does.
milliseconds affordable(const config::Backend& backend, bool reference, double a_day, milliseconds least) {
  const auto covered = [&](milliseconds interval) {
    return static_cast<double>(bill_of(backend, reference, interval).sum()) <= a_day;
  };
  milliseconds low = least;
  milliseconds high = std::max(config::kMostInterval, least);
  if (covered(low)) return low;
  // Bills fall as intervals grow.
  while (high - low > milliseconds{1}) {
    const milliseconds middle = low + (high - low) / 2;
    (covered(middle) ? high : low) = middle;
  }
  // Rounded up, for people who read it.
  using std::chrono::seconds;
  const milliseconds step = high < seconds{10} ? milliseconds{10} : high < seconds{60} ? milliseconds{100} : seconds{1};
  return std::min((high + step - milliseconds{1}) / step * step, std::max(config::kMostInterval, least));
}

bool is_automatic(const config::Target& target, const config::Probe& probe) {
  return target.own_interval ? target.own_interval->count() == 0 : probe.auto_interval;
}

}  // namespace

Bill& Bill::operator+=(const Bill& more) {
  heads += more.heads;
  identity += more.identity;
  node_state += more.node_state;
  canaries += more.canaries;
  return *this;
}

Bill bill_of(const config::Backend& backend, bool reference, milliseconds interval) {
  const Offers& offers = backend.chain.offers;
  // Other checks go beside heads, so they are no more frequent.
  const auto beside = [&](milliseconds every) { return times_a_day(std::max(every, interval)); };
  Bill out;
  out.heads = times_a_day(interval) * offers.head_requests;
  if (offers.identity && !backend.chain.identity.empty()) out.identity = beside(kIdentityEvery);
  if (reference) return out;
  if (offers.syncing) out.node_state += beside(kNodeStateEvery);
  if (backend.min_peers > 0 && offers.peers) out.node_state += beside(kNodeStateEvery);
  for (const config::Canary& canary : backend.canaries) out.canaries += beside(canary.interval);
  return out;
}

bool paced_by_address(const config::Target& target, const config::Probe& probe) {
  return is_automatic(target, probe) && target.own_budget == 0;
}

config::Pace pace_with(milliseconds interval, const config::Probe& probe) {
  if (interval == probe.interval) return {};
  return {.interval = interval,
          .fast_interval =
              probe.auto_fast_interval ? config::fast_interval_for(interval) : std::min(probe.fast_interval, interval)};
}

config::Pace pace_of(const config::Target& target, bool reference, const config::Backend& backend,
                     const config::Probe& probe) {
  double budget = target.own_budget > 0 ? target.own_budget : probe.budget;
  milliseconds interval = probe.interval;
  if (is_automatic(target, probe)) {
    if (!probe.auto_interval) interval = kHostedEvery;
    const auto parts = url::parse(target.url);
    const bool own = parts && url::is_own_network(parts->host);
    if (own) budget = target.own_budget;
    if (own || budget > 0) interval = std::min(interval, kOwnEvery);
  } else if (target.own_interval) {
    interval = *target.own_interval;
  }
  if (budget > 0) interval = affordable(backend, reference, budget * (1.0 - kBudgetKept), interval);
  config::Pace out = pace_with(interval, probe);
  out.budget = budget;
  return out;
}

void set_paces(config::Config& config) {
  for (config::Backend& b : config.backends) {
    for (config::Server& s : b.servers) s.target.pace = pace_of(s.target, false, b, config.probe);
    for (config::Target& t : b.references) t.pace = pace_of(t, true, b, config.probe);
  }
}

}  // namespace rpcw
