#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "config/config.hpp"
#include "haproxy/lookup.hpp"
#include "haproxy/protocol.hpp"
#include "haproxy/tls.hpp"
#include "weighter/state/exchange.hpp"

namespace rpcw::haproxy {

/// Lines of commands to one HAProxy endpoint, and their replies. Each line has a short connection of its own, one at a
/// time: HAProxy serves about ten, and one kept open would go on talking to the old process after a reload.
class Channel {
 public:
  /// As Client's.
  Channel(boost::asio::any_io_executor executor, config::Endpoint endpoint, std::shared_ptr<TlsContext> tls,
          milliseconds timeout);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel();

  [[nodiscard]] const config::Endpoint& endpoint() const { return endpoint_; }
  /// Bytes of replies so far.
  [[nodiscard]] std::uint64_t received() const { return received_; }

  /// Before the first line of an operation: names are looked up anew.
  void begin() { addresses_.clear(); }
  /// One line over one connection. Its replies are in `replies()`, those of a failed exchange too. On a master's socket
  /// nothing is sent while the worker owes the replies to an earlier line: the master keeps such a connection's slot
  /// until the worker answers, whether or not the client has gone, and has about ten of them.
  /// `may_send`: asked when the line is about to leave; false: it does not. Empty: it may.
  boost::asio::awaitable<std::optional<Failure>> exchange(const Line& line, std::size_t max_bytes,
                                                          const std::function<bool()>& may_send = {});
  /// Of the last line.
  [[nodiscard]] const ReplyReader& replies() const { return reader_; }

  /// The commands in lines that HAProxy takes.
  [[nodiscard]] std::vector<Line> lines(std::span<const std::string> commands) const;
  /// Shortens the lines after HAProxy has refused one of `line`'s length; false: they are as short as they can be.
  bool shorten(const Line& line);
  [[nodiscard]] std::size_t max_line() const { return max_line_; }
  /// Before each command; empty but for a master's worker.
  [[nodiscard]] std::string_view prefix() const;

  /// `pid`: of the worker that has answered last.
  void set_worker(std::int64_t pid) { worker_ = pid; }
  /// With the endpoint before the words.
  [[nodiscard]] Failure failure(Error code, std::string_view what) const;

 private:
  using Address = boost::asio::generic::stream_protocol::endpoint;
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Link;

  boost::asio::awaitable<std::optional<Failure>> find_addresses(TimePoint deadline);
  boost::asio::awaitable<std::optional<Failure>> connect(Link& link, TimePoint deadline);
  boost::asio::awaitable<std::optional<Failure>> secure(Link& link);
  boost::asio::awaitable<std::optional<Failure>> exchange_now(const Line& line, std::size_t max_bytes,
                                                              const std::function<bool()>& may_send = {});
  /// nullopt: the worker owes nothing any more, or another worker has taken its place.
  boost::asio::awaitable<std::optional<Failure>> wait_for_worker();
  void give_up_owed();
  std::string where(std::string_view what) const;
  Failure connect_failure(const boost::system::error_code& error) const;
  Failure cut_off(const Link& link, const boost::system::error_code& error, const Line& line) const;
  Failure too_late(std::string_view doing) const;

  boost::asio::any_io_executor executor_;
  config::Endpoint endpoint_;
  std::shared_ptr<TlsContext> tls_;
  milliseconds timeout_;
  /// Kept from one exchange to the next for its memory.
  ReplyReader reader_{0, 0};
  /// Shorter than kMaxLine once HAProxy (3.4 with a small tune.bufsize) has refused a line.
  std::size_t max_line_ = kMaxLine;
  /// Where the operation under way connects to, the one that worked last first. Names are asked for anew each time.
  std::vector<Address> addresses_;
  /// A look-up that has not answered by its exchange's deadline; the next one waits for it instead of starting another.
  std::shared_ptr<Lookup> lookup_;
  /// A master's connection whose replies are overdue; nullptr: there is none.
  std::shared_ptr<Link> owed_;
  /// The process that owes them; 0: not known.
  std::int64_t owing_worker_ = 0;
  /// The worker that has answered last; 0: not known.
  std::int64_t worker_ = 0;
  std::uint64_t received_ = 0;
};

}  // namespace rpcw::haproxy
