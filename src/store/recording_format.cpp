#include "store/recording_format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/version.hpp"
#include "store/history_codec.hpp"

namespace rpcw::store {
namespace {

void write(JsonWriter& out, const Outcome& o) {
  out.field("weight", o.weight);
  out.field("state", to_string(o.state));
  if (o.reasons.empty()) return;
  out.key("reasons");
  out.begin_array();
  for (const ReasonNote& r : o.reasons) out.value(r);
  out.end_array();
}

void write_view(JsonWriter& out, const BackendView& view) {
  // Named one by one: the compiler refuses a new member here, as recordings need it.
  const auto& [servers, foreign_backup, algorithm, worker_age] = view;
  out.field("algorithm", algorithm);
  out.field("worker_age_s", worker_age);
  out.field("usable_foreign_backup", foreign_backup);
  out.key("servers");
  out.begin_array();
  for (const auto& server : servers) {
    out.begin_object();
    if (server) {
      const auto& [disabled, backup, weight, configured, down, stuck] = *server;
      out.field("weight", weight);
      out.field("configured", configured);
      if (disabled) out.field("disabled", true);
      if (backup) out.field("backup", true);
      if (down) out.field("down", true);
      if (stuck) out.field("stuck", true);
    }
    out.end_object();
  }
  out.end_array();
}

/// Its interval may follow from its address, which a recording does not hold.
void write_target(JsonWriter& out, const config::Target& target, const config::Probe& probe) {
  out.field("operator", target.operator_name);
  out.field("interval_ms", static_cast<std::uint64_t>(config::interval_of(target, probe).count()));
  if (target.pace.budget > 0) out.field("budget_per_day", target.pace.budget);
}

struct StepWriter {
  JsonWriter& out;
  const std::vector<Step::Result>& results;
  const SystemState& state;
  const std::vector<std::string>& targets;

