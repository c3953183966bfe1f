#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "store/archive.hpp"
#include "weighter/constants.hpp"
#include "weighter/state/haproxy_view.hpp"
#include "weighter/state/history.hpp"

/// The fields of histories, with their names and bounds. `A` is Saver or Loader.
namespace rpcw::store::fields {

using std::chrono::microseconds;

/// The upper bound of a number that may be any.
inline constexpr std::uint64_t kAny = UINT64_MAX;
inline constexpr std::array<std::string_view, 3> kIdentities{"unknown", "verified", "wrong"};
inline constexpr std::array<std::string_view, 5> kStates{"healthy", "degraded", "ejected", "unknown", "disabled"};
inline constexpr std::array<std::string_view, 4> kGroupStates{"wanted", "asked", "answered", "silent"};
inline constexpr std::array<std::string_view, 3> kFallbacks{"equal", "keep", "least-bad"};

// Every template below begins by binding all fields of its struct: a new field does not compile until it is named
// here, and the tests of the round trip fill every field.

template <typename A>
void check(A& a, const char* name, FieldsOf<A, CheckState>& c) {
  auto& [due, sent_at, waiting, refusals] = c;
  a.object(name, [&](A& o) {
    o.ago("due_ago_us", due);
    o.ago("asked_ago_us", sent_at);
    o.integer("refusals", refusals, 0U, kMostCount);
    if (o.exact) o.boolean("waiting", waiting);
  });
}

template <typename A>
void live_counts(A& a, const char* name, FieldsOf<A, LiveCounts>& c) {
  auto& [requests, ended, failures, client_errors] = c;
  a.object(name, [&](A& o) {
    o.real("requests", requests, 0, kMostReal);
    o.real("ended", ended, 0, kMostReal);
    o.real("failures", failures, 0, kMostReal);
    o.real("client_errors", client_errors, 0, kMostReal);
  });
}

template <typename A>
void level_test(A& a, FieldsOf<A, LevelTest>& t) {
  auto& [spread, centre, count, down, up] = t;
  a.object("level", [&](A& o) {
    o.real("spread", spread, constants::kLevelSpreadLeast, kMostReal);
    o.real("centre", centre, -kMostReal, kMostReal);
    o.real("count", count, 0, constants::kLevelSamples);
    o.real("down", down, 0, kMostReal);
    o.real("up", up, 0, kMostReal);
  });
}

template <typename A>
void size_change(A& o, FieldsOf<A, SizeChange>& s) {
  auto& [usual, others, others_off, began] = s;
  o.real("usual", usual, 0, kMostReal);
  o.real("others", others, 0, kMostReal);
  o.real("others_off", others_off, -kMostReal, kMostReal);
  o.ago("began_ago_us", began);
}

template <typename A>
void sizes(A& a, FieldsOf<A, AnswerSizes>& s) {
  auto& [answers, bytes, level, newest, changed_at, change] = s;
  a.object("sizes", [&](A& o) {
    o.real("answers", answers, 0, kMostReal);
    o.real("bytes", bytes, 0, kMostReal);
    level_test(o, level);
    o.real("newest", newest, 0, kMostReal);
    o.ago("changed_ago_us", changed_at);
    o.maybe("change", change, size_change<A>);
  });
}

template <typename A>
void saturation(A& o, FieldsOf<A, Saturation>& s) {
  auto& [waiting, usual_ms, reads, seconds, rates, squares, sent, sent_squares] = s;
  o.boolean("waiting", waiting);
  o.real("usual_ms", usual_ms, 0, kMostReal);
  o.real("reads", reads, 0, kMostReal);
  o.real("seconds", seconds, 0, kMostReal);
  o.real("rates", rates, 0, kMostReal);
  o.real("squares", squares, 0, kMostReal);
  o.real("sent", sent, 0, kMostReal);
  o.real("sent_squares", sent_squares, 0, kMostReal);
}

template <typename A>
void aborts(A& o, FieldsOf<A, Aborts>& s) {
  auto& [count, waited_s] = s;
  o.real("count", count, 0, kMostReal);
  o.real("waited_s", waited_s, 0, kMostReal);
}

template <typename A>
void live(A& a, FieldsOf<A, LiveHistory>& l) {
  auto& [newest, recent, minute, counted_at, measured_s, timed, timed_ms, latency_ms, answer_sizes, average_ms,
         waiting_ms, waiting_since, given_up, saturated, quota_per_s, quota_at, quota_hold, quota_step,
         ejected_because] = l;
  a.object("live", [&](A& o) {
    live_counts(o, "newest", newest);
    live_counts(o, "recent", recent);
    live_counts(o, "minute", minute);
    o.ago("counted_ago_us", counted_at);
    o.real("measured_s", measured_s, 0, kMostReal);
    o.real("timed", timed, 0, kMostReal);
    o.real("timed_ms", timed_ms, 0, kMostReal);
    o.real("latency_ms", latency_ms, 0, kMostReal);
    sizes(o, answer_sizes);
    o.real("average_ms", average_ms, 0, kMostReal);
    o.real("waiting_ms", waiting_ms, 0, kMostReal);
    o.ago("waiting_since_ago_us", waiting_since);
    o.maybe("aborts", given_up, aborts<A>);
    o.maybe("saturation", saturated, saturation<A>);
    o.real("quota_per_s", quota_per_s, 0, kMostReal);
    o.ago("quota_ago_us", quota_at);
    o.duration("quota_hold_ms", quota_hold, milliseconds{0}, milliseconds{kMostMs});
    o.real("quota_step", quota_step, 0, 1);
  });
  a.text("live_out", ejected_because);
}

template <typename A>
void latency(A& a, FieldsOf<A, LatencyHistory>& l) {
  auto& [newest, newest_count, smoothed_ms, smoothed_at, level] = l;
  a.list("latencies", newest, newest_count,
         [](A& o, FieldsOf<A, microseconds>& us) { o.duration("us", us, microseconds{0}, microseconds{kMostUs}); });
  a.real("smoothed_latency_ms", smoothed_ms, 0, kMostReal);
  a.ago("smoothed_ago_us", smoothed_at);
  level_test(a, level);
}

template <typename A>
void forks(A& a, FieldsOf<A, ForkHistory>& f) {
  auto& [seen, seen_count, compared, minority] = f;
  a.list("seen", seen, seen_count, [](A& o, FieldsOf<A, SeenBlock>& b) {
    auto& [number, fingerprint] = b;
    o.integer("number", number, std::uint64_t{0}, kAny);
    o.integer("fingerprint", fingerprint, std::uint64_t{0}, kAny);
  });
  a.boolean("compared", compared);
  a.text("forked", minority);
}

template <typename A>
void target(A& a, FieldsOf<A, TargetHistory>& t) {
  auto& [identity, heads, probes, errors, node, fork_history, latencies, live_history, health, ejection] = t;
  auto& [status, seen_identity, identity_check, untold, in_doubt] = identity;
  auto& [newest, received, dated_ahead_at, previous, jumped, lag_blocks, level_with_others, falls, steady, slipping,
         stood_still] = heads;
  auto& [failure, limited, not_sent, limited_in_row, sent_at, unanswered_for, observations] = probes;
  auto& [attempts, failures, counted_at] = errors;
  auto& [blocks_missing, peers, syncing_check, peers_check, canaries, node_observations] = node;
  auto& [judged, node_judged, good_in_row, bad_in_row, was_disabled] = health;
  auto& [is_out, since, until, ejections, forgiven, quiet_since, returned_at] = ejection;

  a.choice("identity", status, kIdentities);
  a.text("seen_identity", seen_identity);
  check(a, "identity_inquiry", identity_check);
  a.boolean("identity_untold", untold);
  a.boolean("identity_in_question", in_doubt);

  a.head("head", newest);
  a.wall("head_received_ms", received.wall);
  a.ago("head_received_ago_us", received.mono);
  a.ago("dated_ahead_ago_us", dated_ahead_at);
  a.head("previous_head", previous);
  a.boolean("jumped", jumped);
  a.integer("lag_blocks", lag_blocks, std::uint64_t{0}, kAny);
  a.boolean("level_with_others", level_with_others);
  a.integer("head_falls", falls, 0U, kMostCount);
  a.integer("steady_heads", steady, 0U, kMostCount);
  a.demand(newest || !lag_blocks, "lag_blocks", "must be left out where there is no head");

  a.failure("failure", failure);
  a.failure("limited", limited);
  a.failure("not_asked", not_sent);
  a.integer("limited_in_row", limited_in_row, 0U, kMostCount);

  a.integer("blocks_missing", blocks_missing, std::uint64_t{0}, kAny);
  a.integer("peers", peers, std::uint64_t{0}, kAny);
  check(a, "syncing_inquiry", syncing_check);
  check(a, "peers_inquiry", peers_check);
  a.list("canaries", canaries, kMostTargets, [](A& o, FieldsOf<A, CanaryHistory>& c) {
    auto& [canary_check, canary_failure] = c;
    check(o, "inquiry", canary_check);
    o.failure("failure", canary_failure);
  });
  a.integer("slow_observations", node_observations, std::uint64_t{0}, kAny);
  a.integer("slow_judged", node_judged, std::uint64_t{0}, kAny);

  forks(a, fork_history);
  latency(a, latencies);
  a.duration("silent_for_us", unanswered_for, microseconds{0}, microseconds{kMostUs});

  a.real("attempts", attempts, 0, kMostReal);
  a.real("failures", failures, 0, kMostReal);
  a.ago("counted_ago_us", counted_at);

  live(a, live_history);

  a.integer("observations", observations, std::uint64_t{0}, kAny);
  a.integer("judged", judged, std::uint64_t{0}, kAny);
  a.integer("good_in_row", good_in_row, 0U, kMostCount);
  a.integer("bad_in_row", bad_in_row, 0U, kMostCount);
  a.boolean("ejected", is_out);
  a.ago("ejected_ago_us", since);
  a.ago("out_until_ago_us", until);
  a.integer("ejections", ejections, 0U, 1000U);
  a.boolean("forgiven", forgiven);
  a.boolean("stood_still", stood_still);
  a.boolean("slipping", slipping);
  a.ago("quiet_ago_us", quiet_since);
  a.ago("returned_ago_us", returned_at);
  a.boolean("was_disabled", was_disabled);
  if (a.exact) a.ago("asked_ago_us", sent_at);
}

template <typename A>
void view(A& a, FieldsOf<A, BackendView>& v) {
  auto& [servers, usable_foreign_backup, algorithm, worker_age] = v;
  a.maybe_list("servers", servers, [](A& o, FieldsOf<A, ServerView>& s) {
    auto& [disabled, backup, weight, configured_weight, down, stuck] = s;
    o.boolean("disabled", disabled);
    o.boolean("backup", backup);
    o.boolean("down", down);
    o.boolean("stuck", stuck);
    o.integer("weight", weight, 0U, 256U);
    o.integer("configured_weight", configured_weight, 0U, 256U);
  });
  a.boolean("usable_foreign_backup", usable_foreign_backup);
  a.text("algorithm", algorithm);
  a.duration("worker_age_s", worker_age, std::chrono::seconds{0}, std::chrono::seconds{kMostMs / 1000});
}

/// `members`: how many targets there are.
template <typename A>
void fork_check(A& a, FieldsOf<A, ForkCheck>& f, std::uint32_t members) {
  auto& [height, groups, begun, ever, disputed, settled_at, next_scan, due, tie, parents_hold] = f;
  a.ago("begun_ago_us", begun);
  a.boolean("ever", ever);
  a.integer("disputed", disputed, std::uint64_t{0}, kAny);
  a.ago("settled_ago_us", settled_at);
  a.ago("next_look_ago_us", next_scan);
  a.ago("due_ago_us", due);
  a.text("tie", tie);
  a.boolean("parents_hold", parents_hold);
  if (!a.exact) return;
  // The comparison that is under way.
  a.integer("height", height, std::uint64_t{0}, kAny);
  a.list("groups", groups, kMostTargets, [&](A& o, FieldsOf<A, ForkCheck::Group>& g) {
    auto& [group_members, state, hash] = g;
    o.list("members", group_members, kMostTargets,
           [&](A& m, FieldsOf<A, std::uint32_t>& i) { m.integer("target", i, 0U, std::max(members, 1U) - 1); });
    o.demand(!group_members.empty() && members > 0, "members", "must have elements");
    o.choice("state", state, kGroupStates);
    o.text("hash", hash);
  });
}

/// The knowledge of a backend besides its targets, which come first.
template <typename A>
void beside_targets(A& a, FieldsOf<A, BackendHistory>& h) {
  auto& [servers, references, block_time, clock, forks, shares, leadership, tiers] = h;
  auto& [anchor, measured] = block_time;
  auto& [clock_behind, too_old_head, late_rise_at] = clock;
  auto& [parts, decided_at, scores, fell_back, kept, converging] = shares;
  auto& [lead, looked_up, backup_leader] = leadership;
  auto& [leader, challenger, challenger_since] = lead;
  auto& [serving_tier, tier_spare_since] = tiers;
  const std::size_t count = servers.size();
  a.head("block_time_anchor", anchor);
  a.duration("block_time_ms", measured, milliseconds{0}, milliseconds{kMostMs});
  a.flag("clock_behind", clock_behind);
  a.integer("too_old_head", too_old_head, std::uint64_t{0}, kAny);
  a.ago("late_rise_ago_us", late_rise_at);
  const auto members = static_cast<std::uint32_t>(count + references.size());
  a.object("forks", [&](A& o) { fork_check(o, forks, members); });

  // Rounding may make the only share a hair more than 1.
  a.reals("shares", parts, 0, 1.001);
  a.demand(parts.empty() || parts.size() == count, "shares", "must have one element for each server, or none");
  a.ago("shares_ago_us", decided_at);
  // The best that there is: 1/(1 ms) + 1/(1 ms), times the highest preference.
  a.reals("scores", scores, 0, 201);
  a.demand(scores.empty() || scores.size() == count, "scores", "must have one element for each server, or none");
  a.boolean("fell_back", fell_back);
  a.integers("kept", kept, 0U, 256U);
  a.demand(kept.empty() || kept.size() == count, "kept", "must have one element for each server, or none");
  a.boolean("on_the_way", converging);

  const auto last = static_cast<std::uint32_t>(count == 0 ? 0 : count - 1);
  a.integer("leader", leader, 0U, last);
  a.integer("challenger", challenger, 0U, last);
  a.ago("challenger_ago_us", challenger_since);
  a.boolean("leader_looked_up", looked_up);
  a.integer("backup_leader", backup_leader, 0U, last);
  a.integer("serving_tier", serving_tier, 0U, 9U);
  a.ago("tier_spare_ago_us", tier_spare_since);
}

}  // namespace rpcw::store::fields
