#include "agent/server_list_read.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <iterator>
#include <memory>
#include <utility>

#include "base/wait_group.hpp"
#include "haproxy/client.hpp"
#include "haproxy/discovery.hpp"

namespace rpcw {

namespace asio = boost::asio;

namespace {

asio::awaitable<Lists> read_place(asio::io_context& io, const config::Config& config, config::Endpoint endpoint,
                                  std::shared_ptr<haproxy::TlsContext> tls) {
  Lists out;
  haproxy::Discovery discovery(std::move(endpoint));
  auto found = co_await discovery.find(config.haproxy.timeout);
  if (!found) {
    out.failures.push_back(std::move(found.error().detail));
    co_return out;
  }
  std::vector<std::string> names;
  for (const config::Backend& b : config.backends) names.push_back(b.name);
  for (const config::Endpoint& e : *found) {
    haproxy::Client client(io.get_executor(), e, tls, config.haproxy.timeout);
    auto instance = co_await client.read(names);
    if (instance) {
      out.instances.push_back(std::move(*instance));
      out.endpoints.push_back(e.text);
    } else {
      out.failures.push_back(std::move(instance.error().detail));
    }
  }
  co_return out;
}

}  // namespace

std::vector<const haproxy::Instance*> Lists::pointers() const {
  std::vector<const haproxy::Instance*> out;
  out.reserve(instances.size());
  for (const haproxy::Instance& i : instances) out.push_back(&i);
  return out;
}

asio::awaitable<Lists> read_lists(asio::io_context& io, const config::Config& config) {
  const auto tls = haproxy::tls_context(config.haproxy.tls);
  // Shared with the coroutines, which may be destroyed after this one when the loop ends before they do.
  const auto parts = std::make_shared<std::vector<Lists>>(config.haproxy.endpoints.size());
  WaitGroup all(io.get_executor());
  for (std::size_t i = 0; i < parts->size(); ++i) {
    all.expect();
    asio::co_spawn(
        io,
        [&io, &config, &all, tls, parts, i]() -> asio::awaitable<void> {
          (*parts)[i] = co_await read_place(io, config, config.haproxy.endpoints[i], tls);
          all.arrive();
        },
        rethrow);
  }
  co_await all.wait();
  Lists out;
  for (Lists& part : *parts) {
    std::ranges::move(part.instances, std::back_inserter(out.instances));
    std::ranges::move(part.endpoints, std::back_inserter(out.endpoints));
    std::ranges::move(part.failures, std::back_inserter(out.failures));
  }
  co_return out;
}

}  // namespace rpcw
