#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "weighter/controller/action.hpp"
#include "weighter/controller/timers.hpp"
#include "weighter/system/system_state.hpp"
#include "weighter/system/traffic.hpp"

namespace rpcw::control {

enum class Mode : std::uint8_t {
  kRun,     ///< checks, decides and pushes until it is stopped
  kOnce,    ///< one decision, pushed
  kScores,  ///< one decision; HAProxy is only read
};

struct Options {
  Mode mode = Mode::kRun;
  /// Everything is done but sending weights.
  bool dry_run = false;
  /// Heads asked of each target before the decision of a single pass. [1, 100]
  unsigned samples = 1;
  /// Another agent may set the weights: none is sent before event::Acting.
  bool standby = false;
  /// The state of an earlier process is to be had: action::Recall is given once the servers are known.
  bool recall = false;
  /// For the jitter of the schedule.
  std::uint32_t seed = 1;
};

/// A HAProxy as it was last read, and where.
struct LastRead {
  /// The endpoint's text, with the address where a name has several.
  std::string endpoint;
  haproxy::Instance instance;
};

/// The checks of one target, as a controller leaves them to the next one.
struct CheckedBefore {
  /// When its first check was due, and its newest.
  MonoTime first_due{};
  MonoTime last_start{};
  /// Its first round is over, or no decision waits for it.
  bool answered = false;
  /// Decisions about its backend wait for its first round.
  bool blocks_backend = false;
  /// What is left of its budget, in requests; absent: it has none.
  std::optional<double> budget_left;
};
/// By target (see CheckSchedule::keys); those that were checked.
using ChecksBefore = std::map<std::string, CheckedBefore>;

/// Backends of one HAProxy worker that take only 0 % and 100 %, as a refusal has shown.
struct StaticBackends {
  /// The endpoint's text.
  std::string endpoint;
  /// 0: it is not reachable.
  std::int64_t pid = 0;
  std::set<std::string> backends;
};

/// Left by a controller for the one that replaces it, besides the state: without it a reload would begin to wait anew.
struct Legacy {
  /// Of every HAProxy that was ever read, for its list of servers; empty without `discover`.
  std::vector<LastRead> reads;
  ChecksBefore checks;
  /// It was logged that the agent waits for HAProxy's list.
  bool waiting_logged = false;
  /// Those that have any.
  std::vector<StaticBackends> static_backends;
};

/// What the parts of one controller share.
struct Context {
  Context(const config::Config& servers, SystemState& known, const Options& how)
      : config(servers), state(known), options(how), acting(!how.standby) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  /// With the servers that are known now.
  const config::Config& config;
  SystemState& state;
  const Options options;
  Timers timers;
  /// What the event under way has led to so far.
  std::vector<Action> out;
  Now now;
  bool stopping = false;
  /// Of several agents this one sets the weights.
  bool acting = true;
  /// Since when. A HAProxy is read again before it is sent weights: another agent may have set them.
  MonoTime acting_since{};
  /// As the controller before has found them.
  std::vector<StaticBackends> known_static;
  OpenRequests open;
  /// Something came that a decision has to weigh.
  bool decision_wanted = false;
  /// A probe has no answer yet: HAProxy's counters may show whether live requests wait as well.
  bool read_wanted = false;

  [[nodiscard]] bool runs() const { return options.mode == Mode::kRun; }
  [[nodiscard]] MonoTime mono() const { return now.mono; }

  void act(Action action) { out.push_back(std::move(action)); }
  /// Only a running agent logs; a single pass has its report.
  void log(config::LogLevel level, std::string message,
           std::vector<std::pair<std::string_view, std::string>> fields = {}, std::string_view event = "message") {
    if (runs()) act(action::Log{{level, std::move(message), std::move(fields), event}});
  }
};

}  // namespace rpcw::control
