#include "weighter/controller/decision_log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <vector>

#include "base/text.hpp"
#include "weighter/allocate/fallback.hpp"
#include "weighter/judge/judge.hpp"

namespace rpcw {
namespace {

/// Servers of a backend that are logged one by one when nothing but their weights differs.
constexpr std::size_t kMostWeightLines = 64;
constexpr milliseconds kSummaryAgain{60'000};
/// A note that comes and goes is logged to begin this often at the most.
constexpr milliseconds kNoteAgain{60'000};

std::string reasons_text(const std::vector<ReasonNote>& reasons) {
  std::string out;
  for (const ReasonNote& r : reasons)
    out += fmt::format("{}{}: {}", out.empty() ? "" : "; ", to_string(r.code), r.detail);
  return out;
}

/// A weight that has changed by 40 % or more, or from or to 0. The other servers of one that is on its ramp take a
/// dozen smaller steps within seconds.
bool is_large_step(unsigned from, unsigned to) {
  constexpr double kLarge = 1.4;
  const auto [low, high] = std::minmax(from, to);
  return low == 0 ? high > 0 : static_cast<double>(high) >= kLarge * static_cast<double>(low);
}

/// Counts servers of which only the weight is new. In a large backend some server nearly always moves, and all others
/// with it: that would be thousands of lines a second.
std::size_t count_weight_only(const BackendDecision& before, const BackendDecision& after) {
  if (before.servers.size() != after.servers.size()) return 0;
  std::size_t out = 0;
  for (std::size_t i = 0; i < after.servers.size(); ++i)
    if (before.servers[i].state == after.servers[i].state && before.servers[i].weight != after.servers[i].weight) ++out;
  return out;
}

/// Whether a server that stays degraded or ejected has another first reason than before. Details are left out of it:
/// their numbers change all the time.
bool other_reason(const ServerDecision& before, const ServerDecision& now) {
  if (now.state != State::kDegraded && now.state != State::kEjected) return false;
  return !now.reasons.empty() && !before.reasons.empty() && before.reasons[0].code != now.reasons[0].code;
}

std::string what_follows(const BackendDecision& after) {
  std::vector<const ServerDecision*> servers;
  for (const ServerDecision& s : after.servers) servers.push_back(&s);
  return fallback_text(*after.fallback, servers);
}

}  // namespace

void DecisionLog::log_summary(const std::string& backend, std::size_t count, MonoTime now) {
  const auto [last, first] = summarised_.emplace(backend, now);
  if (!first && now - last->second < kSummaryAgain) return;
  last->second = now;
  write(
      config::LogLevel::kInfo, "summary",
      fmt::format("{}: {} servers have another weight and the same state (logged at most once in {} for each backend)",
                  backend, count, span_text(kSummaryAgain)),
      {{"backend", backend}, {"count", fmt::format("{}", count)}});
}

void DecisionLog::log_notes(const std::string& backend, const std::vector<BackendNote>& notes, MonoTime now) {
  for (const BackendNote& n : notes) {
    const auto [it, first] = notes_.try_emplace({backend, std::string(n.code)}, Note{now});
    if (!first && (it->second.open || now - it->second.begun < kNoteAgain)) continue;
    it->second = {now};
    write(config::LogLevel::kWarn, "note_on", fmt::format("{}: {}: {}", backend, n.code, n.detail),
          {{"backend", backend}, {"note", std::string(n.code)}});
  }
  for (auto& [key, logged] : notes_) {
    if (key.first != backend || !logged.open || std::ranges::find(notes, key.second, &BackendNote::code) != notes.end())
      continue;
    logged.open = false;
    write(config::LogLevel::kInfo, "note_off", fmt::format("{}: {} is over", backend, key.second),
          {{"backend", backend}, {"note", key.second}});
  }
}

/// An agreed head that comes or goes; each new block would be a line every few seconds.
void DecisionLog::log_head(const std::string& backend, const std::optional<AgreedHead>& before,
                           const std::optional<AgreedHead>& after) {
  if (before.has_value() == after.has_value()) return;
  if (after)
    write(config::LogLevel::kDebug, "head",
          fmt::format("{}: {} agree{} on the head {}", backend, counted(after->agreed_by, "operator"),
                      after->agreed_by == 1 ? "s" : "", after->number),
          {{"backend", backend}, {"block", fmt::format("{}", after->number)}});
  else
    write(config::LogLevel::kDebug, "head", fmt::format("{}: no head is agreed on any more", backend),
          {{"backend", backend}});
}

void DecisionLog::log_server(const config::Backend& backend, std::size_t i, const BackendDecision& before,
                             const BackendDecision& after, bool many) {
  const ServerDecision& s = after.servers[i];
  const std::string& server = backend.servers[i].name;
  const bool known = i < before.servers.size();
  const State old_state = known ? before.servers[i].state : State::kUnknown;
  const bool moved = !known || old_state != s.state || before.servers[i].weight != s.weight;
  const bool only_follows = !moved || (many && old_state == s.state);
  if (only_follows && !(known && other_reason(before.servers[i], s))) return;
  // Each is logged once a state, however often they take turns: a server whose time-outs and 503s alternate all
  // night, or that lags and warms up in turn, makes one line of each.
  Logged& logged =
      logged_[backend.name].try_emplace(server, Logged{{}, known ? before.servers[i].weight : 0}).first->second;
  if (only_follows && logged.reasons.contains(s.reasons.front().code)) return;
  if (old_state != s.state) logged.reasons.clear();
  const bool new_reason = !s.reasons.empty() && logged.reasons.insert(s.reasons.front().code).second;
  const unsigned old_weight = known ? before.servers[i].weight : 0;
  // A ramp has a line where it begins and one where it ends.
  const bool on_ramp = s.inputs.ramp < 1.0 && old_weight > 0 && s.weight > 0;
  const bool small = old_state == s.state && !new_reason && (on_ramp || !is_large_step(logged.weight, s.weight));
  if (!small) logged.weight = s.weight;
  const std::string reasons = s.reasons.empty() ? slowness_text(s) : reasons_text(s.reasons);
  const std::string state = old_state == s.state ? std::string(to_string(s.state))
                                                 : fmt::format("{} -> {}", to_string(old_state), to_string(s.state));
  const std::string weight =
      known && old_weight != s.weight ? fmt::format("{} -> {}", old_weight, s.weight) : fmt::format("{}", s.weight);
  const std::string message = fmt::format("{}/{}: {}, weight {}{}", backend.name, server, state, weight,
                                          reasons.empty() ? "" : " (" + reasons + ")");
  const bool bad = s.state == State::kEjected && old_state != State::kEjected;
  const std::string_view event = old_state != s.state     ? "state_changed"
                                 : old_weight != s.weight ? "weight_changed"
                                                          : "reason_changed";
  const config::LogLevel level = bad     ? config::LogLevel::kWarn
                                 : small ? config::LogLevel::kDebug
                                         : config::LogLevel::kInfo;
  std::vector<std::pair<std::string_view, std::string>> fields{{"backend", backend.name},
                                                               {"server", server},
                                                               {"from_state", std::string(to_string(old_state))},
                                                               {"to_state", std::string(to_string(s.state))}};
  if (known) fields.emplace_back("from_weight", fmt::format("{}", old_weight));
  fields.emplace_back("to_weight", fmt::format("{}", s.weight));
  write(level, event, message, std::move(fields), s.reasons);
}

void DecisionLog::log_fallback(const config::Backend& backend, const BackendDecision& before,
                               const BackendDecision& after) {
  if (before.fallback == after.fallback || backend.servers.empty()) return;
  if (!after.fallback)
    write(config::LogLevel::kInfo, "fallback_off",
          fmt::format("{}: enough servers are healthy again, weights follow the scores", backend.name),
          {{"backend", backend.name}, {"fallback", std::string(config::to_string(*before.fallback))}});
  else
    write(config::LogLevel::kWarn, "fallback_on",
          fmt::format("{}: {} of {} servers healthy, min_healthy is {}: {}", backend.name, after.healthy,
                      after.servers.size(), backend.min_healthy, what_follows(after)),
          {{"backend", backend.name}, {"fallback", std::string(config::to_string(*after.fallback))}});
}

void DecisionLog::decided(const config::Backend& backend, const BackendDecision& before, const BackendDecision& after,
                          MonoTime now) {
  const std::size_t weight_only = count_weight_only(before, after);
  const bool many = weight_only > kMostWeightLines;
  if (many) log_summary(backend.name, weight_only, now);
  auto& logged = logged_[backend.name];
  // Servers that have left the list would be remembered for good; what stays is logged once more.
  if (logged.size() > backend.servers.size()) logged.clear();
  for (std::size_t i = 0; i < after.servers.size(); ++i) log_server(backend, i, before, after, many);
  log_head(backend.name, before.head, after.head);
  log_notes(backend.name, after.notes, now);
  log_fallback(backend, before, after);
}

}  // namespace rpcw
