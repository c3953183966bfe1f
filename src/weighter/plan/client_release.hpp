#pragma once

#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "weighter/allocate/decide.hpp"
#include "weighter/state/exchange.hpp"
#include "weighter/state/haproxy_view.hpp"

namespace rpcw {

/// `on_eject` at one HAProxy. Weight 0 keeps new clients away from an ejected server; clients that are bound to it have
/// to be released. Tells which commands are due and what became of them. Pure.
class ClientRelease {
 public:
  /// Backend and server, by name: their numbers change with HAProxy's list.
  using Key = std::pair<std::string, std::string>;

  /// What became of one command.
  struct Result {
    haproxy::ReleaseCommand command;
    /// It was done before since the server was ejected.
    bool again = false;
    /// Why it was not done; empty: it was.
    std::string trouble;
  };

  /// `decided`: of the backend's servers. `now`: its row in this HAProxy. The clients of an ejected server are due when
  /// it has weight 0: once for each ejection, and once more when another writer gave it weight meanwhile.
  void follow(const config::Backend& backend, std::span<const ServerDecision> decided, const haproxy::BackendRow& now);
  /// Clients of servers that have weight 0 now are not due: a single pass cannot know for how long they have had it.
  void leave_alone(const haproxy::Instance& now);
  /// Two reads of one worker in a row. HAProxy writes a stick table's entry when the answer comes
  /// (process_store_rules), so a request that was under way when the entries were cleared binds its client again, and
  /// each later one does the same: while requests come to a server that is still ejected, its entries are cleared
  /// again.
  void compare_reads(const haproxy::Instance& before, const haproxy::Instance& after);
  /// Another worker has other sessions, and tables of its own.
  void forget_worker() {
    cleared_.clear();
    released_.clear();
  }
  /// Another agent acts now: nothing is due.
  void drop() { due_.clear(); }

  [[nodiscard]] bool is_due() const { return !due_.empty(); }
  /// What is due, to be sent now, and to be answered before the next call.
  const std::vector<haproxy::ReleaseCommand>& take();
  /// HAProxy's words to each command taken; empty: it was done.
  std::vector<Result> answered(const std::vector<std::string>& replies);
  /// None of them was answered.
  std::vector<Result> failed(const std::string& why);

 private:
  std::vector<haproxy::ReleaseCommand> due_;
  std::vector<haproxy::ReleaseCommand> sent_;
  /// Entries that were cleared at least once since the ejection of their server.
  std::map<Key, haproxy::ReleaseCommand> cleared_;
  /// Those that are ejected, have weight 0, and whose clients were released or are about to be.
  std::set<Key> released_;
};

}  // namespace rpcw
