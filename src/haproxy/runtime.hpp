#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <expected>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "haproxy/protocol.hpp"
#include "weighter/state/exchange.hpp"
#include "weighter/state/topology.hpp"

namespace rpcw::haproxy {

/// The runtime API of one HAProxy. An interface, so that the agent is tested without a socket; Client is the real one.
/// One operation at a time (a second one throws std::logic_error), on one thread, and the object must outlive it.
/// Operations may be cancelled (terminal) and may be destroyed with their io_context.
class Runtime {
 public:
  Runtime() = default;
  virtual ~Runtime() = default;
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  /// One reply per command, in order, without its last line end. Fails as a whole when the transport does; the detail
  /// then says how many commands were answered. Throws std::invalid_argument as `pack` does.
  virtual boost::asio::awaitable<std::expected<std::vector<std::string>, Failure>> run(
      std::vector<std::string> commands) = 0;

  /// Reads all backends, or those named. A named one that does not exist is left out.
  virtual boost::asio::awaitable<std::expected<Instance, Failure>> read(std::span<const std::string> only_backends) = 0;

  /// Only version, pid and uptime: a thousandth of what `read` costs a large HAProxy.
  virtual boost::asio::awaitable<std::expected<Info, Failure>> info() = 0;

  /// Gives what `read` gives, and costs HAProxy less. `last`: the result of the read before, of the same backends. One
  /// `show stat` for each backend brings it up to date. Reads as `read` does for another worker, other servers, a
  /// status that has changed or a new backend.
  virtual boost::asio::awaitable<std::expected<Instance, Failure>> refresh(
      const Instance& last, std::span<const std::string> only_backends) = 0;

  /// Bytes of replies so far: what HAProxy had to write.
  [[nodiscard]] virtual std::uint64_t received() const = 0;

  /// One outcome per push, in order. A refused one does not stop the others; the first failure of the transport does,
  /// and all that was not answered by then is unconfirmed.
  /// `may_send`: asked when a line is about to leave; where it says no, that line and the rest are unconfirmed. Empty:
  /// everything may leave.
  virtual boost::asio::awaitable<std::vector<Outcome>> push(std::vector<WeightCommand> commands,
                                                            std::function<bool()> may_send) = 0;

  /// HAProxy's words to each command, in order; empty: it was done.
  virtual boost::asio::awaitable<std::expected<std::vector<std::string>, Failure>> release(
      std::vector<ReleaseCommand> commands) = 0;
};

}  // namespace rpcw::haproxy
