#include "traffic/load.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <string_view>

#include "sim/sim.hpp"
#include "traffic/scenario.hpp"

namespace rpcw::bench {
namespace {

Clock::duration duration_of(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

double milliseconds_of(Clock::duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

int index_of(std::string_view provider) {
  const auto it = std::ranges::find(providers(), provider, &ProviderSpec::name);
  return it == providers().end() ? -1 : static_cast<int>(it - providers().begin());
}

void rethrow(const std::exception_ptr& e) {
  if (e) std::rethrow_exception(e);
}

}  // namespace

Load::Load(asio::io_context& io, const sim::Chain& chain, const Plan& plan)
    : io_(io), chain_(chain), plan_(plan), client_(io, plan.port), random_(plan.seed) {}

std::string Load::draw_request() {
  auto left = std::uniform_int_distribution<unsigned>(0, 99)(random_);
  const auto* method = methods().data();
  while (left >= method->share) left -= (method++)->share;
  return fmt::format(R"({{"jsonrpc":"2.0","id":{},"method":"{}","params":{}}})", next_id_++, method->name,
                     method->params);
}

asio::awaitable<void> Load::run() {
  asio::steady_timer timer(io_);
  for (std::uint64_t k = 0;; ++k) {
    const double at = plan_.from_s + (static_cast<double>(k) + plan_.phase) / kRequestsPerSecond;
    if (at >= plan_.to_s) break;
    timer.expires_at(plan_.start + duration_of(at));
    co_await timer.async_wait(asio::use_awaitable);
    ++under_way_;
    asio::co_spawn(io_, shoot(at, draw_request()), rethrow);
  }
  constexpr std::chrono::milliseconds kLook{20};
  while (under_way_ > 0) {
    timer.expires_after(kLook);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

asio::awaitable<void> Load::shoot(double scheduled_s, std::string body) {
  const Clock::time_point scheduled = plan_.start + duration_of(scheduled_s);
  const Clock::time_point sent = Clock::now();
  Truth truth{.sent = chain_.head()};
  const Answer answer = co_await client_.post(std::move(body), scheduled + duration_of(plan_.patience_s));
  truth.received = chain_.head();
  shots_.push_back({scheduled_s, milliseconds_of(Clock::now() - scheduled), milliseconds_of(sent - scheduled),
                    judge(answer, truth), index_of(answer.provider)});
  --under_way_;
}

}  // namespace rpcw::bench
