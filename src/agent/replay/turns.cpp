#include "agent/replay/turns.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "weighter/schedule/pace.hpp"

namespace rpcw::replay {
namespace {

namespace action = control::action;
namespace told = control::event;

/// What a person still reads.
constexpr std::size_t kMostDifferent = 50;

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, "; "));
}

std::string of_check(control::TargetId target, const Check& check) {
  return fmt::format("{} {} of {}", to_string(check.kind), check.argument, target);
}

/// A template as it is without the variables' values, which a replay does not have: any text makes a URL of it.
std::string without_variables(std::string_view text) {
  std::string out;
  for (;;) {
    const std::size_t begin = text.find("${");
    const std::size_t end = begin == std::string_view::npos ? begin : text.find('}', begin);
    if (end == std::string_view::npos) return out.append(text);
    out.append(text.substr(0, begin)).append(1, 'x');
    text.remove_prefix(end + 1);
  }
}

bool same_servers(const store::SectionBackend& was, const config::Backend& is) {
  if (was.name != is.name || was.chain != is.chain.name || was.references.size() != is.references.size()) return false;
  // Where HAProxy says who is there, the events tell.
  if (!is.discover.empty() || !is.follows.empty()) return true;
  return std::ranges::equal(was.servers, is.servers, {}, &store::SectionBackend::Server::name, &config::Server::name);
}

/// What an event answers, as Asked words it; empty: nothing.
struct Answered {
  std::string operator()(const told::Recalled&) const { return "recall"; }
  std::string operator()(const told::HeadAnswered& e) const { return fmt::format("head of {}", e.target); }
  std::string operator()(const told::CheckAnswered& e) const { return of_check(e.target, e.answer.check); }
  std::string operator()(const told::NameResolved& e) const { return fmt::format("resolve {}", e.place); }
  std::string operator()(const told::InfoRead& e) const { return fmt::format("info of {}", e.endpoint); }
  std::string operator()(const told::ServersRead& e) const { return fmt::format("servers of {}", e.endpoint); }
  std::string operator()(const told::LevelRead& e) const { return fmt::format("level of {}", e.endpoint); }
  std::string operator()(const told::WeightsAnswered& e) const {
    return fmt::format("weights of {}: {}", e.endpoint, e.outcomes.size());
  }
  std::string operator()(const told::ClientsReleased& e) const { return fmt::format("release at {}", e.endpoint); }
  std::string operator()(const auto&) const { return {}; }
};

/// Notes what is to be answered.
struct Asked {
  std::multiset<std::string>& asked;

  void operator()(const action::Recall&) const { asked.insert("recall"); }
  void operator()(const action::SendHead& w) const { asked.insert(fmt::format("head of {}", w.target)); }
  void operator()(const action::SendCheck& w) const { asked.insert(of_check(w.target, w.check)); }
  void operator()(const action::SendTogether& w) const {
    asked.insert(fmt::format("head of {}", w.target));
    for (const Check& c : w.checks) asked.insert(of_check(w.target, c));
  }
  void operator()(const action::ResolveName& w) const { asked.insert(fmt::format("resolve {}", w.place)); }
  void operator()(const action::ReadInfo& w) const { asked.insert(fmt::format("info of {}", w.endpoint)); }
  void operator()(const action::ReadServers& w) const { asked.insert(fmt::format("servers of {}", w.endpoint)); }
  void operator()(const action::ReadLevel& w) const { asked.insert(fmt::format("level of {}", w.endpoint)); }
  void operator()(const action::SetWeights& w) const {
    asked.insert(fmt::format("weights of {}: {}", w.endpoint, w.commands.size()));
  }
  void operator()(const action::ReleaseClients& w) const { asked.insert(fmt::format("release at {}", w.endpoint)); }
  void operator()(const auto&) const {}
};

}  // namespace

config::Target as_recorded(const config::Target& target, bool reference, const config::Backend& backend,
                           const config::Probe& probe, const store::SectionBackend::Server& recorded) {
  config::Target out = target;
  if (!out.operator_given) out.operator_name = recorded.operator_name;
  if (recorded.interval.count() > 0 && paced_by_address(target, probe)) {
    out.pace = pace_with(recorded.interval, probe);
    out.pace.budget = recorded.budget;
  } else {
    out.pace = pace_of(target, reference, backend, probe);
  }
  return out;
}

void TurnReplay::section(const store::Section& section, bool goes_on) {
  // With a list that has changed the same controller goes on, and it has followed the same events here.
  if (section.cause == store::Cause::kServers || goes_on) return;
  if (section.cause == store::Cause::kRotation) leave_off("what was recorded before is missing");
  if (section.cause == store::Cause::kResumed) leave_off("for a while the file could not be written");
  section_ = section;
  known_.clear();
}

void TurnReplay::know(const store::Known& known) {
  if (known.backend < section_.backends.size() && known_.size() < section_.backends.size()) known_.push_back(known);
}

/// Why the configuration's controller cannot be given these events; absent: it can.
std::optional<std::string> TurnReplay::misfit() const {
  if (std::ranges::equal(section_.backends, config_.backends, same_servers)) return std::nullopt;
  return "the configuration has other backends or servers than were recorded";
}

