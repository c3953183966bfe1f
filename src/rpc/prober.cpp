#include "rpc/prober.hpp"

#include <chrono>
#include <utility>

#include "rpc/evm.hpp"

namespace rpcw {

Now read_clocks() {
  return {std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now()),
          std::chrono::duration_cast<MonoTime>(std::chrono::steady_clock::now().time_since_epoch())};
}

namespace rpc {
namespace {

std::vector<HttpTarget> prepare(std::span<const config::Target* const> targets) {
  std::vector<HttpTarget> out;
  out.reserve(targets.size());
  for (const config::Target* t : targets) out.emplace_back(*t);
  return out;
}

}  // namespace

Prober::Prober(boost::asio::io_context& io, const config::Probe& settings,
               std::span<const config::Target* const> targets, Resolver::Lookup lookup)
    : settings_(settings), targets_(prepare(targets)), client_(io, settings, targets.size(), std::move(lookup)) {}

void Prober::head(std::size_t target, std::move_only_function<void(HeadObservation)> handler) {
  const HttpTarget& t = targets_[target];
  client_.start(t, evm::kHeadRequest, settings_.timeout, [&t, handler = std::move(handler)](HttpResult result) mutable {
    HeadObservation out;
    out.received = read_clocks();
    if (result) {
      out.latency = result->latency;
      out.head = evm::parse_head(*result, t);
    } else {
      out.latency = result.error().after;
      out.head = std::unexpected(std::move(result.error().what));
    }
    handler(std::move(out));
  });
}

void Prober::identity(std::size_t target, std::move_only_function<void(IdentityObservation)> handler) {
  const HttpTarget& t = targets_[target];
  client_.start(t, evm::kChainIdRequest, settings_.timeout,
                [&t, handler = std::move(handler)](HttpResult result) mutable {
                  IdentityObservation out;
                  out.received = read_clocks();
                  if (result)
                    out.chain_id = evm::parse_chain_id(*result, t);
                  else
                    out.chain_id = std::unexpected(std::move(result.error().what));
                  handler(std::move(out));
                });
}

}  // namespace rpc
}  // namespace rpcw
