#include "weighter/judge/heads.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "weighter/cadence.hpp"
#include "weighter/constants.hpp"
#include "weighter/judge/forks.hpp"

namespace rpcw {
namespace {

double blocks_in(milliseconds span, milliseconds block_time) {
  return static_cast<double>(span.count()) / static_cast<double>(std::max<std::int64_t>(block_time.count(), 1));
}

std::uint64_t distance(std::uint64_t a, std::uint64_t b) {
  return a > b ? a - b : b - a;
}

/// The highest head of all operators but one. Keeps two heads, so that asking for each operator takes no search.
class HighestOfOthers {
 public:
  void add(const Vote& vote) {
    if (best_ && best_->operator_name == vote.operator_name) {
      best_->number = std::max(best_->number, vote.number);
    } else if (!best_ || vote.number > best_->number) {
      next_ = std::exchange(best_, vote);
    } else if (!next_ || vote.number > next_->number) {
      next_ = vote;
    }
  }
  /// Absent: there is no other.
  [[nodiscard]] std::optional<std::uint64_t> than(std::string_view operator_name) const {
    const auto& highest = best_ && best_->operator_name != operator_name ? best_ : next_;
    return highest ? std::optional(highest->number) : std::nullopt;
  }

 private:
  std::optional<Vote> best_;
  /// Of another operator than the best.
  std::optional<Vote> next_;
};

/// Votes on the claim that the chain has reached a height.
struct ClaimVotes {
  /// Within max_lag of it.
  unsigned in_favour = 0;
  /// Too far below, with a head so fresh that the chain cannot have gone there since: by a liar's claim, not by its own
  /// fault. A head that is older than max_lag may just stand still, and says nothing.
  unsigned against = 0;
  std::uint64_t highest_against = 0;
};

ClaimVotes weigh(std::span<const Vote> votes, std::uint64_t claim, milliseconds block_time, milliseconds max_lag) {
  ClaimVotes out;
  for (const Vote& v : votes) {
    if (lag_time(distance(v.number, claim), block_time) <= max_lag) {
      ++out.in_favour;
    } else if (v.number < claim &&
               (v.age <= max_lag || !rise_explained(claim - v.number, v.age, block_time, max_lag))) {
      ++out.against;
      out.highest_against = std::max(out.highest_against, v.number);
    }
  }
  return out;
}

class Heads {
 public:
  Heads(BackendHistory& history, const config::Backend& backend, const config::Probe& probe, Now now)
      : history_(history),
        backend_(backend),
        probe_(probe),
        now_(now),
        block_time_(block_time_for_lag(history.block_time, backend.chain)) {}

  HeadView run() {
    end_fork_check(history_, backend_, probe_, now_.mono);
    each([&](TargetHistory& t, const config::Target& cfg, std::uint32_t member) {
      notice_jump(t);
      notice_break(t);
      if (has_vote(t, cfg)) voters_.push_back({&t, &cfg, member});
    });
    const bool was_behind = history_.clock.behind;
    notice_slow_clock();
    const bool clock_behind = history_.clock.behind;
    if (!clock_behind) std::erase_if(voters_, [](const Voter& s) { return came_from_future(s.target->heads); });
    confirm_jumps();
    std::vector<Vote> votes;
    for (const Voter& s : voters_)
      if (!s.target->heads.jumped && s.target->forks.minority.empty())
        votes.push_back(
            {s.config->operator_name, s.target->heads.newest->number, now_.wall - s.target->heads.newest->timestamp});
    HeadView out;
    out.clock_behind = clock_behind;
    out.clock_found_behind = clock_behind && !was_behind;
    out.agreed = agree_on_head(votes, block_time_, backend_.chain.max_lag);
    for (const Voter& s : voters_)
      if (out.agreed && !s.target->heads.jumped && s.target->forks.minority.empty() &&
          s.target->heads.newest->number == out.agreed->number)
        out.agreed_timestamp = std::max(out.agreed_timestamp, s.target->heads.newest->timestamp);
    find_furthest(out);
    out.no_quorum = !out.agreed && !votes.empty();
    for (const Vote& v : votes) {
      if (!out.agreed || lag_time(distance(v.number, out.agreed->number), block_time_) > backend_.chain.max_lag)
        continue;
      if (out.near_operator.empty()) out.near_operator = v.operator_name;
      out.several_near = out.several_near || v.operator_name != out.near_operator;
    }
    if (out.agreed && all_too_old(*out.agreed)) {
      out.clock_ahead = rises_late(*out.agreed);
      out.halted = !out.clock_ahead;
    } else if (out.agreed) {
      history_.clock.too_old_head.reset();
    }
    if (out.agreed && !out.halted) measure(*out.agreed);
    if (out.agreed) compare_chains(*out.agreed);
    return out;
  }

