#include "integration/load.hpp"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace rpcw::test {

namespace asio = boost::asio;

Load::Load(std::uint16_t port, unsigned per_second, Clock::duration patience)
    : client_(io_, port), patience_(patience) {
  asio::co_spawn(io_, run(per_second), asio::detached);
  thread_ = std::thread([this] { io_.run(); });
}

Load::~Load() {
  io_.stop();
  thread_.join();
}

asio::awaitable<void> Load::run(unsigned per_second) {
  const auto start = Clock::now();
  asio::steady_timer timer(io_);
  for (std::uint64_t k = 0;; ++k) {
    timer.expires_at(start + k * Clock::duration(1s) / per_second);
    co_await timer.async_wait(asio::use_awaitable);
    asio::co_spawn(io_, shoot(), asio::detached);
  }
}

asio::awaitable<void> Load::shoot() {
  const HttpAnswer answer = co_await client_.post(
      fmt::format(R"({{"jsonrpc":"2.0","id":1,"method":"{}","params":[]}})", kMethod), Clock::now() + patience_);
  const std::lock_guard lock(mutex_);
  ++counts_[{answer.provider, answer.end == HttpAnswer::End::kComplete ? answer.status : 0}];
}

Load::Counts Load::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

template <typename Which>
std::uint64_t Load::count(Which which) const {
  std::uint64_t out = 0;
  for (const auto& [key, n] : counts())
    if (which(key.first, key.second)) out += n;
  return out;
}

std::uint64_t Load::answers() const {
  return count([](const std::string&, unsigned) { return true; });
}

std::uint64_t Load::with_status(unsigned status) const {
  return count([status](const std::string&, unsigned s) { return s == status; });
}

std::uint64_t Load::of(std::string_view provider) const {
  return count([provider](const std::string& p, unsigned) { return p == provider; });
}

}  // namespace rpcw::test
