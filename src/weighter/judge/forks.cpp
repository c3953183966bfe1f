#include "weighter/judge/forks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <utility>

#include "base/text.hpp"
#include "weighter/cadence.hpp"

namespace rpcw {
namespace {

using Group = ForkCheck::Group;

std::string_view operator_of(const config::Backend& backend, std::size_t member) {
  return member < backend.servers.size() ? backend.servers[member].target.operator_name
                                         : backend.references[member - backend.servers.size()].operator_name;
}

std::string shortened(std::string_view hash) {
  constexpr std::size_t kEnough = 12;
  return hash.size() <= kEnough ? std::string(hash) : fmt::format("{}…", hash.substr(0, kEnough));
}

/// Targets by what they have shown: those whose newest blocks are known to each other are one group.
class Groups {
 public:
  Groups(BackendHistory& history, std::span<const ForkVote> votes) : history_(history), votes_(votes) {
    for (const ForkVote& v : votes)
      if (has_shown(v)) heads_.push_back(newest(v));
    std::ranges::sort(heads_, order);
    const auto [first, last] = std::ranges::unique(heads_);
    heads_.erase(first, last);
    parent_.resize(heads_.size());
    std::iota(parent_.begin(), parent_.end(), 0U);
    for (std::size_t i = 1; i < heads_.size(); ++i)
      if (heads_[i - 1].number == heads_[i].number) disputed_.insert(heads_[i].number);
    for (const ForkVote& v : votes)
      if (has_shown(v)) connect(v);
    std::vector<std::uint64_t> other_parents;
    for (const ForkVote& v : votes)
      if (has_shown(v))
        if (const auto height = connect_parent(v)) other_parents.push_back(*height);
    if (history_.forks.parents_hold) disputed_.insert(other_parents.begin(), other_parents.end());
  }

  /// Two targets have shown different blocks of one height.
  [[nodiscard]] bool contradiction() const { return !disputed_.empty(); }
  /// The lowest height of which they have; absent: of none.
  [[nodiscard]] std::optional<std::uint64_t> lowest_disputed() const {
    return disputed_.empty() ? std::nullopt : std::optional(*disputed_.begin());
  }

  /// The targets of which another one has shown a different block, but those whose block more targets have shown than
  /// any other. By their blocks at that height and not by their groups: a target that has moved to another chain still
  /// knows blocks of the one before.
  [[nodiscard]] std::set<std::uint32_t> suspects() const {
    std::set<std::uint32_t> out;
    for (const std::uint64_t height : disputed_) {
      std::map<std::uint64_t, std::vector<std::uint32_t>> shown;
      for (const ForkVote& v : votes_)
        if (const auto block = block_at(v, height)) shown[*block].push_back(v.member);
      std::size_t most = 0;
      for (const auto& [block, members] : shown) most = std::max(most, members.size());
      const bool majority = std::ranges::count_if(shown, [&](const auto& s) { return s.second.size() == most; }) == 1;
      for (const auto& [block, members] : shown)
        if (!majority || members.size() < most) out.insert(members.begin(), members.end());
    }
    return out;
  }

  /// In the order of their first members.
  std::vector<Group> take() {
    std::vector<Group> out;
    std::map<std::size_t, std::size_t> place;
    for (const ForkVote& v : votes_) {
      // Without hashes in heads each target is a group of its own: all are asked for the block.
      if (!has_shown(v)) {
        out.emplace_back().members.push_back(v.member);
        continue;
      }
      const auto [at, fresh] = place.emplace(root(index(newest(v))), out.size());
      if (fresh) out.emplace_back();
      out[at->second].members.push_back(v.member);
    }
    // A target that limits our rate is asked last.
    for (Group& g : out)
      std::ranges::stable_partition(g.members, [&](std::uint32_t m) { return !history_.member(m).probes.limited; });
    return out;
  }

 private:
  static bool order(const SeenBlock& a, const SeenBlock& b) {
    return std::pair(a.number, a.fingerprint) < std::pair(b.number, b.fingerprint);
  }

  bool has_shown(const ForkVote& v) const { return history_.member(v.member).forks.seen_count > 0; }

  const SeenBlock& newest(const ForkVote& v) const {
    const TargetHistory& t = history_.member(v.member);
    return t.forks.seen[t.forks.seen_count - 1];
  }

  std::size_t index(const SeenBlock& block) const {
    return static_cast<std::size_t>(std::ranges::lower_bound(heads_, block, order) - heads_.begin());
  }

  std::size_t root(std::size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }

