#include "haproxy/lookup.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/resolver.hpp"

namespace rpcw::haproxy {

namespace asio = boost::asio;

/// Owned by the thread and the Lookup together: whichever ends last frees it.
struct Lookup::Shared {
  mutable std::mutex mutex;
  bool done = false;
  Addresses addresses;
  std::string error;
  /// Becomes readable, and stays so, when done.
  int event = -1;

  ~Shared() {
    if (event >= 0) ::close(event);
  }

  void look_up(const Function& function, const std::string& host, std::uint16_t port) {
    auto found = function(host);

    const std::lock_guard lock(mutex);
    if (found) {
      for (const auto& text : *found) {
        boost::system::error_code no_address;
        const auto address = asio::ip::make_address(text, no_address);
        if (!no_address) addresses.emplace_back(address, port);
      }
    } else {
      error = std::move(found.error());
    }
    if (addresses.empty() && error.empty()) error = "no address";
    done = true;
    const std::uint64_t one = 1;
    // Cannot fail: the counter is at 0.
    [[maybe_unused]] const auto written = ::write(event, &one, sizeof one);
  }
};

Lookup::Function Lookup::system() {
  return Resolver::system_lookup();
}

std::shared_ptr<Lookup> Lookup::start(const std::string& host, std::uint16_t port, const Function& function) {
  auto shared = std::make_shared<Shared>();
  shared->event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (shared->event < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  std::thread([shared, function, host, port] { shared->look_up(function, host, port); }).detach();
  return std::shared_ptr<Lookup>(new Lookup(std::move(shared)));
}

Lookup::~Lookup() = default;

bool Lookup::done() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->done;
}

asio::awaitable<void> Lookup::wait(std::chrono::steady_clock::time_point deadline) {
  if (done()) co_return;
  const auto executor = co_await asio::this_coro::executor;
  struct Waiting {
    explicit Waiting(const asio::any_io_executor& on) : event(on), timer(on) {}
    asio::posix::stream_descriptor event;
    asio::steady_timer timer;
  };
  auto waiting = std::make_shared<Waiting>(executor);
  const int descriptor = ::fcntl(shared_->event, F_DUPFD_CLOEXEC, 0);
  if (descriptor < 0) co_return;
  waiting->event.assign(descriptor);
  waiting->timer.expires_at(deadline);
  waiting->timer.async_wait([weak = std::weak_ptr(waiting)](const boost::system::error_code& error) {
    const auto alive = weak.lock();
    if (!error && alive) alive->event.cancel();
  });
  // Asio gives a descriptor's state in epoll to the next descriptor, and with it an event that was queued for the one
  // before: a wait may end though nothing can be read.
  for (;;) {
    const auto [error] = co_await waiting->event.async_wait(asio::posix::descriptor_base::wait_read,
                                                            asio::as_tuple(asio::use_awaitable));
    if (error || done()) co_return;
  }
}

std::expected<Lookup::Addresses, std::string> Lookup::result() const {
  const std::lock_guard lock(shared_->mutex);
  if (!shared_->error.empty()) return std::unexpected(shared_->error);
  return shared_->addresses;
}

}  // namespace rpcw::haproxy
