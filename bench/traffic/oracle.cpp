#include "traffic/oracle.hpp"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cmath>
#include <limits>
#include <utility>

#include "traffic/haproxy_socket.hpp"

namespace rpcw::bench {
namespace {

/// Requests that are under way when a fault begins are hit by it: the slowest healthy answer takes less than this.
constexpr double kLead = 0.4;
/// After a fault, so that the provider has really recovered.
constexpr double kAfter = 0.1;
/// A provider's quota is a bucket that fills evenly, as its capacity is, and the arrivals at one provider are not quite
/// even.
constexpr double kOfQuota = 0.9;
constexpr unsigned kFull = 256;

}  // namespace

std::vector<unsigned> oracle_weights(const Scenario& scenario, double at_s) {
  const std::size_t n = providers().size();
  std::vector<double> score(n);
  std::vector<double> cap(n, 1.0);
  for (std::size_t i = 0; i < n; ++i) score[i] = 1.0 / providers()[i].latency_ms;
  for (const Fault& f : scenario.faults) {
    if (at_s < f.bad_from_s() - kLead || at_s >= f.to_s + kAfter) continue;
    const sim::Behaviour b = faulty(f);
    const double quota = std::max(b.quota_per_s, b.capacity_per_s);
    if (b.fault != sim::Fault::none) score[f.provider] = 0;
    if (quota > 0)
      cap[f.provider] = kOfQuota * quota / kRequestsPerSecond;
    else
      score[f.provider] = 0;
  }

  std::vector<double> share(n, 0.0);
  std::vector<bool> full(n, false);
  double left = 1.0;
  for (bool again = true; again;) {
    again = false;
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i)
      if (!full[i]) sum += score[i];
    if (sum <= 0) return std::vector<unsigned>(n, kFull / static_cast<unsigned>(n));
    for (std::size_t i = 0; i < n; ++i)
      if (!full[i]) share[i] = left * score[i] / sum;
    for (std::size_t i = 0; i < n; ++i) {
      if (full[i] || share[i] <= cap[i]) continue;
      full[i] = again = true;
      share[i] = cap[i];
      left -= cap[i];
    }
  }
  std::vector<unsigned> out;
  for (const double s : share) out.push_back(s > 0 ? std::max(1U, static_cast<unsigned>(std::lround(s * kFull))) : 0);
  return out;
}

Oracle::Oracle(asio::io_context& io, const Scenario& scenario, Clock::time_point start, std::string admin_socket)
    : io_(io), scenario_(scenario), start_(start), admin_socket_(std::move(admin_socket)) {}

asio::awaitable<void> Oracle::run() {
  constexpr double kStep = 0.05;
  asio::steady_timer timer(io_);
  std::vector<unsigned> set;
  for (double at = -std::numeric_limits<double>::infinity();;) {
    std::vector<unsigned> wanted = oracle_weights(scenario_, at);
    if (wanted != set) {
      set = wanted;
      co_await set_weights(admin_socket_, std::move(wanted));
    }
    timer.expires_after(std::chrono::milliseconds(static_cast<int>(kStep * 1000)));
    co_await timer.async_wait(asio::use_awaitable);
    at = std::chrono::duration<double>(Clock::now() - start_).count();
  }
}

}  // namespace rpcw::bench
