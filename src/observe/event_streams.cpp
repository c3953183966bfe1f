#include "observe/event_streams.hpp"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>

namespace rpcw::observe {

namespace asio = boost::asio;
using Text = std::shared_ptr<const std::string>;

struct EventStreams::Listener {
  explicit Listener(const asio::any_io_executor& executor) : wake(executor, asio::steady_timer::time_point::max()) {}
  std::deque<Text> decisions;
  /// nullptr: none waits.
  Text status;
  bool ended = false;
  asio::steady_timer wake;
};

EventStreams::~EventStreams() {
  for (const auto& weak : listeners_)
    if (const auto listener = weak.lock()) {
      listener->ended = true;
      listener->wake.cancel();
    }
}

bool EventStreams::has_listeners() {
  listeners_.remove_if([](const auto& weak) { return weak.expired(); });
  return !listeners_.empty();
}

bool EventStreams::full() {
  return has_listeners() && listeners_.size() >= kMostListeners;
}

void EventStreams::decision(std::string_view json) {
  if (!has_listeners()) return;
  const auto text = std::make_shared<const std::string>(fmt::format("event: decision\ndata: {}\n\n", json));
  for (const auto& weak : listeners_) {
    const auto listener = weak.lock();
    listener->decisions.push_back(text);
    if (listener->decisions.size() > kMostWaiting) {
      listener->decisions.clear();
      listener->ended = true;
    }
    listener->wake.cancel();
  }
}

void EventStreams::status(std::string_view json) {
  if (!has_listeners()) return;
  const auto text = std::make_shared<const std::string>(fmt::format("event: status\ndata: {}\n\n", json));
  for (const auto& weak : listeners_) {
    const auto listener = weak.lock();
    if (listener->status == nullptr) listener->status = text;
    listener->wake.cancel();
  }
}

bool EventStreams::take(Listener& listener, std::string& out) {
  if (!listener.decisions.empty()) {
    out += *listener.decisions.front();
    listener.decisions.pop_front();
    return true;
  }
  const Text status = std::exchange(listener.status, nullptr);
  if (status != nullptr) out += *status;
  return status != nullptr;
}

asio::awaitable<void> EventStreams::send(std::shared_ptr<Listener> listener, BodyWriter& out) {
  while (!listener->ended) {
    if (take(*listener, out.text)) {
      const bool sent = co_await out.flush();
      if (!sent) co_return;
    } else {
      co_await listener->wake.async_wait(asio::as_tuple(asio::use_awaitable));
    }
  }
}

HttpAnswer EventStreams::listen(std::string_view first) {
  const auto listener = std::make_shared<Listener>(executor_);
  listener->status = std::make_shared<const std::string>(fmt::format("event: status\ndata: {}\n\n", first));
  listeners_.push_back(listener);
  HttpAnswer out;
  out.content_type = "text/event-stream";
  out.endless = true;
  out.stream = [listener](BodyWriter& writer) { return send(listener, writer); };
  return out;
}

}  // namespace rpcw::observe
