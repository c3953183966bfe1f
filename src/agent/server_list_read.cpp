#include "agent/server_list_read.hpp"

#include <utility>

#include "agent/haproxys.hpp"

namespace rpcw {

namespace asio = boost::asio;

std::vector<const haproxy::Instance*> Lists::pointers() const {
  std::vector<const haproxy::Instance*> out;
  out.reserve(instances.size());
  for (const haproxy::Instance& i : instances) out.push_back(&i);
  return out;
}

asio::awaitable<Lists> read_lists(asio::io_context& io, const config::Config& config) {
  std::vector<std::string> names;
  for (const config::Backend& b : config.backends) names.push_back(b.name);
  Haproxys found = co_await reach_haproxys(io, config.haproxy, std::move(names));
  Lists out;
  for (Haproxy& one : found.reached) {
    out.endpoints.push_back(one.name());
    out.instances.push_back(std::move(one.instance));
  }
  out.failures = std::move(found.failures);
  co_return out;
}

}  // namespace rpcw
