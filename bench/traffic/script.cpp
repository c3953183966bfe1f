#include "traffic/script.hpp"

#include <rapidjson/document.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <utility>

#include "traffic/haproxy_socket.hpp"
#include "traffic/scenario.hpp"

namespace rpcw::bench {
namespace {

constexpr std::chrono::seconds kEvery{1};
constexpr std::chrono::seconds kTimeout{2};

std::optional<std::uint64_t> block_of(const Answer& answer) {
  if (answer.end != Answer::End::kComplete || answer.status != 200) return std::nullopt;
  rapidjson::Document json;
  json.Parse(answer.body.data(), answer.body.size());
  if (json.HasParseError() || !json.IsObject()) return std::nullopt;
  const auto result = json.FindMember("result");
  if (result == json.MemberEnd() || !result->value.IsString()) return std::nullopt;
  return std::strtoull(result->value.GetString(), nullptr, 16);
}

}  // namespace

Script::Script(asio::io_context& io, std::span<const std::uint16_t> provider_ports, std::string admin_socket)
    : io_(io), admin_socket_(std::move(admin_socket)) {
  for (const std::uint16_t port : provider_ports) clients_.push_back(std::make_unique<HttpClient>(io, port));
}

asio::awaitable<void> Script::run() {
  asio::steady_timer timer(io_);
  for (;;) {
    const auto next = Clock::now() + kEvery;
    co_await round();
    timer.expires_at(next);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

asio::awaitable<void> Script::look(std::size_t i, Seen& seen) {
  const auto start = Clock::now();
  const Answer answer = co_await clients_[i]->post(R"({"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]})",
                                                   start + kTimeout);
  seen.latency_ms = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  seen.block = block_of(answer);
}

asio::awaitable<void> Script::round() {
  std::vector<Seen> seen(clients_.size());
  std::size_t missing = seen.size();
  asio::steady_timer all(io_, asio::steady_timer::time_point::max());
  for (std::size_t i = 0; i < seen.size(); ++i) {
    asio::co_spawn(io_, look(i, seen[i]), [&](const std::exception_ptr&) {
      if (--missing == 0) all.cancel();
    });
  }
  boost::system::error_code cancelled;
  if (missing > 0) co_await all.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));

  std::uint64_t best_block = 0;
  for (const Seen& s : seen) best_block = std::max(best_block, s.block.value_or(0));
  const auto usable = [&](const Seen& s) { return s.block && *s.block + kMaxLagBlocks >= best_block; };
  double fastest = 0;
  for (const Seen& s : seen)
    if (usable(s) && (fastest == 0 || s.latency_ms < fastest)) fastest = s.latency_ms;
  if (fastest == 0) co_return;
  std::vector<unsigned> weights;
  for (const Seen& s : seen)
    weights.push_back(usable(s) ? std::max(1U, static_cast<unsigned>(std::lround(256 * fastest / s.latency_ms))) : 0);
  co_await set_weights(admin_socket_, std::move(weights));
}

}  // namespace rpcw::bench
