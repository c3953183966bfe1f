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

constexpr std::string_view kFormat = "rpc-weighter state";
constexpr std::uint64_t kVersion = 3;

/// More than any configuration has; arrays that long are still small.
constexpr std::size_t kMostTargets = 65536;
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
constexpr std::array<std::string_view, 2> kFallbacks{"equal", "keep"};

template <typename A>
void check(A& a, const char* name, FieldsOf<A, CheckState>& q) {
  a.object(name, [&](A& o) {
    o.ago("due_ago_us", q.due);
    o.ago("asked_ago_us", q.sent_at);
    o.integer("refusals", q.refusals, 0U, kMostCount);
    if (o.exact) o.boolean("waiting", q.waiting);
  });
}

template <typename A>
void live_counts(A& a, const char* name, FieldsOf<A, LiveCounts>& c) {
  a.object(name, [&](A& o) {
    o.real("requests", c.requests, 0, kMostReal);
    o.real("ended", c.ended, 0, kMostReal);
    o.real("failures", c.failures, 0, kMostReal);
    o.real("client_errors", c.client_errors, 0, kMostReal);
  });
}

template <typename A>
void live(A& a, FieldsOf<A, LiveHistory>& l) {
  live_counts(a, "newest", l.newest);
  live_counts(a, "recent", l.recent);
  live_counts(a, "minute", l.minute);
  a.ago("counted_ago_us", l.counted_at);
  a.real("timed", l.timed, 0, kMostReal);
  a.real("timed_ms", l.timed_ms, 0, kMostReal);
  a.real("latency_ms", l.latency_ms, 0, kMostReal);
  a.real("average_ms", l.average_ms, 0, kMostReal);
  a.real("waiting_ms", l.waiting_ms, 0, kMostReal);
  a.real("quota_per_s", l.quota_per_s, 0, kMostReal);
  a.ago("quota_ago_us", l.quota_at);
  a.duration("quota_hold_ms", l.quota_hold, milliseconds{0}, milliseconds{kMostMs});
  a.real("quota_step", l.quota_step, 0, 1);
}

template <typename A>
void target(A& a, FieldsOf<A, TargetHistory>& t) {
  a.choice("identity", t.identity, kIdentities);
  a.integer("seen_chain_id", t.seen_chain_id, std::uint64_t{0}, kAny);
  check(a, "identity_inquiry", t.identity_check);
  a.boolean("identity_untold", t.identity_untold);
  a.boolean("identity_in_question", t.identity_in_doubt);

  a.head("head", t.head);
  a.wall("head_received_ms", t.head_received.wall);
  a.ago("head_received_ago_us", t.head_received.mono);
  a.head("previous_head", t.previous_head);
  a.boolean("jumped", t.jumped);
  a.integer("lag_blocks", t.lag_blocks, std::uint64_t{0}, kAny);
  a.boolean("level_with_others", t.level_with_others);
  a.integer("head_falls", t.head_falls, 0U, kMostCount);
  a.integer("steady_heads", t.steady_heads, 0U, kMostCount);
  a.demand(t.head || !t.lag_blocks, "lag_blocks", "must be left out where there is no head");

  a.failure("failure", t.failure);
  a.failure("limited", t.limited);
  a.failure("not_asked", t.not_asked);
  a.integer("limited_in_row", t.limited_in_row, 0U, kMostCount);

  a.integer("blocks_missing", t.blocks_missing, std::uint64_t{0}, kAny);
  a.integer("peers", t.peers, std::uint64_t{0}, kAny);
  check(a, "syncing_inquiry", t.syncing_check);
  check(a, "peers_inquiry", t.peers_check);
  a.list("canaries", t.canaries, kMostTargets, [](A& o, FieldsOf<A, CanaryHistory>& c) {
    check(o, "inquiry", c.check);
    o.failure("failure", c.failure);
  });
  a.integer("slow_observations", t.slow_observations, std::uint64_t{0}, kAny);
  a.integer("slow_judged", t.slow_judged, std::uint64_t{0}, kAny);

  a.list("seen", t.seen, t.seen_count, [](A& o, FieldsOf<A, SeenBlock>& b) {
    o.integer("number", b.number, std::uint64_t{0}, kAny);
    o.integer("fingerprint", b.fingerprint, std::uint64_t{0}, kAny);
  });
  a.boolean("compared", t.compared);
  a.text("forked", t.forked);

  a.list("latencies", t.latencies, t.latency_count,
         [](A& o, FieldsOf<A, microseconds>& l) { o.duration("us", l, microseconds{0}, microseconds{kMostUs}); });
  a.real("smoothed_latency_ms", t.smoothed_latency_ms, 0, kMostReal);
  a.ago("smoothed_ago_us", t.smoothed_at);
  a.object("level", [&](A& o) {
    o.real("spread", t.level.spread, constants::kLevelSpreadLeast, kMostReal);
    o.real("centre", t.level.centre, -kMostReal, kMostReal);
    o.real("count", t.level.count, 0, constants::kLevelProbes);
    o.real("down", t.level.down, 0, kMostReal);
    o.real("up", t.level.up, 0, kMostReal);
  });
  a.duration("silent_for_us", t.silent_for, microseconds{0}, microseconds{kMostUs});

  a.real("attempts", t.attempts, 0, kMostReal);
  a.real("failures", t.failures, 0, kMostReal);
  a.ago("counted_ago_us", t.counted_at);

  a.object("live", [&](A& o) { live(o, t.live); });
  a.text("live_out", t.live_out);

  a.integer("observations", t.observations, std::uint64_t{0}, kAny);
  a.integer("judged", t.judged, std::uint64_t{0}, kAny);
  a.integer("good_in_row", t.good_in_row, 0U, kMostCount);
  a.integer("bad_in_row", t.bad_in_row, 0U, kMostCount);
  a.boolean("ejected", t.ejected);
  a.ago("ejected_ago_us", t.ejected_at);
  a.ago("out_until_ago_us", t.out_until);
  a.integer("ejections", t.ejections, 0U, 1000U);
  a.boolean("forgiven", t.forgiven);
  a.boolean("stood_still", t.stood_still);
  a.boolean("slipping", t.slipping);
  a.ago("quiet_ago_us", t.quiet_since);
  a.ago("returned_ago_us", t.returned_at);
  a.boolean("was_disabled", t.was_disabled);
  if (a.exact) a.ago("asked_ago_us", t.sent_at);
}

