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
#include "haproxy/runtime.hpp"
#include "haproxy/tls.hpp"
#include "weighter/state/exchange.hpp"
#include "weighter/state/topology.hpp"

namespace rpcw::haproxy {

/// Runtime over a socket: what is asked of one HAProxy endpoint, and what its replies mean.
class Client final : public Runtime {
 public:
  /// `endpoint`: of one HAProxy; Discovery finds those behind a dns: name.
  /// `tls`: for tcp: and dns: endpoints, which then speak TLS; nullptr: they do not. May be shared.
  /// `timeout`: for a whole exchange, which is one line over one connection with all its replies; above 0.
  Client(boost::asio::any_io_executor executor, config::Endpoint endpoint, std::shared_ptr<TlsContext> tls,
         milliseconds timeout);

  [[nodiscard]] const config::Endpoint& endpoint() const { return channel_.endpoint(); }

  boost::asio::awaitable<std::expected<std::vector<std::string>, Failure>> run(
      std::vector<std::string> commands) override;
  boost::asio::awaitable<std::expected<Instance, Failure>> read(
      std::span<const std::string> only_backends = {}) override;
  boost::asio::awaitable<std::expected<Info, Failure>> info() override;
  boost::asio::awaitable<std::expected<Instance, Failure>> refresh(const Instance& last,
                                                                   std::span<const std::string> only_backends) override;
  [[nodiscard]] std::uint64_t received() const override { return channel_.received(); }
  boost::asio::awaitable<std::vector<Outcome>> push(std::vector<WeightCommand> commands,
                                                    std::function<bool()> may_send = {}) override;
  boost::asio::awaitable<std::expected<std::vector<std::string>, Failure>> release(
      std::vector<ReleaseCommand> commands) override;

 private:
  class Busy;

  /// From the replies to `show info`, a `show stat` for each name (one for all when there are none), and a
  /// `show servers state` likewise.
  std::optional<Failure> take_topology(std::span<const std::string> names, Instance& instance);
  /// The failure of a read. Where the first reply is not HAProxy's, that explains more than the missing rest.
  Failure read_failure(Failure&& failure);
  /// The reply to `show info`.
  std::expected<Info, Failure> take_info();
  boost::asio::awaitable<std::expected<Instance, Failure>> read_all(std::vector<std::string> names, bool only_named);
  /// nullopt: too much has changed, and everything has to be read.
  boost::asio::awaitable<std::expected<std::optional<Instance>, Failure>> read_changes(
      const Instance& last, std::span<const std::string> names);

  Channel channel_;
  bool busy_ = false;
};

/// For Client: nullptr when no file is given, and TLS is not to be used.
std::shared_ptr<TlsContext> tls_context(const config::TlsFiles& files);

}  // namespace rpcw::haproxy
