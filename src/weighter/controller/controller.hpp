#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/said.hpp"
#include "weighter/controller/action.hpp"
#include "weighter/controller/check_schedule.hpp"
#include "weighter/controller/context.hpp"
#include "weighter/controller/decision_log.hpp"
#include "weighter/controller/endpoints.hpp"
#include "weighter/plan/agent_answer.hpp"
#include "weighter/plan/server_list.hpp"
#include "weighter/report.hpp"
#include "weighter/system/system_state.hpp"

namespace rpcw::control {

/// Everything that the program decides, without I/O, clock or randomness: events in, actions out. `run`, `once`,
/// `scores` and `check --online` drive the same one; only the mode differs. One controller serves one configuration;
/// a changed one gets a new controller that adopts the old one's state.
///
/// Where the configuration says `discover`, its servers follow HAProxys' lists, without disturbing those that stay.
class Controller {
 public:
  /// Keeps a reference to `file`, the configuration as it was read. `legacy`: of the controller before.
  Controller(const config::Config& file, const Options& options, Legacy legacy = {});
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  /// What the event leads to, in the order in which it is to be carried out. `now` must not go back.
  std::vector<Action> on(Event event, Now now);

  [[nodiscard]] SystemState& state() { return state_; }
  [[nodiscard]] const SystemState& state() const { return state_; }
  /// For the controller that replaces this one.
  [[nodiscard]] Legacy legacy() const;

  // Running agent.
  /// As of the last decision, with what the first reachable HAProxy has now as `current_weight`.
  [[nodiscard]] Report report(Now now) const;
  /// What is missing before all weights are decided and are in every reachable HAProxy, each a line; empty: nothing.
  [[nodiscard]] std::vector<std::string> unsettled() const;
  /// A socket's level, by which its HAProxy refuses weights, and a backend that no reachable HAProxy has, each a line.
  /// Only a change of a configuration mends them, so `unsettled` does not count them.
  [[nodiscard]] std::vector<std::string> hindrances() const;

  /// Whether each backend with servers has been decided at least once; also where nothing told enough for weights.
  [[nodiscard]] bool decided() const;

  /// What HAProxy's agent-check is answered now.
  [[nodiscard]] AgentAnswer answer_agent(std::string_view asked) const;

  // Single pass, after action::Finish.
  [[nodiscard]] Report report() const;
  /// A HAProxy could not be reached, refused or did not confirm a command, or lacks a named server.
  [[nodiscard]] bool haproxy_trouble() const;

 private:
  /// The steps of a single pass; a running agent stays in kChecking.
  enum class Phase : std::uint8_t {
    kListing,    ///< waiting for HAProxys' server lists
    kRecalling,  ///< waiting for the state of an earlier process
    kChecking,
    kComparing,  ///< asking for blocks that a fork would differ in
    kReading,    ///< waiting for HAProxys
    kPushing,
    kFinished,
  };

  void handle(event::Started&& event);
  void handle(event::Recalled&& event);
  void handle(event::StopRequested&& event);
  void handle(event::TimeReached&& event);
  void handle(event::Acting&& event);
  void handle(event::Resumed&& event);
  void handle(event::HeadSent&& event);
  void handle(event::HeadAnswered&& event);
  void handle(event::CheckAnswered&& event);
  void handle(event::NameResolved&& event);
  void handle(event::InfoRead&& event);
  void handle(event::ServersRead&& event);
  void handle(event::LevelRead&& event);
  void handle(event::WeightsAnswered&& event);
  void handle(event::ClientsReleased&& event);

  void on_timer(Timers::Key key);
  void settle();
  void begin_checks();
  void servers_known();
  void log_waiting();

  [[nodiscard]] std::vector<Endpoints::Known> last_reads() const;
  config::Config expanded();
  void follow_lists();
  bool log_changes(const config::Backend& before, const config::Backend& after);

  void want_decision();
  void decide();
  void read_done();

  void advance_pass();
  void decide_pass();

  const config::Config& file_;
  /// From before there was this controller, for HAProxys that it has not read yet.
  const std::vector<LastRead> known_before_;
  std::optional<MonoTime> begun_;
  Said remarks_logged_;
  /// What `expanded` found before the first event, to be logged with it.
  std::vector<std::string> remarks_;
  ServerLists server_lists_;
  /// The file's, with the servers of `server_lists_`. Stays where it is, as its servers come and go.
  config::Config config_;
  SystemState state_;
  Context c_;
  CheckSchedule checks_;
  Endpoints endpoints_;
  DecisionLog log_;
  bool waiting_logged_;
  Phase phase_ = Phase::kListing;
  MonoTime last_decision_{};
  bool decided_once_ = false;
  std::optional<MonoTime> wake_at_;

  // Single pass.
  /// What the report shows of HAProxy: the first one that was read, before the push; absent: none was.
  std::optional<haproxy::Instance> before_;
  Now decided_at_;
};

}  // namespace rpcw::control