/// The configuration with what it does not hold without a network: HAProxys, and what follows from addresses.
config::Config TurnReplay::fitted(std::vector<config::Endpoint>&& endpoints) const {
  config::Config out = config_;
  out.haproxy.endpoints = std::move(endpoints);
  for (std::size_t b = 0; b < out.backends.size(); ++b) {
    config::Backend& backend = out.backends[b];
    backend.discover = without_variables(backend.discover);
    const auto fit = [&](config::Target& target, bool reference, const store::SectionBackend::Server& was) {
      target = as_recorded(target, reference, config_.backends[b], out.probe, was);
    };
    const store::SectionBackend& was = section_.backends[b];
    for (std::size_t i = 0; i < backend.references.size(); ++i) fit(backend.references[i], true, was.references[i]);
    if (backend.discover.empty() && backend.follows.empty())
      for (std::size_t i = 0; i < backend.servers.size(); ++i) fit(backend.servers[i].target, false, was.servers[i]);
  }
  return out;
}

void TurnReplay::begin(store::ControllerBegun&& begun) {
  const std::unique_ptr<control::Controller> before = std::exchange(controller_, nullptr);
  const bool ended = std::exchange(finished_, false);
  if (begun.continues && (before == nullptr || !ended)) return leave_off("an earlier controller was not replayed");
  if (const auto why = misfit()) return leave_off(*why);
  configs_.push_back(fitted(std::move(begun.endpoints)));
  controller_ = std::make_unique<control::Controller>(configs_.back(), begun.options,
                                                      begun.continues ? before->legacy() : control::Legacy{});
  if (begun.continues && !begun.options.recall) controller_->state().adopt(std::move(before->state()));
  while (configs_.size() > 1) configs_.pop_front();
  words_ = {};
  asked_.clear();
  gone_.clear();
}

void TurnReplay::take(store::Turn&& turn) {
  ++out_.turns;
  if (controller_ == nullptr) return;
  if (!turn.event || !expected(*turn.event))
    return leave_off("the recording has an answer to a request that the replayed controller did not send");
  std::vector<std::string> did;
  for (const control::Action& a : controller_->on(std::move(*turn.event), turn.now)) {
    if (std::string words = words_.of(a, turn.now); !words.empty()) did.push_back(std::move(words));
    expect(a);
    count(a);
    if (std::holds_alternative<action::Finish>(a)) finished_ = true;
    if (const auto* left = std::get_if<action::RemoveTarget>(&a)) gone_.insert(left->target);
    if (std::holds_alternative<action::Recall>(a) && !recall())
      return leave_off("what was known at the start does not fit the configuration");
  }
  if (did == turn.did) {
    ++out_.compared;
    return;
  }
  if (out_.differences.size() < kMostDifferent)
    out_.differences.push_back({turn.now.wall, joined(turn.did), joined(did)});
  controller_.reset();
}

/// What an earlier process had left, as the section tells it. False: it has other sizes.
bool TurnReplay::recall() {
  SystemState& state = controller_->state();
  const config::Config& config = state.config();
  for (const store::Known& k : known_) {
    if (k.backend >= config.backends.size()) return false;
    const config::Backend& cfg = config.backends[k.backend];
    const BackendHistory& history = k.state.history;
    if (history.servers.size() != cfg.servers.size() || history.references.size() != cfg.references.size() ||
        std::ranges::any_of(history.servers,
                            [&](const TargetHistory& t) { return t.node.canaries.size() > cfg.canaries.size(); }))
      return false;
  }
  for (store::Known& k : std::exchange(known_, {})) state.restore(k.backend, std::move(k.state));
  state.restore(section_.blind, section_.cold);
  return true;
}

/// Whether it is no answer, or one to what was asked. A damaged recording may hold anything.
bool TurnReplay::expected(const control::Event& event) {
  const std::string question = std::visit(Answered{}, event);
  const bool too_late = std::visit(
      [this](const auto& e) {
        if constexpr (requires { e.target; }) return gone_.contains(e.target);
        return false;
      },
      event);
  if (question.empty() || too_late) return true;
  const auto at = asked_.find(question);
  if (at == asked_.end()) return false;
  asked_.erase(at);
  return true;
}

void TurnReplay::expect(const control::Action& a) {
  std::visit(Asked{asked_}, a);
}

void TurnReplay::count(const control::Action& a) {
  std::visit(
      [this]<typename T>(const T& w) {
        if constexpr (std::is_same_v<T, action::SendHead> || std::is_same_v<T, action::SendCheck>) ++out_.requests;
        if constexpr (std::is_same_v<T, action::SendTogether>) out_.requests += 1 + w.checks.size();
        if constexpr (std::is_same_v<T, action::ReadInfo> || std::is_same_v<T, action::ReadServers> ||
                      std::is_same_v<T, action::ReadLevel> || std::is_same_v<T, action::ReleaseClients> ||
                      std::is_same_v<T, action::SetWeights>)
          ++out_.exchanges;
        if constexpr (std::is_same_v<T, action::SetWeights>) out_.weights += w.commands.size();
      },
      a);
}

void TurnReplay::leave_off(std::string why) {
  controller_.reset();
  finished_ = false;
  if (noted_.insert(why).second) out_.notes.push_back(std::move(why));
}

}  // namespace rpcw::replay
