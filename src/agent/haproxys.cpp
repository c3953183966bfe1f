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

asio::awaitable<Haproxys> reach_place(asio::io_context& io, milliseconds timeout, config::Endpoint endpoint,
                                      std::shared_ptr<haproxy::TlsContext> tls, std::vector<std::string> backends) {
  Haproxys out;
  haproxy::Discovery discovery(std::move(endpoint));
  auto found = co_await discovery.find(timeout);
  if (!found) {
    out.failures.push_back(std::move(found.error().detail));
    co_return out;
  }
  for (const config::Endpoint& e : *found) {
    Haproxy one{std::make_unique<haproxy::Client>(io.get_executor(), e, tls, timeout), {}};
    auto instance = co_await one.client->read(backends);
    if (instance) {
      one.instance = std::move(*instance);
      out.reached.push_back(std::move(one));
    } else {
      out.failures.push_back(std::move(instance.error().detail));
    }
  }
  co_return out;
}

}  // namespace

asio::awaitable<Haproxys> reach_haproxys(asio::io_context& io, const config::Haproxy& where,
                                         std::vector<std::string> backends) {
  const auto tls = haproxy::tls_context(where.tls);
  // Shared with the coroutines, which may be destroyed after this one when the loop ends before they do.
  const auto parts = std::make_shared<std::vector<Haproxys>>(where.endpoints.size());
  WaitGroup all(io.get_executor());
  for (std::size_t i = 0; i < parts->size(); ++i) {
    all.expect();
    asio::co_spawn(
        io,
        [&io, &where, &all, &backends, tls, parts, i]() -> asio::awaitable<void> {
          (*parts)[i] = co_await reach_place(io, where.timeout, where.endpoints[i], tls, backends);
          all.arrive();
        },
        rethrow);
  }
  co_await all.wait();
  Haproxys out;
  for (Haproxys& part : *parts) {
    std::ranges::move(part.reached, std::back_inserter(out.reached));
    std::ranges::move(part.failures, std::back_inserter(out.failures));
  }
  co_return out;
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
