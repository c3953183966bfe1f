#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "weighter/allocate/decide.hpp"
#include "weighter/controller/log_line.hpp"

namespace rpcw {

/// The log of decisions: each change of state or weight is a line of its server, and nothing is logged twice. Small
/// steps of a weight alone, as on a ramp, are for level debug. Many servers whose weights change only because others'
/// do share one line a minute and backend.
class DecisionLog {
 public:
  using Write = std::function<void(LogLine)>;

  explicit DecisionLog(Write write) : log_(std::move(write)) {}

  /// `before`: the decision that `after` replaces; without servers when there was none. `backend` has the servers of
  /// `after`, in their order.
  void decided(const config::Backend& backend, const BackendDecision& before, const BackendDecision& after,
               MonoTime now);

 private:
  /// Of a server, without lines for level debug.
  struct Logged {
    /// The first reasons since it came into its present state.
    std::set<Reason> reasons;
    unsigned weight = 0;
  };

  void write(config::LogLevel level, std::string_view event, std::string message,
             std::vector<std::pair<std::string_view, std::string>> fields, std::vector<ReasonNote> reasons = {}) {
    log_({level, std::move(message), std::move(fields), event, std::move(reasons)});
  }
  void log_head(const std::string& backend, const std::optional<AgreedHead>& before,
                const std::optional<AgreedHead>& after);
  /// `many`: servers of which nothing but the weight differs are left to the summary.
  void log_server(const config::Backend& backend, std::size_t server, const BackendDecision& before,
                  const BackendDecision& after, bool many);
  void log_fallback(const config::Backend& backend, const BackendDecision& before, const BackendDecision& after);
  void log_summary(const std::string& backend, std::size_t count, MonoTime now);
  void log_notes(const std::string& backend, const std::vector<BackendNote>& notes, MonoTime now);

  Write log_;
  /// By backend, by server.
  std::map<std::string, std::map<std::string, Logged>> logged_;
  /// By backend and code: when a note was logged to begin, and whether its end was not logged yet.
  struct Note {
    MonoTime begun{};
    bool open = true;
  };
  std::map<std::pair<std::string, std::string>, Note> notes_;
  /// By backend: when it was logged last that many weights have moved.
  std::map<std::string, MonoTime> summarised_;
};

}  // namespace rpcw
