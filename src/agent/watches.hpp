#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/wait_group.hpp"
#include "config/config.hpp"
#include "haproxy/lookup.hpp"
#include "weighter/state/fleet.hpp"
#include "weighter/state/topology.hpp"

namespace rpcw {

/// The HAProxy side of the loop: a Watch for each HAProxy, and for names with several addresses one that follows who is
/// behind them. One that is slow or gone delays none of the others.
class Watches {
 public:
  /// `config` and `fleet` are kept by reference. `on_news` is called when the HAProxys show the fleet
  /// something else that a decision depends on, and before anything is pushed to the one that was read. `on_live` is
  /// called when live traffic was counted, with targets to probe at once. `on_read` is called before both, whenever any
  /// HAProxy was read; it may change the servers of `config` and `fleet`.
  Watches(boost::asio::io_context& io, const config::Config& config, Fleet& fleet, bool dry_run,
          std::function<void()> on_news, std::function<void(const std::vector<std::size_t>&)> on_live,
          std::function<void()> on_read = {}, haproxy::Lookup::Function lookup = haproxy::Lookup::system());
  ~Watches();
  Watches(const Watches&) = delete;
  Watches& operator=(const Watches&) = delete;

  /// `loops` is told of what has to end before this object may be destroyed, and of its end.
  void start(Latch& loops);
  /// The fleet may hold other weights now: they are pushed at once.
  void wake();
  /// Something looks wrong that they may see as well: they are read soon, as far as that costs them little.
  void look();
  /// Exchanges that are under way are waited for.
  void request_stop();
  /// Ends exchanges that are under way; after `request_stop`.
  void abandon();

  /// What the HAProxys that can be reached showed last, with what they have confirmed since, in the order of the file.
  /// Valid until the loop's next turn.
  [[nodiscard]] std::vector<const haproxy::Instance*> reachable() const;

  struct List {
    /// The endpoint's text, with the address where a name has several.
    std::string_view endpoint;
    /// nullptr: it was not read yet.
    const haproxy::Instance* instance = nullptr;
  };
  /// What each HAProxy showed last, in the order of the file, those that cannot be reached now included. Valid until
  /// the loop's next turn.
  [[nodiscard]] std::vector<List> lists() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rpcw
