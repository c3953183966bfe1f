#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
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
#include "weighter/state/topology.hpp"

namespace rpcw::haproxy {

/// One HAProxy endpoint. Each line of commands has a short connection of its own, one at a time: HAProxy serves about
/// ten, and one kept open would go on talking to the old process after a reload.
/// One operation at a time (a second one throws std::logic_error), on one thread, and the client must outlive it.
/// Operations may be cancelled (terminal) and may be destroyed with their io_context.
class Client {
 public:
  /// `endpoint`: of a dns: one's HAProxys one, see Discovery.
  /// `tls`: for tcp: and dns: endpoints, which then speak TLS; nullptr: they do not. May be shared.
  /// `timeout`: for a whole exchange, which is one line over one connection with all its replies; above 0.
  Client(boost::asio::any_io_executor executor, config::Endpoint endpoint, std::shared_ptr<TlsContext> tls,
         milliseconds timeout);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  const config::Endpoint& endpoint() const { return endpoint_; }

  /// One reply per command, in order, without its last line end. Fails as a whole when the transport does; the detail
  /// then says how many commands were answered. Throws std::invalid_argument as `pack` does.
  boost::asio::awaitable<std::expected<std::vector<std::string>, Failure>> run(std::vector<std::string> commands);

  /// What HAProxy has: all backends, or those named. A named one that does not exist is just not there.
  boost::asio::awaitable<std::expected<Instance, Failure>> read(std::span<const std::string> only_backends = {});

  /// Only who is there, which is a thousandth of what a large HAProxy's `read` costs it.
  boost::asio::awaitable<std::expected<Info, Failure>> info();

  /// What `read` gives, for less: `last`, which it gave for the same backends, is brought up to date by one `show stat`
  /// for each backend, by its number, and what only `show servers state` tells is taken from `last`. Where that would
  /// not do it reads as `read` does: another worker, other servers, a status that has changed, a backend that is new.
  boost::asio::awaitable<std::expected<Instance, Failure>> refresh(const Instance& last,
                                                                   std::span<const std::string> only_backends);

  /// Bytes of replies so far: what HAProxy had to write.
  std::uint64_t received() const { return received_; }

  /// One outcome per push, in order. A refused one does not stop the others; the first failure of the transport does,
  /// and all that was not answered by then is unconfirmed.
  boost::asio::awaitable<std::vector<Outcome>> push(std::vector<WeightCommand> commands);

  /// HAProxy's words to each command, in order; empty: it was done.
  boost::asio::awaitable<std::expected<std::vector<std::string>, Failure>> release(std::vector<ReleaseCommand> commands);

 private:
  using Address = boost::asio::generic::stream_protocol::endpoint;
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Link;
  class Busy;

  boost::asio::awaitable<std::optional<Failure>> find_addresses(TimePoint deadline);
  boost::asio::awaitable<std::optional<Failure>> connect(Link& link, TimePoint deadline);
  boost::asio::awaitable<std::optional<Failure>> secure(Link& link);
  /// One line over one connection. The replies are in `reader_`, those of a failed exchange too. On a master's socket
  /// nothing is sent while the worker owes the replies to an earlier line: the master keeps such a connection's slot
  /// until the worker answers, whether or not the client has gone, and has about ten of them.
  boost::asio::awaitable<std::optional<Failure>> exchange(const Line& line, std::size_t max_bytes);
  boost::asio::awaitable<std::optional<Failure>> exchange_now(const Line& line, std::size_t max_bytes);
  /// nullopt: the worker owes nothing any more, or another worker has taken its place.
  boost::asio::awaitable<std::optional<Failure>> wait_for_worker();
  void give_up_owed();
  /// From the replies in `reader_` to `show info`, a `show stat` for each name (one for all when there are none), and a
  /// `show servers state` likewise.
  std::optional<Failure> take_topology(std::span<const std::string> names, Instance& instance);
  /// Of a read: a first reply that is not HAProxy's says more than that the rest is missing.
  Failure read_failure(Failure&& failure) const;
  /// The reply to `show info`.
  std::expected<Info, Failure> take_info() const;
  boost::asio::awaitable<std::expected<Instance, Failure>> read_all(std::vector<std::string> names, bool only_named);
  /// nullopt: that does not do, and all has to be read.
  boost::asio::awaitable<std::expected<std::optional<Instance>, Failure>> read_changes(
      const Instance& last, std::span<const std::string> names);

  std::vector<Line> lines(std::span<const std::string> commands) const;
  std::string_view prefix() const;
  /// Shortens the lines after HAProxy has refused one of `line`'s length; false: they are as short as they can be.
  bool shorten(const Line& line);
  std::string where(std::string_view what) const;
  Failure failure(Error code, std::string_view what) const;
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
  /// As `show info` last told; 0: it has not.
  mutable std::int64_t worker_ = 0;
  std::uint64_t received_ = 0;
  bool busy_ = false;
};

/// For Client: nullptr when no file is given, and TLS is not to be used.
std::shared_ptr<TlsContext> tls_context(const config::TlsFiles& files);

}  // namespace rpcw::haproxy
