#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/replay/replay.hpp"
#include "config/config.hpp"
#include "store/recording_format.hpp"
#include "weighter/controller/controller.hpp"

namespace rpcw::replay {

/// A target of the file with what follows from its address, which a replay does not know: as it was recorded.
config::Target as_recorded(const config::Target& target, bool reference, const config::Backend& backend,
                           const config::Probe& probe, const store::SectionBackend::Server& recorded);

/// Gives a recording's turns to a controller of its own, and compares what that one wants done.
class TurnReplay {
 public:
  /// Keeps a reference to `config`.
  explicit TurnReplay(const config::Config& config) : config_(config) {}

  /// `goes_on`: nothing is missing between this section and what came before.
  void section(const store::Section& section, bool goes_on);
  /// Of the last section.
  void know(const store::Known& known);
  void begin(store::ControllerBegun&& begun);
  void take(store::Turn&& turn);
  Schedule finish() { return std::move(out_); }

 private:
  [[nodiscard]] std::optional<std::string> misfit() const;
  [[nodiscard]] config::Config fitted(std::vector<config::Endpoint>&& endpoints) const;
  bool recall();
  bool expected(const control::Event& event);
  void expect(const control::Action& action);
  void count(const control::Action& action);
  void leave_off(std::string why);

  const config::Config& config_;
  store::Section section_;
  std::vector<store::Known> known_;
  /// The last one is at work; a controller refers to its configuration.
  std::deque<config::Config> configs_;
  /// nullptr: turns are not replayed until another start.
  std::unique_ptr<control::Controller> controller_;
  bool finished_ = false;
  store::ActionWords words_;
  /// What was asked and not answered yet.
  std::multiset<std::string> asked_;
  /// Removed targets; answers for them are ignored.
  std::set<control::TargetId> gone_;
  std::set<std::string> noted_;
  Schedule out_;
};

}  // namespace rpcw::replay
