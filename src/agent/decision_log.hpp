#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "observe/log.hpp"
#include "weighter/allocate/decide.hpp"

namespace rpcw {

/// Tells decisions: each change of state or weight is a line of its server, and nothing is told twice. Of many servers
/// that have other weights only because others have, one line a minute and backend tells.
class DecisionLog {
 public:
  using Write = std::function<void(config::LogLevel, std::string_view message, std::initializer_list<log::Field>)>;

  explicit DecisionLog(Write write = log::write) : write_(std::move(write)) {}

  /// `before`: the decision that `after` replaces; without servers when there was none. `backend` has the servers of
  /// `after`, in their order.
  void tell(const config::Backend& backend, const BackendDecision& before, const BackendDecision& after, MonoTime now);

 private:
  /// By server: the first reasons that were told since it came into its present state.
  using Told = std::map<std::string, std::set<Reason>, std::less<>>;

  void tell_of_followers(const std::string& backend, std::size_t count, MonoTime now);
  void tell_of_notes(const std::string& backend, const std::vector<BackendNote>& notes, MonoTime now);

  Write write_;
  /// By backend.
  std::map<std::string, Told> told_;
  /// By backend and code: when a note was told to begin, and whether its end was not told yet.
  struct Note {
    MonoTime begun{};
    bool open = true;
  };
  std::map<std::pair<std::string, std::string>, Note> notes_;
  /// By backend: when it was told last that many weights have moved.
  std::map<std::string, MonoTime> followers_told_;
};

}  // namespace rpcw