template <typename A>
void view(A& a, FieldsOf<A, BackendView>& v) {
  a.maybe_list("servers", v.servers, [](A& o, FieldsOf<A, ServerView>& s) {
    o.boolean("disabled", s.disabled);
    o.boolean("backup", s.backup);
    o.boolean("down", s.down);
    o.boolean("stuck", s.stuck);
    o.integer("weight", s.weight, 0U, 256U);
    o.integer("configured_weight", s.configured_weight, 0U, 256U);
  });
  a.boolean("usable_foreign_backup", v.usable_foreign_backup);
  a.text("algorithm", v.algorithm);
  a.duration("worker_age_s", v.worker_age, std::chrono::seconds{0}, std::chrono::seconds{kMostMs / 1000});
}

/// The comparison of chains that is under way.
template <typename A>
void comparison(A& a, FieldsOf<A, BackendHistory>& h) {
  const auto members = static_cast<std::uint32_t>(h.servers.size() + h.references.size());
  a.integer("height", h.forks.height, std::uint64_t{0}, kAny);
  a.list("groups", h.forks.groups, kMostTargets, [&](A& o, FieldsOf<A, ForkCheck::Group>& g) {
    o.list("members", g.members, kMostTargets,
           [&](A& m, FieldsOf<A, std::uint32_t>& i) { m.integer("target", i, 0U, std::max(members, 1U) - 1); });
    o.demand(!g.members.empty() && members > 0, "members", "must have elements");
    o.choice("state", g.state, kGroupStates);
    o.text("hash", g.hash);
  });
}

/// What is known of a backend besides its targets, which come first.
template <typename A>
void beside_targets(A& a, FieldsOf<A, BackendHistory>& h) {
  const std::size_t count = h.servers.size();
  a.head("block_time_anchor", h.block_time.anchor);
  a.duration("block_time_ms", h.block_time.measured, milliseconds{0}, milliseconds{kMostMs});
  a.object("forks", [&](A& o) {
    o.ago("begun_ago_us", h.forks.begun);
    o.boolean("ever", h.forks.ever);
    o.ago("next_look_ago_us", h.forks.next_look);
    o.ago("due_ago_us", h.forks.due);
    o.text("tie", h.forks.tie);
    if (o.exact) comparison(o, h);
  });

  // Rounding may make the only share a hair more than 1.
  a.reals("shares", h.shares, 0, 1.001);
  a.demand(h.shares.empty() || h.shares.size() == count, "shares", "must have one element for each server, or none");
  a.ago("shares_ago_us", h.shares_at);
  // The best that there is: 1/(1 ms) + 1/(1 ms), times the highest preference.
  a.reals("scores", h.scores, 0, 201);
  a.demand(h.scores.empty() || h.scores.size() == count, "scores", "must have one element for each server, or none");
  a.boolean("fell_back", h.fell_back);
  a.integers("kept", h.kept, 0U, 256U);
  a.demand(h.kept.empty() || h.kept.size() == count, "kept", "must have one element for each server, or none");
  a.boolean("on_the_way", h.on_the_way);

  const auto last = static_cast<std::uint32_t>(count == 0 ? 0 : count - 1);
  a.integer("leader", h.leader, 0U, last);
  a.integer("challenger", h.challenger, 0U, last);
  a.ago("challenger_ago_us", h.challenger_since);
  a.boolean("leader_looked_up", h.leader_looked_up);
  a.integer("backup_leader", h.backup_leader, 0U, last);
}

template <typename A>
void backend(A& a, FieldsOf<A, Fleet::Memory>& m) {
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

std::string encode(std::string_view salt, const std::vector<Fleet::Memory>& backends, Now now) {
  JsonWriter out;
  Saver saver(out, now.mono);
  out.begin_object();
  out.field("format", kFormat);
  out.field("version", kVersion);
  out.field("saved_ms", now.wall);
  out.field("salt", salt);
  saver.list("backends", backends, 0, [](Saver& s, const Fleet::Memory& m) { backend(s, m); });
  out.end_object();
  return std::string(out.view()) + "\n";
}

std::expected<StoredState, std::string> decode(std::string_view text, Now now) {
  auto document = JsonDocument::parse(text, kMostStateBytes);
  if (!document) return std::unexpected(document.error());
  const JsonField root = document->root();
  const auto wrong = [&] { return std::unexpected(*document->error()); };
  // A file of another kind has all sorts of things missing: only this one says what it is.
  if (const std::string format = root["format"].text(); document->error() || format != kFormat)
    return std::unexpected(fmt::format("is no state file: its \"format\" is not \"{}\"", kFormat));
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
  history = BackendHistory(0, 0);
  Loader loader(in, MonoTime{0}, true);
  const auto each = [](Loader& l, TargetHistory& t) { target(l, t); };
  loader.list("servers", history.servers, kMostTargets, each);
  loader.list("references", history.references, kMostTargets, each);
  loader.demand(history.servers.size() == servers, "servers", "must be as many as there are");
  loader.demand(history.references.size() == references, "references", "must be as many as there are");
  beside_targets(loader, history);
}

}  // namespace rpcw::store
