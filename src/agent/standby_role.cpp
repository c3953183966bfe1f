#include "agent/standby_role.hpp"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "base/time.hpp"

namespace rpcw {

namespace asio = boost::asio;

namespace {

/// How long giving the lease back may take. Without it another agent waits until the lease is over.
constexpr milliseconds kLeaseGrace{1000};

}  // namespace

StandbyRole::StandbyRole(asio::io_context& io, const config::Standby& standby, bool dry_run,
                         LeaseKeeper::Effects effects)
    : io_(io), dry_run_(dry_run), effects_(std::move(effects)) {
  if (standby.on())
    lease_ = std::make_shared<LeaseKeeper>(io, standby, this->effects(),
                                           dry_run ? lease::Role::kObserver : lease::Role::kCandidate);
}

LeaseKeeper::Effects StandbyRole::effects() const {
  LeaseKeeper::Effects out = effects_;
  out.lacks = [this] { return lease_ == nullptr ? std::string{} : effects_.lacks(); };
  // A lease whose file is refused is given back: the agent acts alone all the same.
  out.acting = [this](bool acting) {
    if (lease_) effects_.acting(acting);
  };
  return out;
}

void StandbyRole::start() {
  if (lease_) lease_->start();
}

std::optional<StandbyReport> StandbyRole::report() const {
  return lease_ ? std::optional(lease_->report()) : std::nullopt;
}

asio::awaitable<std::expected<void, std::string>> StandbyRole::prepare(config::Standby wanted) {
  if (lease_) {
    const config::Standby& now = lease_->standby();
    if (wanted.on() && wanted.text() == now.text() && wanted.api == now.api)
      co_return std::expected<void, std::string>{};
    co_return std::unexpected(fmt::format(
        "standby.lease: {} cannot be {} while the agent runs, since agents that go by it would set weights as well; "
        "end all agents but this one, then restart it",
        now.text(), wanted.on() ? "changed to another Lease or API server" : "turned off"));
  }
  if (!wanted.on()) co_return std::expected<void, std::string>{};
  joining_ =
      std::make_shared<LeaseKeeper>(io_, wanted, effects(), dry_run_ ? lease::Role::kObserver : lease::Role::kJoining);
  joining_->start();
  // Until then this agent sets weights as before, so that a Lease that cannot be had leaves HAProxy to it.
  if (co_await joining_->joined()) co_return std::expected<void, std::string>{};
  const std::string why = joining_->report().error;
  co_return std::unexpected(
      fmt::format("standby.lease {}: the holder is not known{}{}", wanted.text(), why.empty() ? "" : ": ", why));
}

void StandbyRole::take(const config::Standby& standby) {
  if (joining_) lease_ = std::move(joining_);
  if (lease_) lease_->use_account(standby.account);
}

asio::awaitable<void> StandbyRole::leave() {
  // Also of `release`, which may begin meanwhile.
  const std::shared_ptr<LeaseKeeper> keeper = joining_;
  if (keeper) co_await keeper->release(kLeaseGrace);
  joining_.reset();
}

asio::awaitable<void> StandbyRole::release() {
  for (const std::shared_ptr<LeaseKeeper>& keeper : std::vector{lease_, joining_})
    if (keeper) co_await keeper->release(kLeaseGrace);
}

}  // namespace rpcw