  void connect(const ForkVote& v) {
    const TargetHistory& t = history_.member(v.member);
    const std::size_t own = index(newest(v));
    for (unsigned k = 0; k + 1 < t.forks.seen_count; ++k) {
      const std::size_t at = index(t.forks.seen[k]);
      if (at < heads_.size() && heads_[at] == t.forks.seen[k]) {
        parent_[root(own)] = root(at);
        continue;
      }
      // Not there, but another block of that height is the newest one of another target.
      const auto same = std::ranges::lower_bound(heads_, t.forks.seen[k].number, {}, &SeenBlock::number);
      if (same != heads_.end() && same->number == t.forks.seen[k].number) disputed_.insert(same->number);
    }
  }

  /// Returns the height where another target's newest block stands in the place of this one's parent; absent: none
  /// does.
  std::optional<std::uint64_t> connect_parent(const ForkVote& v) {
    const std::optional<Head>& head = history_.member(v.member).heads.newest;
    if (!head || head->number == 0 || head->parent.empty()) return std::nullopt;
    const SeenBlock parent{head->number - 1, fnv1a(head->parent)};
    const std::size_t at = index(parent);
    if (at < heads_.size() && heads_[at] == parent) {
      history_.forks.parents_hold = true;
      parent_[root(index(newest(v)))] = root(at);
      return std::nullopt;
    }
    const auto same = std::ranges::lower_bound(heads_, parent.number, {}, &SeenBlock::number);
    return same != heads_.end() && same->number == parent.number ? std::optional(parent.number) : std::nullopt;
  }

  /// The fingerprint of the block that it has shown there, as its own or as its newest one's parent; absent: none.
  [[nodiscard]] std::optional<std::uint64_t> block_at(const ForkVote& v, std::uint64_t height) const {
    const TargetHistory& t = history_.member(v.member);
    for (unsigned k = 0; k < t.forks.seen_count; ++k)
      if (t.forks.seen[k].number == height) return t.forks.seen[k].fingerprint;
    const std::optional<Head>& head = t.heads.newest;
    if (head && head->number == height + 1 && !head->parent.empty() && history_.forks.parents_hold)
      return fnv1a(head->parent);
    return std::nullopt;
  }

