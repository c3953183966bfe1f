#include "store/recording_format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/version.hpp"
#include "store/history_codec.hpp"

namespace rpcw::store {
namespace {

constexpr std::array<std::string_view, 5> kCauses{"start", "reload", "rotation", "resumed", "servers"};

constexpr std::size_t kMostReasons = 64;
/// Of one server between two reads.
constexpr std::uint64_t kMostRequests = 1U << 30U;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 50U;

std::string reference_name(std::string_view backend, std::size_t i) {
  return fmt::format("{}/#{}", backend, i);
}

// ---- writing

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

// ---- reading

rpcw::State read_state(const JsonField& in) {
  const std::string name = in.text();
  for (const rpcw::State s : {rpcw::State::kHealthy, rpcw::State::kDegraded, rpcw::State::kEjected,
                              rpcw::State::kUnknown, rpcw::State::kDisabled})
    if (name == to_string(s)) return s;
  in.fail("must be a state");
  return rpcw::State::kUnknown;
}

Outcome read_outcome(const JsonField& in) {
  Outcome out;
  out.weight = in["weight"].integer<unsigned>(0, 256);
  out.state = read_state(in["state"]);
  if (const JsonField reasons = in["reasons"]; reasons.present())
    for (std::size_t i = 0; i < reasons.size(kMostReasons); ++i) out.reasons.push_back(read_reason_note(reasons[i]));
  return out;
}

bool read_flag(const JsonField& in) {
  return in.present() && in.boolean();
}

BackendView read_view(const JsonField& in, std::size_t servers) {
  BackendView out;
  out.algorithm = in["algorithm"].text();
  out.worker_age = in["worker_age_s"].duration<std::chrono::seconds>();
  out.usable_foreign_backup = in["usable_foreign_backup"].boolean();
  const JsonField list = in["servers"];
  const std::size_t count = list.size(kMostTargets);
  if (count != servers) list.fail(fmt::format("must have {} elements", servers));
  out.servers.resize(servers);
  for (std::size_t i = 0; i < std::min(count, servers); ++i) {
    const JsonField s = list[i];
    if (!s["weight"].present()) continue;
    out.servers[i] =
        ServerView{read_flag(s["disabled"]),
                   read_flag(s["backup"]),
                   s["weight"].integer<unsigned>(0, 256),
                   s["configured"].optional([](const JsonField& f) { return f.integer<unsigned>(0, 256); }),
                   read_flag(s["down"]),
                   read_flag(s["stuck"])};
  }
  return out;
}

}  // namespace

bool Outcome::same(const Outcome& other) const {
  return weight == other.weight && state == other.state &&
         std::ranges::equal(reasons, other.reasons, {}, &ReasonNote::code, &ReasonNote::code);
}

Outcome outcome_of(const ServerDecision& decision) {
  return {decision.weight, decision.state, decision.reasons};
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

/// Its interval may follow from its address, which a recording does not hold.
void write_target(JsonWriter& out, const config::Target& target, const config::Probe& probe) {
  out.field("operator", target.operator_name);
  out.field("interval_ms", static_cast<std::uint64_t>(config::interval_of(target, probe).count()));
  if (target.pace.budget > 0) out.field("budget_per_day", target.pace.budget);
}

void write_section(JsonWriter& out, Cause cause, WallTime time, std::uint64_t steps, const SystemState& state) {
  out.begin_object();
  out.field("event", "recording");
  out.field("version", kRecordingVersion);
  out.field("program", version());
  out.field("cause", kCauses[static_cast<std::size_t>(cause)]);
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
  const BackendState& b = state.backend(backend);
  out.begin_object();
  out.field("event", "known");
  out.field("backend", state.config().backends[backend].name);
  out.field("dirty", b.dirty);
  out.field("decided", b.decided);
  if (b.blocked) out.field("held_up", true);
  out.field("blind", b.decision.blind);
  if (!b.decision.servers.empty()) {
    out.key("decision");
    out.begin_array();
    for (const ServerDecision& s : b.decision.servers) {
      out.begin_object();
      write(out, outcome_of(s));
      out.end_object();
    }
    out.end_array();
  }
  if (!b.view.servers.empty()) {
    out.key("view");
    out.begin_object();
    write_view(out, b.view);
    out.end_object();
  }
  out.key("history");
  write_history(out, b.history);
  out.end_object();
}

void write_step(JsonWriter& out, const Event& event, const std::vector<Step::Result>& results, const SystemState& state,
                const std::vector<std::string>& targets) {
  out.begin_object();
  std::visit(StepWriter{out, results, state, targets}, event);
  out.end_object();
}

// ---- the reader

std::expected<Line, LineReader::Error> LineReader::read(std::string_view line) {
  auto document = JsonDocument::parse(line, kMostLine);
  if (!document) return std::unexpected(Error{document.error(), true});
  const JsonField in = document->root();
  const std::string event = in["event"].text();
  const auto checked = [&](auto&& result) -> std::expected<Line, Error> {
    if (document->error()) return std::unexpected(Error{*document->error(), false});
    return std::forward<decltype(result)>(result);
  };
  if (event == "recording") {
    Section section = read_section(in);
    if (!document->error()) section_ = section;
    return checked(std::move(section));
  }
  if (!document->error() && !section_)
    return std::unexpected(Error{"is no recording of rpc-weighter: that begins with an event \"recording\"", false});
  if (document->error()) return checked(Section{});
  if (event == "known") return checked(read_known(in));
  if (event == "controller") {
    turns_.begin();
    return checked(read_controller_begun(in));
  }
  if (event == "turn") return checked(turns_.read(in));
  Step step = read_step(event, in);
  if (const auto* head = std::get_if<event::HeadCame>(&step.event)) turns_.head_came(head->observation);
  if (const auto* answer = std::get_if<event::AnswerCame>(&step.event)) turns_.answer_came(answer->answer);
  return checked(std::move(step));
}

/// Of a target; 0: it has none.
double budget_in(const JsonField& target) {
  return target["budget_per_day"].optional([](const JsonField& f) { return f.real(0, 1e12); }).value_or(0);
}

/// Of a target; recordings of before have none.
milliseconds interval_in(const JsonField& target) {
  const JsonField in = target["interval_ms"];
  if (!in.present()) return milliseconds{0};
  const auto ms = in.integer<std::uint64_t>();
  if (ms > static_cast<std::uint64_t>(config::kMostInterval.count())) in.fail("must be at most an hour");
  return milliseconds{static_cast<std::int64_t>(ms)};
}

Section LineReader::read_section(const JsonField& in) {
  Section out;
  const auto version = in["version"].integer<std::uint64_t>();
  if (version < kOldestRecording || version > kRecordingVersion)
    in["version"].fail(fmt::format("is {}, and this program reads the versions {} and {}", version, kOldestRecording,
                                   kRecordingVersion));
  out.program = in["program"].text(64);
  const std::string cause = in["cause"].text();
  const auto at = std::ranges::find(kCauses, cause);
  if (at == kCauses.end())
    in["cause"].fail("must be start, reload, rotation, resumed or servers");
  else
    out.cause = static_cast<Cause>(at - kCauses.begin());
  out.time = in["wall_ms"].wall();
  out.steps = in["steps"].integer<std::uint64_t>();
  out.blind = in["blind"].boolean();
  out.cold = read_flag(in["cold"]);

  targets_.clear();
  backends_.clear();
  places_.clear();
  section_.reset();
  const auto enter = [&](std::string name, std::uint32_t backend, std::size_t index, const JsonField& place) {
    if (!targets_.emplace(std::move(name), places_.size()).second) place.fail("is there twice");
    places_.emplace_back(backend, static_cast<std::uint32_t>(index));
  };
  const JsonField list = in["backends"];
  for (std::uint32_t b = 0; b < list.size(kMostTargets); ++b) {
    SectionBackend backend;
    backend.name = list[b]["name"].text();
    if (!backends_.emplace(backend.name, b).second) list[b]["name"].fail("is there twice");
    backend.chain = list[b]["chain"].text();
    backend.strategy = list[b]["strategy"].text();
    const JsonField servers = list[b]["servers"];
    for (std::size_t i = 0; i < servers.size(kMostTargets); ++i) {
      backend.servers.push_back(
          {servers[i]["name"].text(), servers[i]["operator"].text(), interval_in(servers[i]), budget_in(servers[i])});
      enter(fmt::format("{}/{}", backend.name, backend.servers.back().name), b, i, servers[i]["name"]);
    }
    const JsonField references = list[b]["references"];
    for (std::size_t i = 0; i < references.size(kMostTargets); ++i) {
      backend.references.push_back(
          {{}, references[i]["operator"].text(), interval_in(references[i]), budget_in(references[i])});
      enter(reference_name(backend.name, i), b, backend.servers.size() + i, references[i]);
    }
    out.backends.push_back(std::move(backend));
  }
  return out;
}

std::size_t LineReader::target(const JsonField& in) const {
  const auto at = targets_.find(in.text());
  if (at != targets_.end()) return at->second;
  in.fail("must be a target of the section");
  return 0;
}

std::uint32_t LineReader::backend(const JsonField& in) const {
  const auto at = backends_.find(in.text());
  if (at != backends_.end()) return at->second;
  in.fail("must be a backend of the section");
  return 0;
}

Known LineReader::read_known(const JsonField& in) const {
  const std::uint32_t b = backend(in["backend"]);
  const std::size_t servers = b < section_->backends.size() ? section_->backends[b].servers.size() : 0;
  const std::size_t references = b < section_->backends.size() ? section_->backends[b].references.size() : 0;
  Known out{b, {empty_history(servers, references), {}, {}, true, false}};
  out.state.dirty = in["dirty"].boolean();
  out.state.decided = in["decided"].boolean();
  out.state.blocked = read_flag(in["held_up"]);
  out.state.decision.blind = in["blind"].boolean();
  if (const JsonField decision = in["decision"]; decision.present()) {
    if (decision.size(kMostTargets) != servers) decision.fail(fmt::format("must have {} elements", servers));
    for (std::size_t i = 0; i < decision.size(kMostTargets); ++i) {
      Outcome o = read_outcome(decision[i]);
      ServerDecision& s = out.state.decision.servers.emplace_back();
      s.weight = o.weight;
      s.state = o.state;
      s.reasons = std::move(o.reasons);
    }
  } else if (out.state.decided) {
    decision.fail("must be there");
  }
  if (const JsonField view = in["view"]; view.present()) out.state.view = read_view(view, servers);
  read_history(in["history"], out.state.history);
  return out;
}

Step LineReader::read_step(std::string_view event, const JsonField& in) const {
  Step out;
  if (event == "probe") {
    out.event = event::ProbeBegun{target(in["target"]),
                                  in["mono_us"].duration<MonoTime>(MonoTime{-kMostUs}, MonoTime{kMostUs})};
  } else if (event == "sent") {
    out.event =
        event::ProbeSent{target(in["target"]), in["mono_us"].duration<MonoTime>(MonoTime{-kMostUs}, MonoTime{kMostUs})};
  } else if (event == "silent") {
    out.event = event::NoAnswerYet{target(in["target"])};
  } else if (event == "head") {
    out.event = event::HeadCame{target(in["target"]), read_head_observation(in["observation"])};
  } else if (event == "answer") {
    out.event = event::AnswerCame{target(in["target"]), read_answer(in["answer"])};
  } else if (event == "urgent") {
    out.event = event::UrgentChecksSent{};
  } else if (event == "look") {
    out.event = event::HeadsScanned{read_now(in["now"])};
  } else if (event == "hold") {
    out.event = event::DecisionsBlocked{backend(in["name"]), in["held_up"].boolean()};
  } else if (event == "see") {
    event::ViewsChanged seen;
    const JsonField list = in["backends"];
    for (std::size_t i = 0; i < list.size(kMostTargets); ++i) {
      const std::uint32_t b = backend(list[i]["name"]);
      const std::size_t servers = b < section_->backends.size() ? section_->backends[b].servers.size() : 0;
      seen.backends.push_back({b, read_view(list[i], servers)});
    }
    out.event = std::move(seen);
  } else if (event == "traffic") {
    event::TrafficCame traffic;
    traffic.backend = backend(in["name"]);
    traffic.at = in["mono_us"].duration<MonoTime>(MonoTime{-kMostUs}, MonoTime{kMostUs});
    traffic.deltas.resize(
        traffic.backend < section_->backends.size() ? section_->backends[traffic.backend].servers.size() : 0);
    const auto elapsed_in = [](const JsonField& of) {
      return of["elapsed_us"].duration<MonoTime>(MonoTime{0}, MonoTime{kMostUs});
    };
    const MonoTime elapsed = elapsed_in(in);
    for (LiveDelta& d : traffic.deltas) d.elapsed = elapsed;
    const JsonField list = in["servers"];
    for (std::size_t i = 0; i < list.size(kMostTargets); ++i) {
      const auto index = list[i]["index"].integer<std::uint64_t>(0, kMostTargets);
      if (index >= traffic.deltas.size()) {
        list[i]["index"].fail("must be that of a server of the backend");
        break;
      }
      const auto milliseconds_in = [&](const char* name) {
        return list[i][name].optional([](const JsonField& f) { return f.real(0, 1e9); });
      };
      traffic.deltas[index] = {list[i]["requests"].integer<std::uint64_t>(0, kMostRequests),
                               list[i]["ended"].integer<std::uint64_t>(0, kMostRequests),
                               list[i]["failures"].integer<std::uint64_t>(0, kMostRequests),
                               list[i]["client_errors"].integer<std::uint64_t>(0, kMostRequests),
                               milliseconds_in("latency_ms"),
                               list[i]["timed"].integer<std::uint64_t>(0, kMostRequests),
                               milliseconds_in("average_ms"),
                               list[i]["sized"].integer<std::uint64_t>(0, kMostRequests),
                               list[i]["bytes"].integer<std::uint64_t>(0, kMostBytes),
                               list[i]["open"].integer<std::uint64_t>(0, kMostRequests),
                               list[i]["elapsed_us"].present() ? elapsed_in(list[i]) : elapsed};
    }
    out.event = std::move(traffic);
  } else if (event == "decide") {
    out.event = event::Decided{read_now(in["now"]), read_flag(in["all"])};
    if (const JsonField list = in["servers"]; list.present()) {
      for (std::size_t i = 0; i < list.size(kMostTargets); ++i) {
        const std::size_t t = target(list[i]["name"]);
        if (t >= places_.size()) break;
        const auto [b, index] = places_[t];
        if (index >= section_->backends[b].servers.size()) list[i]["name"].fail("must be a server of the section");
        out.results.push_back({b, index, read_outcome(list[i])});
      }
    }
  } else {
    in["event"].fail("is not known to this version");
  }
  return out;
}

}  // namespace rpcw::store
