#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "config/config.hpp"
#include "store/json_codec.hpp"
#include "weighter/controller/action.hpp"
#include "weighter/controller/context.hpp"
#include "weighter/controller/event.hpp"

/// What a controller was told and what it wanted done, as lines of a recording:
///
///     controller  one begins, or takes over from the one before
///     turn        one event, and in `did` what it led to, each action in words
///
/// Answers of providers stand in the lines `head` and `answer` before their turn, and are not repeated.
namespace rpcw::store {

struct ControllerBegun {
  /// It continues the one before, as after a reload.
  bool continues = false;
  control::Options options;
  /// The file's, as `read_endpoint` gives them.
  std::vector<config::Endpoint> endpoints;
};
void write(JsonWriter& out, const ControllerBegun& begun);
ControllerBegun read_controller_begun(const JsonField& in);

struct Turn {
  Now now;
  /// Absent: what it was about is not in this recording.
  std::optional<control::Event> event;
  std::vector<std::string> did;
};

/// Words for the actions of a controller: the same words for the same action on the same servers. Must be given all its
/// actions, since AddTarget tells which server a number stands for.
class ActionWords {
 public:
  /// Empty: nothing but a log line, or for observers only. `now`: of the turn.
  std::string of(const control::Action& action, Now now);

 private:
  /// "backend/server", or "backend/#" and its number for a reference.
  std::map<control::TargetId, std::string> names_;
};

/// Writes the turns of one controller.
class TurnWriter {
 public:
  /// The turn begins. What is not written is left to the lines of the state.
  void begin(const control::Event& event, Now now);
  /// It ends; the line is valid until the next `begin`.
  std::string_view end(std::span<const control::Action> actions, Now now);

 private:
  JsonWriter line_;
  ActionWords words_;
  /// What each endpoint showed the last time.
  std::map<control::EndpointId, haproxy::Instance> reads_;
};

/// Reads the turns of one controller, in their order.
class TurnReader {
 public:
  /// A new controller.
  void begin() { *this = {}; }
  /// From the state's line before the turn.
  void head_came(const HeadObservation& observation) { head_ = observation; }
  void answer_came(const Answer& answer) { answer_ = answer; }
  Turn read(const JsonField& in);

 private:
  std::optional<control::Event> read_event(const JsonField& in);

  std::optional<HeadObservation> head_;
  std::optional<Answer> answer_;
  std::map<control::EndpointId, haproxy::Instance> reads_;
};

}  // namespace rpcw::store
