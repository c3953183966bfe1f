#include "store/state_codec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "store/json_codec.hpp"

namespace rpcw::store {
namespace {

constexpr std::uint64_t kVersion = 7;

/// Counts in a row, canaries and the like.
constexpr unsigned kMostCount = 1'000'000'000;
constexpr double kMostReal = 1e15;

// What is stored is said once, for both directions: `Saver` and `Loader` have the same functions, and the templates
// below name every field with its bounds.

class Saver {
 public:
  /// `exact`: for the same process's clock, with the requests that are under way.
  Saver(JsonWriter& out, MonoTime now, bool to_the_bit = false) : exact(to_the_bit), out_(out), now_(now) {}

  const bool exact;

  template <std::integral T>
  void integer(const char* name, const T& v, T = 0, T = 0) {
    out_.field(name, v);
  }
  template <std::integral T>
  void integer(const char* name, const std::optional<T>& v, T = 0, T = 0) {
    out_.field(name, v);
  }
  void boolean(const char* name, const bool& v) { out_.field(name, v); }
  void real(const char* name, const double& v, double, double) { out_.field(name, v); }
  void real(const char* name, const std::optional<double>& v, double, double) { out_.field(name, v); }
  void reals(const char* name, const std::vector<double>& v, double, double) {
    out_.key(name);
    out_.begin_array();
    for (const double x : v) out_.real(x);
    out_.end_array();
  }
  void integers(const char* name, const std::vector<unsigned>& v, unsigned, unsigned) {
    out_.key(name);
    out_.begin_array();
    for (const std::uint64_t x : v) out_.integer(x);
    out_.end_array();
  }
  void text(const char* name, const std::string& v) { out_.field(name, std::string_view(v).substr(0, kMostText / 4)); }
  template <typename Enum, std::size_t N>
  void choice(const char* name, const Enum& v, const std::array<std::string_view, N>& names) {
    out_.field(name, names[static_cast<std::size_t>(v)]);
  }
  template <typename Enum, std::size_t N>
  void choice(const char* name, const std::optional<Enum>& v, const std::array<std::string_view, N>& names) {
    if (v) choice(name, *v, names);
  }
  template <typename Duration>
  void duration(const char* name, const Duration& v, Duration, Duration) {
    out_.field(name, v);
  }
  template <typename Duration>
  void duration(const char* name, const std::optional<Duration>& v, Duration, Duration) {
    out_.field(name, v);
  }
  void wall(const char* name, const WallTime& v) { out_.field(name, v); }
  /// Of an instant: how long before the saving it was; negative: it is still to come.
  void ago(const char* name, const MonoTime& v) { out_.field(name, now_ - v); }
  void ago(const char* name, const std::optional<MonoTime>& v) {
    if (v) ago(name, *v);
  }
  void head(const char* name, const std::optional<Head>& v) { out_.field(name, v); }
  void failure(const char* name, const std::optional<ProbeFailure>& v) { out_.field(name, v); }
  template <typename Body>
  void object(const char* name, Body body) {
    out_.key(name);
    out_.begin_object();
    body(*this);
    out_.end_object();
  }
  /// `body` is called with each of the first `count` elements.
  template <typename Elements, typename Body>
  void elements(const char* name, const Elements& v, std::size_t count, Body body) {
    out_.key(name);
    out_.begin_array();
    for (std::size_t i = 0; i < count; ++i) {
      out_.begin_object();
      body(*this, v[i]);
      out_.end_object();
    }
    out_.end_array();
  }
  template <typename T, typename Body>
  void list(const char* name, const std::vector<T>& v, std::size_t, Body body) {
    elements(name, v, v.size(), body);
  }
  template <typename T, std::size_t N, typename Body>
  void list(const char* name, const std::array<T, N>& v, const unsigned& count, Body body) {
    elements(name, v, count, body);
  }
  template <typename T, typename Body>
  void maybe(const char* name, const std::optional<T>& v, Body body) {
    if (v) object(name, [&](Saver& s) { body(s, *v); });
  }
  template <typename T, typename Body>
  void maybe_list(const char* name, const std::vector<std::optional<T>>& v, Body body) {
    list(name, v, 0, [&](Saver& s, const std::optional<T>& x) { s.maybe("row", x, body); });
  }
  /// What must hold between fields.
  void demand(bool, const char*, const char*) {}

