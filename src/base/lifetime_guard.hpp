#pragma once

#include <boost/system/error_code.hpp>
#include <memory>
#include <utility>

namespace rpcw {

/// Lets an object hand out handlers that outlive it: each does nothing once the object is gone, or when the wait that
/// it belongs to was cancelled. A cancelled Asio timer may still have a successful completion in the queue, so that
/// checking the error code alone would not do.
class LifetimeGuard {
 public:
  LifetimeGuard() = default;
  LifetimeGuard(const LifetimeGuard&) = delete;
  LifetimeGuard& operator=(const LifetimeGuard&) = delete;

  template <typename Action>
  [[nodiscard]] auto guard(Action action) const {
    return [token = std::weak_ptr<const char>(token_),
            action = std::move(action)](boost::system::error_code ec = {}) mutable {
      if (!ec && !token.expired()) action();
    };
  }

 private:
  std::shared_ptr<const char> token_ = std::make_shared<const char>();
};

}  // namespace rpcw
