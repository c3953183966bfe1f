#include "weighter/allocate/growth.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string_view>

#include "weighter/allocate/scale.hpp"
#include "weighter/constants.hpp"
#include "weighter/schedule/agenda.hpp"

namespace rpcw {
namespace {

/// The least of what limits a share.
class Cap {
 public:
  enum class Kind : std::uint8_t { kNone, kExposure, kGrowth, kIdentity, kQuota, kMaxRate };

  void lower(double share, Kind kind) {
    if (share >= share_) return;
    share_ = share;
    kind_ = kind;
  }
  /// Above any share: no limit.
  [[nodiscard]] double share() const { return share_; }
  [[nodiscard]] Kind kind() const { return kind_; }
  /// Gives way first, where all caps together do not reach the whole traffic: faster growth is better than a
  /// quota that is exceeded.
  [[nodiscard]] bool gives_way() const { return kind_ == Kind::kExposure || kind_ == Kind::kGrowth; }
  /// As ScoreInputs::limited_by.
  [[nodiscard]] std::string_view name() const {
    switch (kind_) {
      case Kind::kNone:
      case Kind::kGrowth:
        return "growth";
      case Kind::kExposure:
        return "exposure";
      case Kind::kIdentity:
        return "identity";
      case Kind::kQuota:
        return "quota";
      case Kind::kMaxRate:
        return "max_rate";
    }
    return {};
  }
  void remove() { *this = {}; }