 private:
  struct Voter {
    TargetHistory* target;
    const config::Target* config;
    std::uint32_t member;
  };

  template <typename Action>
  void each(Action action) {
    std::uint32_t member = 0;
    for (std::size_t i = 0; i < history_.servers.size(); ++i)
      action(history_.servers[i], backend_.servers[i].target, member++);
    for (std::size_t i = 0; i < history_.references.size(); ++i)
      action(history_.references[i], backend_.references[i], member++);
  }

  bool has_vote(const TargetHistory& t, const config::Target& cfg) const {
    const bool verified = t.identity.status == IdentityHistory::Status::kVerified || backend_.chain.identity.empty();
    return verified && t.heads.newest && !t.probes.failure && !heads_contradict(t) &&
           now_.mono - t.heads.received.mono <= fresh_for(cfg);
  }

  milliseconds fresh_for(const config::Target& cfg) const {
    return constants::kVoteIntervals * config::interval_of(cfg, probe_) + probe_.timeout;
  }

  /// A majority of operators, and at least two, whose heads came from the future, shows that this clock is behind. It
  /// stays so while they are the majority of those with a vote, even of one: the others may fail meanwhile. Only the
  /// younger part of a block's life may lie in the future, so a head counts until three more should have come.
  void notice_slow_clock() {
    std::map<std::string_view, bool> dated_ahead;
    for (const Voter& s : voters_) {
      const auto& at = s.target->heads.dated_ahead_at;
      const milliseconds counts_for = fresh_for(*s.config) + constants::kDatedAheadBlocks * block_time_;
      bool& ahead = dated_ahead[s.config->operator_name];
      // Not in the future when it came, but now: the clock was set back meanwhile.
      const bool set_back = s.target->heads.newest->timestamp > now_.wall + constants::kClockTolerance;
      ahead = ahead || set_back || (at && now_.mono - *at <= counts_for);
    }
    if (dated_ahead.empty()) return;
    const auto count = std::ranges::count_if(dated_ahead, [](const auto& o) { return o.second; });
    const bool majority = 2 * count > std::ssize(dated_ahead);
    history_.clock.behind = majority && (count >= 2 || history_.clock.behind);
  }

  /// By the heads' own timestamps, not by the time between two probes: a node that catches up covers days in seconds,
  /// and its blocks are dated accordingly.
  void notice_jump(TargetHistory& t) const {
    if (!has_next_head(t)) return;
    const Head& before = *t.heads.previous;
    if (t.heads.newest->number < before.number) t.heads.jumped = false;
    if (t.heads.newest->number <= before.number) return;
    if (rise_explained(t.heads.newest->number - before.number, t.heads.newest->timestamp - before.timestamp,
                       block_time_, backend_.chain.max_lag))
      return;
    t.heads.jumped = true;
    // It may be another chain by now.
    t.identity.check.due = now_.mono;
  }

  /// The newest head is not the next one of the chain before: a reorganisation, or another chain under the same URL.
  void notice_break(TargetHistory& t) const {
    if (!has_next_head(t)) return;
    const Head& before = *t.heads.previous;
    const Head& now = *t.heads.newest;
    if (before.hash.empty() || now.hash.empty()) return;
    const bool replaced = now.number == before.number && now.hash != before.hash;
    const bool elsewhere = history_.forks.parents_hold && now.number == before.number + 1 && !now.parent.empty() &&
                           now.parent != before.hash;
    if (replaced || elsewhere) recheck_identity(t, now_.mono, kIdentityContradicted);
  }

  /// A head that was not judged yet, with one before it.
  static bool has_next_head(const TargetHistory& t) {
    return t.health.judged != t.probes.observations && t.heads.newest && t.heads.previous && !t.probes.failure &&
           !t.probes.limited;
  }

