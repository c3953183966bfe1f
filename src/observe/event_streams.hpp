#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "observe/http.hpp"

namespace rpcw::observe {

/// Sends events to the listeners of /api/v1/events and waits for none of them: a listener that does not keep up is
/// dropped.
class EventStreams {
 public:
  static constexpr std::size_t kMostListeners = 16;
  /// A listener with more events than this waiting is dropped.
  static constexpr std::size_t kMostWaiting = 1000;

  explicit EventStreams(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}
  /// Ends all streams.
  ~EventStreams();
  EventStreams(const EventStreams&) = delete;
  EventStreams& operator=(const EventStreams&) = delete;

  [[nodiscard]] bool full();
  [[nodiscard]] bool has_listeners();
  /// A change; `json` has no line end.
  void decision(std::string_view json);
  /// The present state. A listener that has not taken the one before does not get this one.
  void status(std::string_view json);

  /// Precondition: not full. `first` is sent at once, as a status. The answer's stream ends with its listener.
  HttpAnswer listen(std::string_view first);

 private:
  struct Listener;
  /// Moves the next event to `out`; false: none waits.
  static bool take(Listener& listener, std::string& out);
  static boost::asio::awaitable<void> send(std::shared_ptr<Listener> listener, BodyWriter& out);

  const boost::asio::any_io_executor executor_;
  std::list<std::weak_ptr<Listener>> listeners_;
};

}  // namespace rpcw::observe
