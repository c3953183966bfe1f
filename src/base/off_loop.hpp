#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>

namespace rpcw {

/// Runs what may take long, such as reading a file, on a thread of its own while the loop goes on. Never waited for at
/// the end: a disk that hangs must not hold up the program's end, so a thread that is stuck is left behind, as those of
/// name look-ups are. The work must therefore own all that it uses but objects of static storage duration, which
/// `main` may destroy only while no `work_left`.
class OffLoop {
 public:
  /// Some thread of some OffLoop still runs its work.
  static bool work_left() { return running_.load() > 0; }

  explicit OffLoop(boost::asio::any_io_executor executor) : shared_(std::make_shared<Shared>(std::move(executor))) {}
  ~OffLoop() {
    const std::lock_guard lock(shared_->mutex);
    shared_->open = false;
  }
  OffLoop(const OffLoop&) = delete;
  OffLoop& operator=(const OffLoop&) = delete;

  /// What `work` returns; what it throws is thrown here. Without a thread to be had, it is done in the loop.
  template <typename Work>
  boost::asio::awaitable<std::invoke_result_t<Work&>> run(Work work) {
    using Result = std::invoke_result_t<Work&>;
    struct Errand {
      explicit Errand(const boost::asio::any_io_executor& executor)
          : done(executor, boost::asio::steady_timer::time_point::max()) {}
      boost::asio::steady_timer done;
      std::optional<Result> result{};
      std::exception_ptr thrown{};
    };
    const auto errand = std::make_shared<Errand>(shared_->executor);
    // The errand refers to the executor, so the thread must not be the one that destroys it.
    std::weak_ptr<Errand> weak = errand;
    ++running_;
    try {
      std::thread([shared = shared_, weak, work = std::optional(work)]() mutable {
        std::optional<Result> result;
        std::exception_ptr thrown;
        try {
          result.emplace((*work)());
        } catch (...) {
          thrown = std::current_exception();
        }
        work.reset();
        const Ended ended;
        const std::lock_guard lock(shared->mutex);
        if (!shared->open) return;
        boost::asio::post(shared->executor, [weak, result = std::move(result), thrown]() mutable {
          const auto waiting = weak.lock();
          if (!waiting) return;
          waiting->result = std::move(result);
          waiting->thrown = thrown;
          waiting->done.cancel();
        });
      }).detach();
    } catch (const std::system_error&) {
      --running_;
      co_return work();
    }
    while (!errand->result && !errand->thrown)
      co_await errand->done.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    if (errand->thrown) std::rethrow_exception(errand->thrown);
    co_return std::move(*errand->result);
  }

 private:
  struct Shared {
    explicit Shared(boost::asio::any_io_executor ex) : executor(std::move(ex)) {}
    const boost::asio::any_io_executor executor;
    // Guards `open`, and with it the executor's life, against threads that outlive the loop.
    std::mutex mutex;
    bool open = true;
  };
  struct Ended {
    Ended() = default;
    Ended(const Ended&) = delete;
    Ended& operator=(const Ended&) = delete;
    ~Ended() { --running_; }
  };
  inline static std::atomic<int> running_ = 0;
  std::shared_ptr<Shared> shared_;
};

}  // namespace rpcw