 private:
  JsonWriter& out_;
  const MonoTime now_;
};

class Loader {
 public:
  /// `saved_at`: the moment of saving on the present clock. `exact`: as Saver's.
  Loader(const JsonField& in, MonoTime saved_at, bool to_the_bit = false)
      : exact(to_the_bit), in_(in), saved_at_(saved_at) {}

  const bool exact;

  template <std::integral T>
  void integer(const char* name, T& v, T low, T high) {
    v = in_[name].template integer<T>(low, high);
  }
  template <std::integral T>
  void integer(const char* name, std::optional<T>& v, T low, T high) {
    v = in_[name].optional([&](const JsonField& f) { return f.template integer<T>(low, high); });
  }
  void boolean(const char* name, bool& v) { v = in_[name].boolean(); }
  void real(const char* name, double& v, double low, double high) { v = in_[name].real(low, high); }
  void real(const char* name, std::optional<double>& v, double low, double high) {
    v = in_[name].optional([&](const JsonField& f) { return f.real(low, high); });
  }
  void reals(const char* name, std::vector<double>& v, double low, double high) {
    const JsonField f = in_[name];
    v.resize(f.size(kMostTargets));
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = f[i].real(low, high);
  }
  void integers(const char* name, std::vector<unsigned>& v, unsigned low, unsigned high) {
    const JsonField f = in_[name];
    v.resize(f.size(kMostTargets));
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = f[i].integer<unsigned>(low, high);
  }
  void text(const char* name, std::string& v) { v = in_[name].text(); }
  template <typename Enum, std::size_t N>
  void choice(const char* name, Enum& v, const std::array<std::string_view, N>& names) {
    const auto at = std::ranges::find(names, std::string_view(in_[name].text()));
    if (at != names.end())
      v = static_cast<Enum>(at - names.begin());
    else
      in_[name].fail(fmt::format("must be one of {}", fmt::join(names, ", ")));
  }
  template <typename Enum, std::size_t N>
  void choice(const char* name, std::optional<Enum>& v, const std::array<std::string_view, N>& names) {
    if (!in_[name].present()) return;
    choice(name, v.emplace(), names);
  }
  template <typename Duration>
  void duration(const char* name, Duration& v, Duration low, Duration high) {
    v = in_[name].duration(low, high);
  }
  template <typename Duration>
  void duration(const char* name, std::optional<Duration>& v, Duration low, Duration high) {
    v = in_[name].optional([&](const JsonField& f) { return f.duration(low, high); });
  }
  void wall(const char* name, WallTime& v) { v = in_[name].wall(); }
  void ago(const char* name, MonoTime& v) { v = saved_at_ - in_[name].duration(MonoTime{-kMostUs}, MonoTime{kMostUs}); }
  void ago(const char* name, std::optional<MonoTime>& v) {
    if (in_[name].present()) ago(name, v.emplace());
  }
  void head(const char* name, std::optional<Head>& v) { v = in_[name].optional(read_head); }
  void failure(const char* name, std::optional<ProbeFailure>& v) { v = in_[name].optional(read_failure); }
  template <typename Body>
  void object(const char* name, Body body) {
    Loader inner(in_[name], saved_at_, exact);
    body(inner);
  }
  template <typename T, typename Body>
  void list(const char* name, std::vector<T>& v, std::size_t most, Body body) {
    const JsonField f = in_[name];
    const std::size_t count = f.size(most);
    // One by one, and none after an error: an empty object is much shorter than what it stands for.
    for (std::size_t i = 0; i < count && f.fine(); ++i) {
      Loader inner(f[i], saved_at_, exact);
      body(inner, v.emplace_back());
    }
  }
  template <typename T, std::size_t N, typename Body>
  void list(const char* name, std::array<T, N>& v, unsigned& count, Body body) {
    std::vector<T> found;
    list(name, found, N, body);
    std::ranges::copy(found, v.begin());
    count = static_cast<unsigned>(found.size());
  }
  template <typename T, typename Body>
  void maybe(const char* name, std::optional<T>& v, Body body) {
    if (in_[name].present()) object(name, [&](Loader& l) { body(l, v.emplace()); });
  }
  template <typename T, typename Body>
  void maybe_list(const char* name, std::vector<std::optional<T>>& v, Body body) {
    list(name, v, kMostTargets, [&](Loader& l, std::optional<T>& x) { l.maybe("row", x, body); });
  }
  void demand(bool holds, const char* name, const char* what) {
    if (!holds) in_[name].fail(what);
  }

