#pragma once

#include <chrono>
#include <span>

#include "base/time.hpp"
#include "weighter/controller/action.hpp"
#include "weighter/controller/event.hpp"

namespace rpcw::control {

/// Sees each event that a controller is given and the actions that follow from it, in order. Must not throw.
class Observer {
 public:
  Observer() = default;
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;
  virtual ~Observer() = default;

  /// Before the controller has it.
  virtual void on_event(const Event& event, Now now) = 0;
  /// Before the actions are carried out. `took`: how long the controller has worked on the event.
  virtual void on_actions(std::span<const Action> actions, Now now, std::chrono::nanoseconds took) = 0;
};

}  // namespace rpcw::control
