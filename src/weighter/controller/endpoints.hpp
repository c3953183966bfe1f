#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "weighter/controller/endpoint_control.hpp"

namespace rpcw::control {

/// All HAProxys of a configuration: an EndpointControl each, and for names with several addresses the look-ups that
/// find them. A HAProxy that is slow or gone delays no other.
class Endpoints {
 public:
  explicit Endpoints(Context& context);

  void start();
  /// Starts whatever is due at each.
  void step();
  /// Targets may be different now: they are pushed with the next step.
  void wake();
  /// All servers of all HAProxys are read again at once.
  void read_again();
  /// Something looks wrong that HAProxys may see as well.
  void read_soon();

  void on(event::NameResolved&& event);
  /// nullptr: there is none of that number any more.
  EndpointControl* find(EndpointId id);
  /// After a read: closes it when it has left. True: it was closed.
  bool close_if_left(EndpointId id);
  /// Looks the name of this place up again, unless that is under way.
  void look_up(std::size_t place);

  [[nodiscard]] bool busy() const;
  /// Every place was looked up and every HAProxy tried once.
  [[nodiscard]] bool all_tried() const;
  /// In the order of the file; those that cannot be reached are left out.
  [[nodiscard]] std::vector<const haproxy::Instance*> reachable() const;

  struct Known {
    std::string_view endpoint;
    /// nullptr: not read yet.
    const haproxy::Instance* instance = nullptr;
  };
  /// In the order of the file, with the last list of those that cannot be reached now.
  [[nodiscard]] std::vector<Known> known() const;
  /// Why nothing could be read, by place; empty: there is no trouble.
  [[nodiscard]] std::vector<std::string> troubles() const;

  /// What is missing before every reachable HAProxy has its weights, each a line.
  [[nodiscard]] std::vector<std::string> unsettled() const;
  /// Which of them refuse weights because of their sockets' levels, each a line.
  [[nodiscard]] std::vector<std::string> denied() const;
  /// For the controller that replaces this one: of those that have any.
  [[nodiscard]] std::vector<StaticBackends> static_backends() const;
  [[nodiscard]] std::vector<EndpointReport> reports() const;

  // Single pass.
  void allow_push();
  [[nodiscard]] bool all_done() const;
  /// True once after an algorithm turned out to be static.
  [[nodiscard]] bool take_found_static();

 private:
  /// A configured endpoint and the HAProxys behind it.
  struct Place {
    const config::Endpoint* endpoint = nullptr;
    /// In the order in which they were found.
    std::vector<std::unique_ptr<EndpointControl>> members;
    bool looking_up = false;
    bool tried = false;
    /// Why the last look-up failed; absent: it did not, or there was none.
    std::optional<haproxy::Failure> failure;
    /// The kinds of trouble logged since the last good look-up.
    std::set<haproxy::Error> troubles;
  };

  void add(Place& place, const config::Endpoint& endpoint);
  void take(Place& place, const std::vector<config::Endpoint>& found);
  void not_found(Place& place, const haproxy::Failure& failure);

  Context& c_;
  std::deque<Place> places_;
  EndpointId next_id_ = 0;
};

}  // namespace rpcw::control