  BackendHistory& history_;
  std::span<const ForkVote> votes_;
  /// The different newest blocks, in order.
  std::vector<SeenBlock> heads_;
  std::vector<std::size_t> parent_;
  /// Heights of which different blocks were shown.
  std::set<std::uint64_t> disputed_;
};

bool several_operators(std::span<const ForkVote> votes) {
  return std::ranges::any_of(votes, [&](const ForkVote& v) { return v.operator_name != votes.front().operator_name; });
}

/// All but the largest group.
std::vector<std::uint32_t> minorities(std::span<const Group> groups) {
  std::vector<std::uint32_t> out;
  const auto largest = std::ranges::max_element(groups, {}, [](const Group& g) { return g.members.size(); });
  for (auto g = groups.begin(); g != groups.end(); ++g)
    if (g != largest) out.insert(out.end(), g->members.begin(), g->members.end());
  return out;
}

/// A comparison below the fork shows one chain. So the height where heads contradict each other is kept until
/// comparisons reach it, and that one need not wait for kForkCheckLeast since the last: only since the last such one.
void note_dispute(ForkCheck& check, std::optional<std::uint64_t> height, std::uint64_t highest_head, MonoTime now) {
  // The chain was set back: no head will be there soon.
  if (check.disputed && *check.disputed > highest_head) check.disputed.reset();
  const bool allowed = !check.settled_at || now - *check.settled_at >= kForkCheckLeast;
  if (!check.disputed && allowed) check.disputed = height;
}

void mark_on_agreed_chain(TargetHistory& t) {
  t.forks.compared = true;
  t.forks.minority.clear();
}

}  // namespace

void recheck_identity(TargetHistory& t, MonoTime now, milliseconds least) {
  CheckState& check = t.identity.check;
  check.due = std::min(check.due, std::max(now, check.sent_at + least));
}

void scan_for_forks(BackendHistory& history, const config::Backend& backend, std::span<const ForkVote> votes,
                    MonoTime now) {
  ForkCheck& check = history.forks;
  if (!backend.chain.offers.block || check.height || (check.ever && now < check.next_scan)) return;
  check.next_scan = now + kForkScanEvery;
  if (votes.empty() || !several_operators(votes)) return;
  Groups groups(history, votes);
  std::vector<Group> found = groups.take();
  if (found.size() == 1) {
    for (const std::uint32_t m : found.front().members) mark_on_agreed_chain(history.member(m));
    check.tie.clear();
    check.disputed.reset();
    check.ever = true;
    check.due = now + kNodeStateEvery;
    return;
  }
  const bool newcomer =
      std::ranges::any_of(votes, [&](const ForkVote& v) { return !history.member(v.member).forks.compared; });
  // Without hashes in heads a comparison asks all of them.
  const milliseconds least = backend.chain.offers.hash ? kForkCheckLeast : kForkedEvery;
  const bool allowed = !check.ever || now - check.begun >= least;
  for (const std::uint32_t m : groups.suspects())
    recheck_identity(history.member(m), now, allowed ? milliseconds{0} : kIdentityContradicted);
  std::uint64_t lowest = UINT64_MAX;
  std::uint64_t highest = 0;
  for (const ForkVote& v : votes) {
    lowest = std::min(lowest, history.member(v.member).heads.newest->number);
    highest = std::max(highest, history.member(v.member).heads.newest->number);
  }
  const std::uint64_t height = lowest - std::min<std::uint64_t>(lowest, backend.chain.fork_depth);
  note_dispute(check, groups.lowest_disputed(), highest, now);
  const bool dispute_reached = check.disputed && height >= *check.disputed;
  if (!dispute_reached && !(allowed && (newcomer || groups.contradiction() || now >= check.due))) return;
  if (backend.chain.offers.hash && !groups.contradiction())
    for (const std::uint32_t m : minorities(found)) recheck_identity(history.member(m), now, milliseconds{0});
  check.height = height;
  check.groups = std::move(found);
  check.begun = now;
  check.ever = true;
}

std::vector<BlockCheck> fork_checks(BackendHistory& history) {
  std::vector<BlockCheck> out;
  if (!history.forks.height) return out;
  for (Group& g : history.forks.groups) {
    if (g.state != Group::State::kWanted) continue;
    g.state = Group::State::kAsked;
    out.push_back({g.members.front(), {CheckKind::kBlock, *history.forks.height}});
  }
  return out;
}

void fold_block(BackendHistory& history, std::uint32_t member, const Answer& answer) {
  if (history.forks.height != answer.check.argument) return;
  for (Group& g : history.forks.groups) {
    if (g.members.front() != member || g.state != Group::State::kAsked) continue;
    g.state = answer.value && !answer.value->text.empty() ? Group::State::kAnswered : Group::State::kSilent;
    if (answer.value) g.hash = answer.value->text;
    return;
  }
}

void end_fork_check(BackendHistory& history, const config::Backend& backend, const config::Probe& probe, MonoTime now) {
  ForkCheck& check = history.forks;
  if (!check.height) return;
  const bool missing = std::ranges::any_of(
      check.groups, [](const Group& g) { return g.state == Group::State::kWanted || g.state == Group::State::kAsked; });
  if (missing) {
    milliseconds longest = probe.interval;
    for (const config::Server& s : backend.servers) longest = std::max(longest, config::interval_of(s.target, probe));
    for (const config::Target& t : backend.references) longest = std::max(longest, config::interval_of(t, probe));
    if (now - check.begun <= probe.timeout + longest) return;
  }

  // An operator has one vote, and none if its servers contradict each other.
  std::map<std::string_view, std::set<std::string_view>> said;
  for (const Group& g : check.groups)
    if (g.state == Group::State::kAnswered)
      for (const std::uint32_t m : g.members) said[operator_of(backend, m)].insert(g.hash);
  std::map<std::string_view, unsigned> votes;
  unsigned voters = 0;
  for (const auto& [name, hashes] : said) {
    if (hashes.size() != 1) continue;
    ++votes[*hashes.begin()];
    ++voters;
  }
  std::string_view majority;
  for (const auto& [hash, count] : votes)
    if (voters >= 3 && count * 2 > voters) majority = hash;

  bool any_forked = false;
  const bool judged = !majority.empty() || votes.size() <= 1;
  for (const Group& g : check.groups) {
    for (const std::uint32_t m : g.members) {
      TargetHistory& t = history.member(m);
      t.forks.compared = true;
      if (g.state != Group::State::kAnswered || !judged) continue;
      t.forks.minority.clear();
      if (majority.empty() || g.hash == majority) continue;
      t.forks.minority = fmt::format("block {} is {} here, {} of {} operators say {}", *check.height, shortened(g.hash),
                                     votes[majority], voters, shortened(majority));
      any_forked = true;
    }
  }
  check.tie.clear();
  if (!judged) {
    for (const auto& [hash, count] : votes)
      check.tie += fmt::format("{}{} operator{} {} {}", check.tie.empty() ? "" : ", ", count, count == 1 ? "" : "s",
                               count == 1 ? "says" : "say", shortened(hash));
    check.tie = fmt::format("no majority on block {}: {}", *check.height, check.tie);
  }
  check.due = now + (any_forked || !judged ? kForkedEvery : kNodeStateEvery);
  // Different blocks there settle a dispute above, too: the chains part further below.
  if (any_forked || !judged || (check.disputed && *check.height >= *check.disputed)) {
    check.disputed.reset();
    check.settled_at = check.begun;
  }
  check.height.reset();
  check.groups.clear();
}

}  // namespace rpcw