  /// A jump counts until another operator has come near it, and not at all when there is no other: then the chain's
  /// pace may have changed, and no vote proves the contrary. Nor does it when another server, be it of the same
  /// operator, is as high: a node that catches up faster than blocks are made is behind or level, and not ahead.
  void confirm_jumps() {
    const auto tolerance = static_cast<std::uint64_t>(blocks_in(backend_.chain.max_lag, block_time_)) + 1;
    // Heads that have not jumped, or whose jump is confirmed.
    HighestOfOthers trusted;
    std::uint64_t highest_trusted = 0;
    for (const Voter& s : voters_) {
      if (s.target->heads.jumped) continue;
      trusted.add({s.config->operator_name, s.target->heads.newest->number});
      highest_trusted = std::max(highest_trusted, s.target->heads.newest->number);
    }
    const bool any_trusted = std::ranges::any_of(voters_, [](const Voter& s) { return !s.target->heads.jumped; });
    for (const Voter& s : voters_) {
      if (!s.target->heads.jumped) continue;
      const std::uint64_t number = s.target->heads.newest->number;
      const auto highest = trusted.than(s.config->operator_name);
      const bool confirmed =
          number <= highest_trusted || (highest && (*highest >= number || distance(*highest, number) <= tolerance));
      if (!confirmed && any_trusted) continue;
      s.target->heads.jumped = false;
      trusted.add({s.config->operator_name, number});
    }
  }

  void find_furthest(HeadView& out) const {
    for (const Voter& s : voters_) {
      const Head& head = *s.target->heads.newest;
      if (s.target->heads.jumped || !s.target->forks.minority.empty()) continue;
      if (now_.wall - head.timestamp > backend_.chain.max_lag) continue;
      const bool true_to_agreed =
          !out.agreed || head.number <= out.agreed->number ||
          rise_explained(head.number - out.agreed->number, head.timestamp - out.agreed_timestamp, block_time_,
                         backend_.chain.max_lag);
      if (true_to_agreed && (!out.furthest || head.number > out.furthest->number)) out.furthest = head;
    }
  }

  /// Whether two operators or more are near the agreed head, and no head is young enough.
  bool all_too_old(const AgreedHead& agreed) const {
    if (!backend_.chain.max_block_age) return false;
    std::string_view first;
    bool two_operators = false;
    for (const Voter& s : voters_) {
      const TargetHistory& t = *s.target;
      if (t.heads.jumped) continue;
      if (!too_old(t, *backend_.chain.max_block_age, config::interval_of(*s.config, probe_), now_)) return false;
      if (lag_time(distance(t.heads.newest->number, agreed.number), block_time_) > backend_.chain.max_lag) continue;
      two_operators = two_operators || (!first.empty() && first != s.config->operator_name);
      first = s.config->operator_name;
    }
    return two_operators;
  }

  /// All heads are too old. Whether the agreed head has risen of late, to a block that was too old already when it
  /// came: then the chain goes on, and dates are late or this clock is ahead. The last block before a halt was young.
  bool rises_late(const AgreedHead& agreed) {
    ClockHistory& clock = history_.clock;
    const bool came_too_old = std::ranges::all_of(voters_, [&](const Voter& s) {
      const HeadHistory& h = s.target->heads;
      return h.newest->number != agreed.number || h.received.wall - h.newest->timestamp > *backend_.chain.max_block_age;
    });
    if (clock.too_old_head && agreed.number > *clock.too_old_head && came_too_old) clock.late_rise_at = now_.mono;
    clock.too_old_head = std::max(clock.too_old_head.value_or(0), agreed.number);
    milliseconds interval = probe_.interval;
    for (const Voter& s : voters_) interval = std::max(interval, config::interval_of(*s.config, probe_));
    return clock.late_rise_at && now_.mono - *clock.late_rise_at <=
                                     std::max(*backend_.chain.max_block_age, constants::kVoteIntervals * interval);
  }

