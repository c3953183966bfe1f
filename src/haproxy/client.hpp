#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "config/config.hpp"
#include "haproxy/channel.hpp"
#include "haproxy/protocol.hpp"
#include "haproxy/tls.hpp"
#include "weighter/state/exchange.hpp"
#include "weighter/state/topology.hpp"

namespace rpcw::haproxy {

/// What is asked of one HAProxy endpoint, and what its replies mean.
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

  const config::Endpoint& endpoint() const { return channel_.endpoint(); }

  /// One reply per command, in order, without its last line end. Fails as a whole when the transport does; the detail
  /// then says how many commands were answered. Throws std::invalid_argument as `pack` does.
  boost::asio::awaitable<std::expected<std::vector<std::string>, Failure>> run(std::vector<std::string> commands);

  /// What HAProxy has: all backends, or those named. A named one that does not exist is just not there.
  boost::asio::awaitable<std::expected<Instance, Failure>> read(std::span<const std::string> only_backends = {});

  /// Only version, pid and uptime: a thousandth of what `read` costs a large HAProxy.
  boost::asio::awaitable<std::expected<Info, Failure>> info();

  /// What `read` gives, for less: `last`, which it gave for the same backends, is brought up to date by one `show stat`
  /// for each backend, by its number, and what only `show servers state` tells is taken from `last`. Where that would
  /// not do it reads as `read` does: another worker, other servers, a status that has changed, a backend that is new.
  boost::asio::awaitable<std::expected<Instance, Failure>> refresh(const Instance& last,
                                                                   std::span<const std::string> only_backends);

  /// Bytes of replies so far: what HAProxy had to write.
  std::uint64_t received() const { return channel_.received(); }

  /// One outcome per push, in order. A refused one does not stop the others; the first failure of the transport does,
  /// and all that was not answered by then is unconfirmed.
  /// `may_send`: asked when a line is about to leave; where it says no, that line and the rest are unconfirmed. Empty:
  /// everything may leave.
  boost::asio::awaitable<std::vector<Outcome>> push(std::vector<WeightCommand> commands,
                                                    std::function<bool()> may_send = {});

  /// HAProxy's words to each command, in order; empty: it was done.
  boost::asio::awaitable<std::expected<std::vector<std::string>, Failure>> release(
      std::vector<ReleaseCommand> commands);

 private:
  class Busy;

  /// From the replies to `show info`, a `show stat` for each name (one for all when there are none), and a
  /// `show servers state` likewise.
  std::optional<Failure> take_topology(std::span<const std::string> names, Instance& instance);
  /// Of a read: a first reply that is not HAProxy's says more than that the rest is missing.
  Failure read_failure(Failure&& failure);
  /// The reply to `show info`.
  std::expected<Info, Failure> take_info();
  boost::asio::awaitable<std::expected<Instance, Failure>> read_all(std::vector<std::string> names, bool only_named);
  /// nullopt: that does not do, and all has to be read.
  boost::asio::awaitable<std::expected<std::optional<Instance>, Failure>> read_changes(
      const Instance& last, std::span<const std::string> names);

  Channel channel_;
  bool busy_ = false;
};

/// For Client: nullptr when no file is given, and TLS is not to be used.
std::shared_ptr<TlsContext> tls_context(const config::TlsFiles& files);

}  // namespace rpcw::haproxy
