#pragma once

#include <curl/curl.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "base/lifetime_guard.hpp"

namespace rpcw::rpc {

/// libcurl's multi-socket interface on an io_context, spread over several multi handles.
class CurlMultis {
 public:
  /// A multi handle with its kept connections.
  struct Pool;

  /// A transfer is over: it is to be removed, and may then be added again.
  using Ended = std::function<void(CURL*, CURLcode)>;

  /// Throws std::runtime_error when libcurl does not start. No pool is there before expect().
  CurlMultis(boost::asio::io_context& io, Ended ended);
  /// No transfer may be left in it.
  ~CurlMultis();
  CurlMultis(const CurlMultis&) = delete;
  CurlMultis& operator=(const CurlMultis&) = delete;

  /// As many targets as this from now on, each of which keeps its connection, and as many requests under way. With more
  /// pools some targets change theirs. Connections that are left behind there end as the least used ones.
  void expect(std::size_t targets, std::size_t in_flight);

  /// The pool of the target of this number. It stays where it is; what expect() changes is whose it is.
  Pool& pool(std::size_t target);

  CURLMcode add(Pool& pool, CURL* transfer);
  void remove(Pool& pool, CURL* transfer);

 private:
  void wait_ready();
  void collect(Pool& pool);

  boost::asio::io_context& context_;
  Ended ended_;
  bool closing_ = false;
  const int epoll_;
  /// Owns `epoll_`, which libcurl's cleanup still uses.
  boost::asio::posix::stream_descriptor ready_;
  std::vector<std::unique_ptr<Pool>> pools_;
  LifetimeGuard lifetime_;
};

}  // namespace rpcw::rpc