  void measure(const AgreedHead& agreed) {
    const auto witness = std::ranges::find_if(voters_, [&](const Voter& s) {
      return !s.target->heads.jumped && s.target->heads.newest->number == agreed.number;
    });
    if (witness == voters_.end()) return;
    const Head& head = *witness->target->heads.newest;
    BlockTime& b = history_.block_time;
    if (!b.anchor || head.number < b.anchor->number || head.timestamp < b.anchor->timestamp) {
      b.anchor = head;
      return;
    }
    const std::uint64_t blocks = head.number - b.anchor->number;
    const milliseconds span = head.timestamp - b.anchor->timestamp;
    if (blocks < constants::kBlockTimeBlocks || span < constants::kBlockTimeSpan) return;
    const milliseconds sample{span.count() / static_cast<std::int64_t>(std::min<std::uint64_t>(blocks, 1U << 30U))};
    b.measured = b.measured ? (*b.measured + sample) / 2 : sample;
    b.anchor = head;
  }

  void compare_chains(const AgreedHead& agreed) {
    std::vector<ForkVote> votes;
    for (const Voter& s : voters_)
      if (!s.target->heads.jumped && (s.target->forks.seen_count > 0 || !backend_.chain.offers.hash) &&
          lag_time(distance(s.target->heads.newest->number, agreed.number), block_time_) <= backend_.chain.max_lag)
        votes.push_back({s.member, s.config->operator_name});
    scan_for_forks(history_, backend_, votes, now_.mono);
  }

  BackendHistory& history_;
  const config::Backend& backend_;
  const config::Probe& probe_;
  const Now now_;
  const milliseconds block_time_;
  std::vector<Voter> voters_;
};

}  // namespace

bool too_old(const TargetHistory& target, milliseconds limit, milliseconds interval, Now now) {
  const auto since = std::chrono::duration_cast<milliseconds>(now.mono - target.heads.received.mono);
  const milliseconds not_looked = std::max(std::min(since, interval) - limit / 2, milliseconds{0});
  return now.wall - target.heads.newest->timestamp - not_looked > limit;
}

milliseconds lag_time(std::uint64_t blocks, milliseconds block_time) {
  constexpr std::uint64_t kEnough = 1'000'000'000;  // a lag beyond it is no different, and the product stays in range
  return milliseconds{static_cast<std::int64_t>(std::min(blocks, kEnough)) *
                      std::min<std::int64_t>(block_time.count(), 86'400'000)};
}

bool rise_explained(std::uint64_t blocks, milliseconds dated, milliseconds block_time, milliseconds max_lag) {
  return lag_time(blocks, block_time) <= constants::kExplainedPace * std::max(dated, milliseconds{0}) + max_lag;
}

std::optional<AgreedHead> agree_on_head(std::span<const Vote> votes, milliseconds block_time, milliseconds max_lag) {
  std::vector<Vote> freshest(votes.begin(), votes.end());
  std::ranges::sort(freshest, [](const Vote& a, const Vote& b) {
    return a.operator_name != b.operator_name ? a.operator_name < b.operator_name : a.number > b.number;
  });
  const auto [first, last] = std::ranges::unique(freshest, {}, &Vote::operator_name);
  freshest.erase(first, last);
  if (freshest.empty()) return std::nullopt;
  std::ranges::sort(freshest, std::ranges::greater{}, &Vote::number);

  while (freshest.size() >= 3) {
    const std::uint64_t claim = freshest[1].number;
    const ClaimVotes w = weigh(freshest, claim, block_time, max_lag);
    if (w.against == 0 || w.in_favour > w.against) break;
    if (w.in_favour == w.against) return std::nullopt;
    std::erase_if(freshest, [&](const Vote& v) {
      return v.number > w.highest_against && lag_time(v.number - w.highest_against, block_time) > max_lag;
    });
  }
  std::uint64_t number = freshest.front().number;
  if (freshest.size() >= 3)
    number = freshest[1].number;
  else if (freshest.size() == 2 && lag_time(freshest[0].number - freshest[1].number, block_time) > max_lag)
    return std::nullopt;
  const auto reached = std::ranges::count_if(freshest, [&](const Vote& v) { return v.number >= number; });
  return AgreedHead{number, static_cast<unsigned>(reached)};
}

HeadView scan_heads(BackendHistory& history, const config::Backend& backend, const config::Probe& probe, Now now) {
  return Heads(history, backend, probe, now).run();
}

bool says_it_is_syncing(const TargetHistory& target, const BlockTime& block_time, const config::Backend& backend) {
  return target.node.blocks_missing && !target.heads.level_with_others &&
         lag_time(*target.node.blocks_missing, block_time_for_lag(block_time, backend.chain)) > backend.chain.max_lag;
}

}  // namespace rpcw