 private:
  const JsonField in_;
  const MonoTime saved_at_;
};

using std::chrono::microseconds;

/// Both an object and a constant one.
template <typename A, typename T>
using FieldsOf = std::conditional_t<std::is_same_v<A, Saver>, const T, T>;

constexpr std::uint64_t kAny = UINT64_MAX;
constexpr std::array<std::string_view, 3> kIdentities{"unknown", "verified", "wrong"};
constexpr std::array<std::string_view, 5> kStates{"healthy", "degraded", "ejected", "unknown", "disabled"};
constexpr std::array<std::string_view, 4> kGroupStates{"wanted", "asked", "answered", "silent"};
constexpr std::array<std::string_view, 3> kFallbacks{"equal", "keep", "least-bad"};

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
void sizes(A& a, FieldsOf<A, AnswerSizes>& s) {
  auto& [answers, bytes, level, newest, changed_at] = s;
  a.object("sizes", [&](A& o) {
    o.real("answers", answers, 0, kMostReal);
    o.real("bytes", bytes, 0, kMostReal);
    level_test(o, level);
    o.real("newest", newest, 0, kMostReal);
    o.ago("changed_ago_us", changed_at);
  });
}

template <typename A>
void saturation(A& o, FieldsOf<A, Saturation>& s) {
  auto& [open, reads, seconds, rates, squares, filling, draining] = s;
  o.real("open", open, 0, kMostReal);
  o.real("reads", reads, 0, kMostReal);
  o.real("seconds", seconds, 0, kMostReal);
  o.real("rates", rates, 0, kMostReal);
  o.real("squares", squares, 0, kMostReal);
  o.real("filling", filling, 0, kMostReal);
  o.real("draining", draining, 0, kMostReal);
}

template <typename A>
void live(A& a, FieldsOf<A, LiveHistory>& l) {
  auto& [newest, recent, minute, counted_at, measured_s, timed, timed_ms, latency_ms, answer_sizes, average_ms,
         waiting_ms, saturated, quota_per_s, quota_at, quota_hold, quota_step, ejected_because] = l;
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
  auto& [newest, received, previous, jumped, lag_blocks, level_with_others, falls, steady, slipping, stood_still] =
      heads;
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
  auto& [height, groups, begun, ever, next_scan, due, tie, parents_hold] = f;
  a.ago("begun_ago_us", begun);
  a.boolean("ever", ever);
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
  auto& [servers, references, block_time, forks, shares, leadership, tiers] = h;
  auto& [anchor, measured] = block_time;
  auto& [parts, decided_at, scores, fell_back, kept, converging] = shares;
  auto& [lead, looked_up, backup_leader] = leadership;
  auto& [leader, challenger, challenger_since] = lead;
  auto& [serving_tier, tier_spare_since] = tiers;
  const std::size_t count = servers.size();
  a.head("block_time_anchor", anchor);
  a.duration("block_time_ms", measured, milliseconds{0}, milliseconds{kMostMs});
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

template <typename A>
void backend(A& a, FieldsOf<A, BackendSnapshot>& m) {
  a.text("name", m.name);
  a.text("settings", m.settings);
  a.text("canaries", m.canaries);
  const auto targets = [&a](const char* name, auto& keys, auto& histories) {
    // The key first; both vectors have one size.
    if constexpr (std::is_same_v<A, Saver>) {
      a.list(name, histories, kMostTargets, [&](A& o, const TargetHistory& t) {
        o.text("key", keys[static_cast<std::size_t>(&t - histories.data())]);
        target(o, t);
      });
    } else {
      a.list(name, histories, kMostTargets, [&](A& o, TargetHistory& t) {
        o.text("key", keys.emplace_back());
        target(o, t);
      });
    }
  };
  auto& h = m.history;
  targets("servers", m.servers, h.servers);
  targets("references", m.references, h.references);
  const std::size_t count = h.servers.size();

  beside_targets(a, h);

  a.object("haproxy", [&](A& o) { view(o, m.view); });
  a.demand(m.view.servers.empty() || m.view.servers.size() == count, "haproxy",
           "must have one row for each server, or none");

  a.boolean("decided", m.decided);
  a.list("held", m.decision.servers, kMostTargets, [](A& o, FieldsOf<A, ServerDecision>& s) {
    o.choice("state", s.state, kStates);
    o.integer("weight", s.weight, 0U, 256U);
  });
  a.demand(m.decision.servers.size() == count || (!m.decided && m.decision.servers.empty()), "held",
           "must have one element for each server");
  a.choice("fallback", m.decision.fallback, kFallbacks);
  a.integer("healthy", m.decision.healthy, 0U, static_cast<unsigned>(kMostTargets));
}

}  // namespace

std::string encode(std::string_view salt, const std::vector<BackendSnapshot>& backends, Now now,
                   const std::vector<LeftOut>& left_out) {
  JsonWriter out;
  Saver saver(out, now.mono);
  out.begin_object();
  out.field("format", kStateFormat);
  out.field("version", kVersion);
  out.field("saved_ms", now.wall);
  out.field("salt", salt);
  saver.list("backends", backends, 0, [](Saver& s, const BackendSnapshot& m) { backend(s, m); });
  if (!left_out.empty())
    saver.list("left_out", left_out, 0, [](Saver& s, const LeftOut& m) {
      s.wall("saved_ms", m.saved);
      backend(s, m.backend);
    });
  out.end_object();
  return std::string(out.view()) + "\n";
}

std::expected<StoredState, std::string> decode(std::string_view text, Now now) {
  auto document = JsonDocument::parse(text, kMostStateBytes);
  if (!document) return std::unexpected(document.error());
  const JsonField root = document->root();
  const auto wrong = [&] { return std::unexpected(*document->error()); };
  // A file of another kind has all sorts of things missing: only this one says what it is.
  if (const std::string format = root["format"].text(); document->error() || format != kStateFormat)
    return std::unexpected(fmt::format("is no state file: its \"format\" is not \"{}\"", kStateFormat));
  const std::uint64_t version = root["version"].integer<std::uint64_t>();
  if (document->error()) return wrong();
  if (version != kVersion)
    return std::unexpected(fmt::format("has version {}, and this program reads version {}", version, kVersion));
  StoredState out;
  out.saved = root["saved_ms"].wall();
  out.salt = root["salt"].text();
  if (out.salt.size() != 32 || out.salt.find_first_not_of("0123456789abcdef") != std::string::npos)
    root["salt"].fail("must be 32 hexadecimal digits");
  if (document->error()) return wrong();
  // The upper bound keeps sums in range; such a state is of no use any more.
  const milliseconds elapsed = std::clamp(now.wall - out.saved, milliseconds{0}, milliseconds{kMostMs / 10'000});
  const MonoTime saved_at = now.mono - std::chrono::duration_cast<MonoTime>(elapsed);
  const JsonField list = root["backends"];
  const std::size_t count = list.size(kMostTargets);
  for (std::size_t i = 0; i < count && list.fine(); ++i) {
    Loader loader(list[i], saved_at);
    backend(loader, out.backends.emplace_back());
  }
  if (root["left_out"].present())
    Loader(root, saved_at).list("left_out", out.left_out, kMostTargets, [](Loader& l, LeftOut& m) {
      l.wall("saved_ms", m.saved);
      backend(l, m.backend);
    });
  if (document->error()) return wrong();
  return out;
}

void write_history(JsonWriter& out, const BackendHistory& history) {
  Saver saver(out, MonoTime{0}, true);
  out.begin_object();
  const auto each = [](Saver& s, const TargetHistory& t) { target(s, t); };
  saver.list("servers", history.servers, kMostTargets, each);
  saver.list("references", history.references, kMostTargets, each);
  beside_targets(saver, history);
  out.end_object();
}

void read_history(const JsonField& in, BackendHistory& history) {
  const std::size_t servers = history.servers.size();
  const std::size_t references = history.references.size();
  history = {};
  Loader loader(in, MonoTime{0}, true);
  const auto each = [](Loader& l, TargetHistory& t) { target(l, t); };
  loader.list("servers", history.servers, kMostTargets, each);
  loader.list("references", history.references, kMostTargets, each);
  loader.demand(history.servers.size() == servers, "servers", "must be as many as there are");
  loader.demand(history.references.size() == references, "references", "must be as many as there are");
  beside_targets(loader, history);
}

}  // namespace rpcw::store
