#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/wait_group.hpp"
#include "haproxy/client.hpp"
#include "haproxy/lookup.hpp"
#include "weighter/report.hpp"
#include "weighter/state/fleet.hpp"

namespace rpcw {

/// The HAProxy side of a single pass: every HAProxy is read, waits for the one decision, and is brought to it. Each on
/// its own, so that one that is slow or gone delays none of the others.
class Delivery {
 public:
  /// Keeps a reference to `fleet`. Without `push`, HAProxy is only looked at; `dry_run` is everything but the sending.
  Delivery(boost::asio::io_context& io, Fleet& fleet, bool push, bool dry_run,
           haproxy::Lookup::Function lookup = haproxy::Lookup::system());
  ~Delivery();
  Delivery(const Delivery&) = delete;
  Delivery& operator=(const Delivery&) = delete;

  void start();

  /// For the decision: what the first HAProxy (in the file's order) had that could be read. nullptr: none could. Does
  /// not wait for the slow when another one has answered. Shows the state before the push, save for `percent`, and is
  /// valid as long as this.
  boost::asio::awaitable<const haproxy::Instance*> first();

  /// All that were read by now, in the file's order; like `first` before the push.
  std::vector<const haproxy::Instance*> read() const;

  /// The fleet has decided: push.
  void decided();
  boost::asio::awaitable<void> finish();

  /// In the file's order; after `finish`.
  std::vector<EndpointReport> reports() const;
  bool trouble() const;

 private:
  struct Connection;
  struct Place;

  boost::asio::awaitable<void> serve(Place& place);
  boost::asio::awaitable<void> serve(Connection& connection);
  boost::asio::awaitable<bool> push_round(Connection& connection);
  boost::asio::awaitable<void> check_level(Connection& connection);
  void told();

  boost::asio::io_context& io_;
  Fleet& fleet_;
  const bool push_;
  const bool dry_run_;
  std::shared_ptr<haproxy::TlsContext> tls_;
  std::deque<Place> places_;
  /// Of endpoints that may still be read.
  std::size_t unread_ = 0;
  std::optional<haproxy::Instance> before_;
  Connection* first_ = nullptr;
  bool is_decided_ = false;
  /// Rings at each answer, and at the decision.
  boost::asio::steady_timer news_;
  boost::asio::steady_timer decision_;
  Latch done_;
};

}  // namespace rpcw
