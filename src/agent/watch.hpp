#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "config/config.hpp"
#include "haproxy/client.hpp"
#include "weighter/plan/repairs.hpp"
#include "weighter/state/fleet.hpp"

namespace rpcw {

/// One HAProxy: read again and again, and brought to what the fleet holds.
class Watch {
 public:
  /// What all watches of a configuration have in common; outlives them.
  struct Common {
    const config::Config& config;
    Fleet& fleet;
    bool dry_run = false;
    std::shared_ptr<haproxy::TlsContext> tls;
    /// Called after each successful read and before anything is pushed.
    std::function<void()> on_read;
    /// Called when live traffic was counted; with targets to probe at once.
    std::function<void(const std::vector<std::size_t>&)> on_live;
  };

  Watch(boost::asio::io_context& io, const Common& common, const config::Endpoint& endpoint);
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  /// Until `request_stop`, or until it has left (see `list`).
  boost::asio::awaitable<void> run();
  /// The slot that `run` has to be spawned with, for `abandon`.
  boost::asio::cancellation_slot slot() { return give_up_.slot(); }
  /// The fleet may hold other weights now: they are pushed at once.
  void wake();
  /// Something looks wrong that this HAProxy may see as well: it is read soon, as far as that costs it little.
  void look();
  /// An exchange that is under way is waited for.
  void request_stop();
  /// Ends an exchange that is under way.
  void abandon() { give_up_.emit(boost::asio::cancellation_type::terminal); }

  /// Whether its name still leads to it; so it begins. One that its name does not lead to any more is watched until it
  /// does not answer, but no longer than a minute: a Kubernetes service leaves out pods that are ending and still have
  /// traffic, and a name server may show a few of many addresses at a time.
  void list(bool listed);

  [[nodiscard]] const config::Endpoint& endpoint() const { return client_.endpoint(); }
  /// As last read, with what was confirmed since; nullptr: not reachable.
  [[nodiscard]] const haproxy::Instance* instance() const { return instance_ ? &*instance_ : nullptr; }
  /// The same, but while it is not reachable what it had before: a restart moves no server. nullptr: it never was.
  [[nodiscard]] const haproxy::Instance* last() const { return last_ ? &*last_ : instance(); }

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Key = Repairs::Key;

  boost::asio::awaitable<void> read();
  void failed(const haproxy::Failure& failure);
  /// `bytes`: what the last look was.
  void note_cost(std::uint64_t bytes);
  /// Between two reads.
  milliseconds interval() const;
  boost::asio::awaitable<void> push();
  /// `unconfirmed`: servers whose weight may have been set or not.
  void push_failed(const haproxy::Failure& failure, std::set<Key> unconfirmed);
  void tell_of_sets();
  bool has_left() const;
  /// `before`: the same worker's last read; nullptr: there was none.
  void count_traffic(const haproxy::Instance* before, haproxy::Instance& fresh);
  /// Which weights somebody else has changed since the last read.
  void note_foreign(const haproxy::Instance& fresh);
  /// Counts a repair; true: there have been so many that the server is left alone for now.
  bool is_contended(const WeightChange& change);
  void mark_contended();
  Key key_of(const WeightChange& change) const;
  void tell_notes();
  void say_once(const std::string& what);
  void lost(const haproxy::Failure& failure);
  const std::string& name() const { return endpoint().text; }

  const Common& common_;
  haproxy::Client client_;
  boost::asio::cancellation_signal give_up_;
  /// Ends the wait for the next read early, when there is something to push.
  boost::asio::steady_timer wake_;
  bool woken_ = false;
  bool stopping_ = false;
  /// Since when its name does not lead to it; absent: it does.
  std::optional<TimePoint> unlisted_;
  std::optional<haproxy::Instance> instance_;
  /// While it is not reachable: what it had; absent: it never was.
  std::optional<haproxy::Instance> last_;
  /// The servers are read with every read, or more seldom where that would cost HAProxy too much: it does not when they
  /// are so far apart.
  TimePoint last_look_{};
  milliseconds affordable_{0};
  TimePoint next_read_{};
  /// When traffic was counted last.
  MonoTime counted_at_{};
  /// The last read has shown something that the next one should settle.
  bool in_doubt_ = false;
  bool told_of_pace_ = false;
  bool ever_reached_ = false;
  /// Reads and sets are told apart: each may work without the other.
  struct Trouble {
    /// The kinds that were told since it last worked.
    std::set<haproxy::Error> told;
    /// Before the next attempt; 0: the last one worked.
    milliseconds back_off{0};
  };
  Trouble reads_;
  Trouble sets_;
  /// Why the last sets were not confirmed, until a read tells whether HAProxy is there at all.
  std::optional<haproxy::Failure> untold_;
  TimePoint next_push_{};
  /// Servers whose weight may have been set or not by then.
  std::set<Key> unconfirmed_;
  /// When the last read of the servers began.
  TimePoint asked_at_{};
  /// Servers that are left alone, since they were refused or are contended, until when.
  std::map<Key, TimePoint> paused_;
  std::map<Key, TimePoint> contended_;
  /// Servers whose weight somebody else has changed since the read before.
  std::set<Key> foreign_;
  Repairs repairs_;
  /// Backends of this worker that take only 0 % and 100 %.
  std::set<std::string> percent_;
  /// What was said about this worker already, so that it is said once.
  std::set<std::string> said_;
};

}  // namespace rpcw
