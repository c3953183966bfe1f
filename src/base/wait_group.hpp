#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <exception>

namespace rpcw {

/// Waits until as many have arrived as were announced. All on one thread, for one waiter.
class WaitGroup {
 public:
  explicit WaitGroup(const boost::asio::any_io_executor& executor)
      : timer_(executor, boost::asio::steady_timer::time_point::max()) {}

  void expect(std::size_t more = 1) { missing_ += more; }
  void arrive() {
    if (--missing_ == 0) timer_.cancel();
  }
  boost::asio::awaitable<void> wait() {
    while (missing_ > 0) co_await timer_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }

 private:
  boost::asio::steady_timer timer_;
  std::size_t missing_ = 0;
};

/// For co_spawn: what a coroutine of ours throws is a bug, and leaves through the loop to main.
inline constexpr auto rethrow = [](const std::exception_ptr& e) {
  if (e) std::rethrow_exception(e);
};

}  // namespace rpcw
