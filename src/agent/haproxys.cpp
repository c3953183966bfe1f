#include "agent/haproxys.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <iterator>
#include <utility>

#include "base/wait_group.hpp"
#include "haproxy/discovery.hpp"

namespace rpcw {

namespace asio = boost::asio;

namespace {

/// All parts at the same time; what they have reached, in their order.
asio::awaitable<Haproxys> gather(asio::io_context& io, std::size_t count,
                                 std::function<asio::awaitable<Haproxys>(std::size_t)> part) {
  // Shared with the coroutines, which may be destroyed after this one when the loop ends before they do.
  const auto parts = std::make_shared<std::vector<Haproxys>>(count);
  WaitGroup all(io.get_executor());
  for (std::size_t i = 0; i < count; ++i) {
    all.expect();
    asio::co_spawn(
        io,
        [&all, &part, parts, i]() -> asio::awaitable<void> {
          (*parts)[i] = co_await part(i);
          all.arrive();
        },
        rethrow);
  }
  co_await all.wait();
  Haproxys out;
  for (Haproxys& p : *parts) {
    std::ranges::move(p.reached, std::back_inserter(out.reached));
    std::ranges::move(p.failures, std::back_inserter(out.failures));
  }
  co_return out;
}

asio::awaitable<Haproxys> reach(asio::io_context& io, milliseconds timeout, const config::Endpoint& address,
                                std::shared_ptr<haproxy::TlsContext> tls, const std::vector<std::string>& backends) {
  Haproxys out;
  Haproxy one{std::make_unique<haproxy::Client>(io.get_executor(), address, tls, timeout), {}};
  auto instance = co_await one.client->read(backends);
  if (instance) {
    one.instance = std::move(*instance);
    out.reached.push_back(std::move(one));
  } else {
    out.failures.push_back(std::move(instance.error().detail));
  }
  co_return out;
}

/// Each address of a name.
asio::awaitable<Haproxys> reach_place(asio::io_context& io, milliseconds timeout, config::Endpoint endpoint,
                                      std::shared_ptr<haproxy::TlsContext> tls, std::vector<std::string> backends) {
  haproxy::Discovery discovery(std::move(endpoint));
  const auto found = co_await discovery.find(timeout);
  if (!found) {
    Haproxys out;
    out.failures.push_back(found.error().detail);
    co_return out;
  }
  co_return co_await gather(io, found->size(),
                            [&](std::size_t i) { return reach(io, timeout, (*found)[i], tls, backends); });
}

}  // namespace

asio::awaitable<Haproxys> reach_haproxys(asio::io_context& io, const config::Haproxy& where,
                                         std::vector<std::string> backends) {
  const auto tls = haproxy::tls_context(where.tls);
  co_return co_await gather(io, where.endpoints.size(), [&](std::size_t i) {
    return reach_place(io, where.timeout, where.endpoints[i], tls, backends);
  });
}

asio::awaitable<void> for_each(asio::io_context& io, std::vector<Haproxy>& haproxys,
                               const std::function<asio::awaitable<void>(Haproxy&)>& talk) {
  WaitGroup all(io.get_executor());
  for (Haproxy& one : haproxys) {
    all.expect();
    asio::co_spawn(
        io,
        [&all, &talk, &one]() -> asio::awaitable<void> {
          co_await talk(one);
          all.arrive();
        },
        rethrow);
  }
  co_await all.wait();
}

}  // namespace rpcw