 private:
  double share_ = 2.0;
  Kind kind_ = Kind::kNone;
};

std::vector<double> shares_of(std::span<const Cap> caps) {
  std::vector<double> out;
  for (const Cap& cap : caps) out.push_back(cap.share());
  return out;
}

/// The server's score as a part of its score at the decision before, at most 1.
double part_left(const Allocation& a, std::size_t i) {
  const std::vector<double>& before = a.history.shares.scores;
  const bool fell = i < before.size() && a.steady[i] < before[i];
  return fell ? a.steady[i] / before[i] : 1.0;
}

/// Each server's earlier share of the group; empty: growth cannot be measured. A server's own fall is taken out before
/// they are normalised: the growth limit on the others must not keep weight on it.
std::vector<double> shares_before(const Allocation& a, const Members& sharing) {
  std::vector<double> out;
  double sum = 0;
  const std::vector<double>& last = a.history.shares.last;
  if (last.empty() && a.view.worker_age < constants::kWorkerSettled) return out;
  // A tier that joins has lost nothing that it would have to earn again.
  if (a.tier_joined) return out;
  for (const std::size_t i : sharing) {
    const ServerView* v = a.shown(i);
    double before = 0;
    if (!last.empty())
      before = last[i] * part_left(a, i);
    else if (v != nullptr)
      before = v->weight;
    out.push_back(before);
    sum += before;
  }
  if (sum <= 0) return {};
  for (double& part : out) part /= sum;
  return out;
}

/// A server was ejected lately, or is on its ramp. One that is ejected for good says nothing about the next minute, so
/// it counts as long as its time-out lasts.
bool is_uneasy(const Allocation& a) {
  return std::ranges::any_of(a.history.servers, [&](const TargetHistory& t) {
    const EjectionHistory& e = t.ejection;
    return e.is_out ? a.now.mono < std::max(e.until, e.since + constants::kUneasyFor) : e.returned_at.has_value();
  });
}

/// `free`: the shares without limits. The excess goes to the other servers, so only those that are worth some traffic
/// count: a server that lags, or does not answer, must not get any because another one has enough.
void limit_exposure(const Allocation& a, std::span<const double> free, std::span<Cap> caps) {
  if (!a.strategy.limits_growth || !is_uneasy(a)) return;
  const auto worthy = std::ranges::count_if(free, [](double share) { return share >= constants::kWorthyShare; });
  if (worthy == 0) return;
  const double most = std::max(constants::kUneasyShare, constants::kUneasyParts / static_cast<double>(worthy));
  if (most >= 1.0) return;
  for (Cap& cap : caps) cap.lower(most, Cap::Kind::kExposure);
}

/// A share grows as quickly as the server is probed. A budget may forbid the probes of a return: then nothing new is
/// known of it.
MonoTime growth_interval(const Allocation& a, std::size_t i) {
  const TargetHistory& t = a.history.servers[i];
  const config::Target& target = a.backend.servers[i].target;
  const MonoTime often = return_interval(target, a.probe);
  const bool probed_often = a.now.mono - t.heads.received.mono < 2 * often;
  return probed_often && is_returning(t, target, a.probe, a.now.mono) ? often : config::interval_of(target, a.probe);
}

void limit_growth(const Allocation& a, const Members& sharing, std::span<const double> before, std::span<Cap> caps) {
  if (before.empty() || !a.strategy.limits_growth) return;
  for (std::size_t k = 0; k < caps.size(); ++k) {
    // Without a decision before, one interval's growth: what a single pass may do.
    const MonoTime interval = growth_interval(a, sharing[k]);
    const MonoTime elapsed = a.history.shares.last.empty() ? interval : a.now.mono - a.history.shares.at;
    const double intervals =
        std::max(0.0, static_cast<double>(elapsed.count()) / static_cast<double>(interval.count()));
    caps[k].lower(std::max(before[k] * (1.0 + constants::kShareGrowth * intervals),
                           before[k] + constants::kShareStep * intervals),
                  Cap::Kind::kGrowth);
  }
}

/// Servers that were verified and do not tell their chain id now keep at most the share that they had, unless all
/// servers are like that.
void limit_untold(const Allocation& a, const Members& sharing, std::span<const double> before, std::span<Cap> caps) {
  const auto untold = [&](std::size_t i) { return must_tell_identity(a.history.servers[i]); };
  if (before.empty() || std::ranges::all_of(sharing, untold)) return;
  const std::vector<double>& last = a.history.shares.last;
  // Not `before`, which grows when others fall.
  for (std::size_t k = 0; k < sharing.size(); ++k)
    if (untold(sharing[k])) caps[k].lower(last.empty() ? before[k] : last[sharing[k]], Cap::Kind::kIdentity);
}

void limit_quotas(const Allocation& a, const Members& sharing, std::span<Cap> caps) {
  for (std::size_t k = 0; k < sharing.size(); ++k) {
    const std::optional<double>& quota = a.out.servers[sharing[k]].inputs.quota_share;
    const bool planned = quota && a.plan_shares[sharing[k]] == quota;
    if (quota) caps[k].lower(*quota, planned ? Cap::Kind::kMaxRate : Cap::Kind::kQuota);
  }
}

}  // namespace

std::vector<double> grown_shares(Allocation& a, const Members& sharing, std::span<const double> scores) {
  std::vector<Cap> caps(sharing.size());
  const std::vector<double> free = shares_below(scores, shares_of(caps));
  const std::vector<double> before = shares_before(a, sharing);
  limit_exposure(a, free, caps);
  limit_growth(a, sharing, before, caps);
  limit_untold(a, sharing, before, caps);
  limit_quotas(a, sharing, caps);

  std::vector<Cap> kept = caps;
  const std::vector<double> limits = shares_of(caps);
  const bool all_capped = std::accumulate(limits.begin(), limits.end(), 0.0) <= 1.0;
  if (all_capped && !std::ranges::all_of(caps, &Cap::gives_way))
    for (Cap& cap : kept)
      if (cap.gives_way()) cap.remove();
  std::vector<double> shares = shares_below(scores, shares_of(kept));
  for (std::size_t k = 0; k < sharing.size(); ++k) {
    if (shares[k] + kVisible < free[k]) a.out.servers[sharing[k]].inputs.limited_by = caps[k].name();
    const bool for_now = caps[k].kind() == Cap::Kind::kGrowth || caps[k].kind() == Cap::Kind::kIdentity;
    if (!before.empty() && (before[k] <= 0 || (for_now && shares[k] < 0.5 * free[k]))) a.far_from_share = true;
  }
  return shares;
}

}  // namespace rpcw