  void operator()(const event::ProbeBegun& e) const {
    out.field("event", "probe");
    out.field("target", targets[e.target]);
    out.field("mono_us", e.at);
  }
  void operator()(const event::ProbeSent& e) const {
    out.field("event", "sent");
    out.field("target", targets[e.target]);
    out.field("mono_us", e.at);
  }
  void operator()(const event::NoAnswerYet& e) const {
    out.field("event", "silent");
    out.field("target", targets[e.target]);
  }
  void operator()(const event::HeadCame& e) const {
    out.field("event", "head");
    out.field("target", targets[e.target]);
    out.field("observation", e.observation);
  }
  void operator()(const event::AnswerCame& e) const {
    out.field("event", "answer");
    out.field("target", targets[e.target]);
    out.field("answer", e.answer);
  }
  void operator()(const event::UrgentChecksSent&) const { out.field("event", "urgent"); }
  void operator()(const event::HeadsScanned& e) const {
    out.field("event", "look");
    out.field("now", e.now);
  }
  void operator()(const event::DecisionsBlocked& e) const {
    out.field("event", "hold");
    out.field("name", state.config().backends[e.backend].name);
    out.field("held_up", e.blocked);
  }
  void operator()(const event::ViewsChanged& e) const {
    out.field("event", "see");
    out.key("backends");
    out.begin_array();
    for (const auto& [backend, view] : e.backends) {
      out.begin_object();
      out.field("name", state.config().backends[backend].name);
      write_view(out, view);
      out.end_object();
    }
    out.end_array();
  }
  void operator()(const event::TrafficCame& e) const {
    out.field("event", "traffic");
    out.field("name", state.config().backends[e.backend].name);
    out.field("mono_us", e.at);
    // Most servers were counted for the same time, and many had no traffic in it.
    MonoTime elapsed{};
    for (const LiveDelta& d : e.deltas) elapsed = std::max(elapsed, d.elapsed);
    out.field("elapsed_us", elapsed);
    out.key("servers");
    out.begin_array();
    for (std::size_t i = 0; i < e.deltas.size(); ++i) {
      const LiveDelta& d = e.deltas[i];
      if (d == LiveDelta{.elapsed = elapsed}) continue;
      out.begin_object();
      out.field("index", static_cast<std::uint64_t>(i));
      out.field("requests", d.requests);
      out.field("ended", d.ended);
      out.field("failures", d.failures);
      out.field("client_errors", d.client_errors);
      // Files of before have none.
      if (d.aborted > 0) out.field("aborted", d.aborted);
      out.field("latency_ms", d.latency_ms);
      out.field("timed", d.timed);
      out.field("average_ms", d.average_ms);
      out.field("sized", d.sized);
      out.field("bytes", d.bytes);
      out.field("open", d.open);
      if (d.elapsed != elapsed) out.field("elapsed_us", d.elapsed);
      out.end_object();
    }
    out.end_array();
  }
  void operator()(const event::Decided& e) const {
    out.field("event", "decide");
    out.field("now", e.now);
    if (e.all) out.field("all", true);
    if (results.empty()) return;
    out.key("servers");
    out.begin_array();
    for (const Step::Result& r : results) {
      const config::Backend& b = state.config().backends[r.backend];
      out.begin_object();
      out.field("name", fmt::format("{}/{}", b.name, b.servers[r.server].name));
      write(out, r.outcome);
      out.end_object();
    }
    out.end_array();
  }
};

}  // namespace

bool Outcome::same(const Outcome& other) const {
  return weight == other.weight && state == other.state &&
         std::ranges::equal(reasons, other.reasons, {}, &ReasonNote::code, &ReasonNote::code);
}

Outcome outcome_of(const ServerDecision& decision) {
  return {decision.weight, decision.state, decision.reasons};
}

std::string reference_name(std::string_view backend, std::size_t i) {
  return fmt::format("{}/#{}", backend, i);
}

std::vector<std::string> target_names(const SystemState& state) {
  std::vector<std::string> out;
  for (const SystemState::Target& t : state.targets()) {
    const config::Backend& b = state.config().backends[t.backend];
    out.push_back(t.reference ? reference_name(b.name, t.index)
                              : fmt::format("{}/{}", b.name, b.servers[t.index].name));
  }
  return out;
}

void write_section(JsonWriter& out, Cause cause, WallTime time, std::uint64_t steps, const SystemState& state) {
  out.begin_object();
  out.field("event", "recording");
  out.field("version", kRecordingVersion);
  out.field("program", version());
  out.field("cause", kCauseNames[static_cast<std::size_t>(cause)]);
  out.field("wall_ms", time);
  out.field("steps", steps);
  out.field("blind", state.blind());
  if (state.cold()) out.field("cold", true);
  out.key("backends");
  out.begin_array();
  for (const config::Backend& b : state.config().backends) {
    out.begin_object();
    out.field("name", b.name);
    out.field("chain", b.chain.name);
    out.field("strategy", b.strategy);
    out.key("servers");
    out.begin_array();
    for (const config::Server& s : b.servers) {
      out.begin_object();
      out.field("name", s.name);
      write_target(out, s.target, state.config().probe);
      out.end_object();
    }
    out.end_array();
    out.key("references");
    out.begin_array();
    for (const config::Target& t : b.references) {
      out.begin_object();
      write_target(out, t, state.config().probe);
      out.end_object();
    }
    out.end_array();
    out.end_object();
  }
  out.end_array();
  out.end_object();
}

void write_known(JsonWriter& out, const SystemState& state, std::uint32_t backend) {
  // Named one by one: the compiler refuses a new member here, as recordings need it.
  const auto& [history, view, decision, dirty, decided, blocked, guessed] = state.backend(backend);
  out.begin_object();
  out.field("event", "known");
  out.field("backend", state.config().backends[backend].name);
  out.field("dirty", dirty);
  out.field("decided", decided);
  if (blocked) out.field("held_up", true);
  if (guessed) out.field("guessed", true);
  out.field("blind", decision.blind);
  if (!decision.servers.empty()) {
    out.key("decision");
    out.begin_array();
    for (const ServerDecision& s : decision.servers) {
      out.begin_object();
      write(out, outcome_of(s));
      out.end_object();
    }
    out.end_array();
  }
  if (!view.servers.empty()) {
    out.key("view");
    out.begin_object();
    write_view(out, view);
    out.end_object();
  }
  out.key("history");
  write_history(out, history);
  out.end_object();
}

void write_step(JsonWriter& out, const Event& event, const std::vector<Step::Result>& results, const SystemState& state,
                const std::vector<std::string>& targets) {
  out.begin_object();
  std::visit(StepWriter{out, results, state, targets}, event);
  out.end_object();
}

}  // namespace rpcw::store
