#include "agent/single_pass.hpp"

#include <algorithm>
#include <utility>

#include "agent/agent.hpp"
#include "base/clock.hpp"

namespace rpcw {

boost::asio::awaitable<PassResult> single_pass(boost::asio::io_context& io, const config::Config& file,
                                               PassOptions options) {
  control::Options how;
  how.mode = options.mode;
  how.dry_run = options.dry_run;
  how.samples = options.samples;
  how.recall = static_cast<bool>(options.recall);
  Agent::Effects effects;
  effects.recall = std::move(options.recall);
  effects.log = std::move(options.remark);
  Agent agent(io, file, how, {}, std::move(effects));
  co_await agent.run();

  if (options.keep) options.keep(agent.controller().state(), read_clocks());
  PassResult out;
  out.report = agent.controller().report();
  out.haproxy_trouble = agent.controller().haproxy_trouble();
  // A backup that the file does not name may carry the traffic: then no server of ours is healthy, and no backend fell
  // back.
  out.nothing_healthy = std::ranges::any_of(
      out.report.backends, [](const BackendReport& b) { return b.healthy == 0 && b.fallback.has_value(); });
  co_return out;
}

}  // namespace rpcw
