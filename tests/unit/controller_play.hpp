#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/two_servers.hpp"
#include "weighter/controller/controller.hpp"

/// A controller without a socket, whose events a test gives and whose actions it reads as words.
namespace rpcw::control {

using rpcw::model::shown;
using rpcw::model::two_servers;
using namespace std::chrono_literals;

using Texts = std::vector<std::string>;

inline constexpr WallTime kStart{std::chrono::seconds{1'700'000'000}};

/// A controller and a clock that the test moves.
struct Play {
  explicit Play(config::Config file, Options options = {}, Legacy legacy = {})
      : config(std::move(file)), controller(std::make_unique<Controller>(config, options, std::move(legacy))) {}

  /// The actions as words, without log lines and wake-ups.
  Texts give(control::Event event) {
    Texts out;
    for (Action& a :
         controller->on(std::move(event), {kStart + std::chrono::duration_cast<milliseconds>(now), now + 1h}))
      std::visit([&](auto& what) { describe(what, out); }, a);
    // No request waits in a queue.
    for (const TargetId target : std::exchange(sent, {}))
      for (std::string& what : give(control::event::HeadSent{target})) out.push_back(std::move(what));
    return out;
  }
  Texts pass(milliseconds time) {
    now += time;
    return give(control::event::TimeReached{});
  }
  /// Moves the clock from wake-up to wake-up, until something is to be done; empty: nothing within an hour.
  Texts next() {
    for (int i = 0; i < 1000 && wake; ++i) {
      now = std::max(now, *wake - 1h);
      if (Texts out = give(control::event::TimeReached{}); !out.empty()) return out;
    }
    return {};
  }

  Texts head(TargetId target, std::uint64_t number, milliseconds latency = 40ms) {
    const Now received{kStart + std::chrono::duration_cast<milliseconds>(now), now + 1h};
    return give(control::event::HeadAnswered{
        target, {received, latency, Head{number, fmt::format("0x{:x}", number), received.wall}}});
  }
  Texts no_head(TargetId target, Reason why = Reason::kConnectFailed) {
    const Now received{kStart + std::chrono::duration_cast<milliseconds>(now), now + 1h};
    return give(control::event::HeadAnswered{
        target, {received, 1ms, std::unexpected(ProbeFailure{why, "refused", {}, false})}});
  }
  Texts synced(TargetId target) {
    return give(control::event::CheckAnswered{target, {{}, {CheckKind::kSyncing}, AnswerValue{}}});
  }
  Texts read(EndpointId endpoint, haproxy::Instance instance) {
    return give(control::event::ServersRead{endpoint, std::move(instance), 100});
  }
  Texts not_read(EndpointId endpoint, haproxy::Error error = haproxy::Error::kConnect) {
    return give(control::event::ServersRead{endpoint, std::unexpected(haproxy::Failure{error, "nobody there"}), 0});
  }
  Texts confirmed(EndpointId endpoint, std::size_t count) {
    std::vector<haproxy::Outcome> outcomes(count);
    for (haproxy::Outcome& o : outcomes) o.kind = haproxy::Outcome::Kind::kDone;
    return give(control::event::WeightsAnswered{endpoint, std::move(outcomes)});
  }

  /// Both servers have answered, one HAProxy was read, and its first push is under way.
  void push_first() {
    give(control::event::Started{});
    read(0, shown({{"a", 100}, {"b", 100}}));
    for (TargetId t : {0U, 1U}) {
      head(t, 100);
      synced(t);
    }
    REQUIRE(pass(0ms) == Texts{"set 0: a 128, b 128"});
  }
  /// And it has confirmed the push.
  void settle() {
    push_first();
    REQUIRE(confirmed(0, 2).empty());
  }

  void describe(const action::AddTarget& a, Texts& out) {
    out.push_back(fmt::format("add {} {}", a.target, a.config->url));
  }
  void describe(const action::RemoveTarget& a, Texts& out) { out.push_back(fmt::format("remove {}", a.target)); }
  void describe(const action::ExpectFiles&, Texts&) {}
  void describe(const action::SendHead& a, Texts& out) {
    out.push_back(fmt::format("head {}", a.target));
    sent.push_back(a.target);
  }
  void describe(const action::SendCheck& a, Texts& out) {
    out.push_back(fmt::format("{} {}", to_string(a.check.kind), a.target));
  }
  void describe(const action::SendTogether& a, Texts& out) {
    out.push_back(fmt::format("together {} and {}", a.target, a.checks.size()));
  }
  void describe(const action::Recall&, Texts& out) { out.emplace_back("recall"); }
  void describe(const action::ResolveName& a, Texts& out) { out.push_back(fmt::format("resolve {}", a.place)); }
  void describe(const action::OpenEndpoint& a, Texts& out) { out.push_back(fmt::format("open {}", a.endpoint)); }
  void describe(const action::CloseEndpoint& a, Texts& out) { out.push_back(fmt::format("close {}", a.endpoint)); }
  void describe(const action::ReadInfo& a, Texts& out) { out.push_back(fmt::format("info {}", a.endpoint)); }
  void describe(const action::ReadServers& a, Texts& out) {
    out.push_back(fmt::format("{} {}", a.last != nullptr ? "refresh" : "read", a.endpoint));
  }
  void describe(const action::ReadLevel& a, Texts& out) { out.push_back(fmt::format("level {}", a.endpoint)); }
  void describe(const action::SetWeights& a, Texts& out) {
    std::string text;
    for (const haproxy::WeightCommand& c : a.commands)
      text += fmt::format("{} {} {}{}", text.empty() ? "" : ",", c.server, c.weight, c.percent ? "%" : "");
    out.push_back(fmt::format("set {}:{}", a.endpoint, text));
  }
  void describe(const action::ReleaseClients& a, Texts& out) {
    for (const haproxy::ReleaseCommand& c : a.commands)
      out.push_back(fmt::format("release {}: {} {}", a.endpoint,
                                c.kind == haproxy::ReleaseCommand::Kind::kClearStick ? "stick" : "sessions", c.server));
  }
  void describe(const action::WakeAt& a, Texts&) { wake = a.at; }
  void describe(const action::Log& a, Texts&) { logged.push_back(a.line.message); }
  void describe(const action::Decided& a, Texts&) { std::ranges::copy(a.changes, std::back_inserter(changes)); }
  void describe(const action::Repaired& a, Texts&) {
    noted.push_back(fmt::format("repaired {} {}/{}", a.endpoint, a.backend, a.server));
  }
  void describe(const action::WorkerReplaced& a, Texts&) { noted.push_back(fmt::format("worker {}", a.endpoint)); }
  void describe(const action::Finish&, Texts& out) { out.emplace_back("finish"); }

  bool said(std::string_view text) const {
    return std::ranges::any_of(logged, [&](const std::string& line) { return line.find(text) != std::string::npos; });
  }

  config::Config config;
  std::unique_ptr<Controller> controller;
  MonoTime now{0};
  std::optional<MonoTime> wake;
  std::vector<TargetId> sent;
  Texts logged;
  std::vector<ServerChange> changes;
  Texts noted;
};

/// Time in steps of 50 ms. What the controller asks for is answered at once.
struct Steps {
  explicit Steps(Play& play) : p(play) {}

  void play_until(MonoTime end) {
    while (p.now < end) {
      std::deque<std::string> todo;
      const auto add = [&todo](Texts&& more) { std::ranges::move(more, std::back_inserter(todo)); };
      for (add(p.pass(50ms)); !todo.empty(); todo.pop_front()) {
        const std::string& what = todo.front();
        const TargetId target = what.ends_with('1') ? 1 : 0;
        if (what.starts_with("head")) add(head(target));
        if (what.starts_with("syncing")) p.synced(target);
        if (what.starts_with("info"))
          p.give(control::event::InfoRead{
              0, haproxy::Info{"2.6.12", 7, 1000s + std::chrono::floor<std::chrono::seconds>(p.now)}});
        if (what.starts_with("set")) {
          on_set(what);
          p.confirmed(0, 2);
        }
        if (what.starts_with("refresh") || what.starts_with("read")) add(p.read(0, shows()));
      }
    }
  }
  Texts good_head(TargetId target) const { return p.head(target, 100 + static_cast<std::uint64_t>(p.now / 1s)); }

  Play& p;
  /// Gives a target's answer and returns what the controller does then; none: the answer never comes.
  std::function<Texts(TargetId)> head;
  std::function<haproxy::Instance()> shows = [] { return shown({{"a", 128}, {"b", 128}}); };
  std::function<void(const std::string&)> on_set = [](const std::string&) {};
};

}  // namespace rpcw::control
