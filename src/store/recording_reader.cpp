// LineReader: the lines of a recording as values.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "store/history_codec.hpp"
#include "store/recording_format.hpp"

namespace rpcw::store {
namespace {

constexpr std::size_t kMostReasons = 64;
/// Of one server between two reads.
constexpr std::uint64_t kMostRequests = 1U << 30U;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 50U;

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
    out.servers[i] = ServerView{
        .disabled = read_flag(s["disabled"]),
        .backup = read_flag(s["backup"]),
        .weight = s["weight"].integer<unsigned>(0, 256),
        .configured_weight = s["configured"].optional([](const JsonField& f) { return f.integer<unsigned>(0, 256); }),
        .down = read_flag(s["down"]),
        .stuck = read_flag(s["stuck"])};
  }
  return out;
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

MonoTime instant_in(const JsonField& event) {
  return event["mono_us"].duration<MonoTime>(MonoTime{-kMostUs}, MonoTime{kMostUs});
}

}  // namespace

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

Section LineReader::read_section(const JsonField& in) {
  Section out;
  const auto version = in["version"].integer<std::uint64_t>();
  if (version < kOldestRecording || version > kRecordingVersion)
    in["version"].fail(fmt::format("is {}, and this program reads the versions {} and {}", version, kOldestRecording,
                                   kRecordingVersion));
  out.program = in["program"].text(64);
  const std::string cause = in["cause"].text();
  const auto at = std::ranges::find(kCauseNames, cause);
  if (at == kCauseNames.end())
    in["cause"].fail("must be start, reload, rotation, resumed or servers");
  else
    out.cause = static_cast<Cause>(at - kCauseNames.begin());
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
      backend.servers.push_back({.name = servers[i]["name"].text(),
                                 .operator_name = servers[i]["operator"].text(),
                                 .interval = interval_in(servers[i]),
                                 .budget = budget_in(servers[i])});
      enter(fmt::format("{}/{}", backend.name, backend.servers.back().name), b, i, servers[i]["name"]);
    }
    const JsonField references = list[b]["references"];
    for (std::size_t i = 0; i < references.size(kMostTargets); ++i) {
      backend.references.push_back({.name = {},
                                    .operator_name = references[i]["operator"].text(),
                                    .interval = interval_in(references[i]),
                                    .budget = budget_in(references[i])});
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
  Known out{.backend = b, .state = {.history = empty_history(servers, references), .view = {}, .decision = {}}};
  out.state.dirty = in["dirty"].boolean();
  out.state.decided = in["decided"].boolean();
  out.state.blocked = read_flag(in["held_up"]);
  out.state.guessed = read_flag(in["guessed"]);
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

event::TrafficCame LineReader::read_traffic(const JsonField& in) const {
  event::TrafficCame traffic;
  traffic.backend = backend(in["name"]);
  traffic.at = instant_in(in);
  traffic.deltas.resize(traffic.backend < section_->backends.size() ? section_->backends[traffic.backend].servers.size()
                                                                    : 0);
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
    const auto count_in = [&](const char* name) { return list[i][name].integer<std::uint64_t>(0, kMostRequests); };
    traffic.deltas[index] = {.requests = count_in("requests"),
                             .ended = count_in("ended"),
                             .failures = count_in("failures"),
                             .aborted = list[i]["aborted"].present() ? count_in("aborted") : 0,
                             .client_errors = count_in("client_errors"),
                             .latency_ms = milliseconds_in("latency_ms"),
                             .timed = count_in("timed"),
                             .average_ms = milliseconds_in("average_ms"),
                             .sized = count_in("sized"),
                             .bytes = list[i]["bytes"].integer<std::uint64_t>(0, kMostBytes),
                             .open = count_in("open"),
                             .elapsed = list[i]["elapsed_us"].present() ? elapsed_in(list[i]) : elapsed};
  }
  return traffic;
}

Step LineReader::read_step(std::string_view event, const JsonField& in) const {
  Step out;
  if (event == "probe") {
    out.event = event::ProbeBegun{target(in["target"]), instant_in(in)};
  } else if (event == "sent") {
    out.event = event::ProbeSent{target(in["target"]), instant_in(in)};
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
    out.event = read_traffic(in);
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
