#include "haproxy/discovery.hpp"

#include <algorithm>
#include <system_error>

namespace rpcw::haproxy {

namespace asio = boost::asio;
using std::chrono::steady_clock;

asio::awaitable<std::expected<std::vector<config::Endpoint>, Failure>> Discovery::find(milliseconds timeout) {
  if (endpoint_.kind != config::Endpoint::Kind::kDns) co_return std::vector{endpoint_};
  const auto fail = [&](Error code, const std::string& what) {
    return std::unexpected(Failure{code, endpoint_.text + ": " + what});
  };
  const auto deadline = steady_clock::now() + timeout;
  if (!under_way_) {
    try {
      under_way_ = Lookup::start(endpoint_.address, endpoint_.port, lookup_);
    } catch (const std::system_error& error) {
      co_return fail(Error::kResolve, std::string("cannot look up the name: ") + error.what());
    }
  }
  co_await under_way_->wait(deadline);
  if (!under_way_->done()) {
    if (steady_clock::now() < deadline) co_return fail(Error::kCancelled, "given up during the look-up of the name");
    co_return fail(Error::kTimeout, "no answer to the look-up of the name within " + std::to_string(timeout.count()) +
                                        " ms; check the name servers");
  }
  auto found = under_way_->result();
  under_way_.reset();
  if (!found) co_return fail(Error::kResolve, "cannot look up the name: " + found.error() + "; check the name");
  std::ranges::sort(*found);
  const auto repeated = std::ranges::unique(*found);
  found->erase(repeated.begin(), repeated.end());
  std::vector<config::Endpoint> out;
  for (const auto& address : *found) {
    auto& one = out.emplace_back(endpoint_);
    one.resolved = address.address().to_string();
    one.text += " (" + one.resolved + ")";
  }
  co_return out;
}

}  // namespace rpcw::haproxy
