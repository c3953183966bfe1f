#include "agent/state_keeper.hpp"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <utility>

#include "base/clock.hpp"
#include "observe/log.hpp"

namespace rpcw {

namespace asio = boost::asio;

namespace {

/// How often the file is written at the most. A crash loses no more of the history than this.
constexpr milliseconds kKeepEvery{3000};

/// How long the last writing may take. A disk that takes longer may never answer.
constexpr milliseconds kDiskGrace{3000};

}  // namespace

StateKeeper::StateKeeper(asio::io_context& io, std::string path, std::function<const SystemState*()> state)
    : io_(io),
      path_(std::move(path)),
      state_(std::move(state)),
      file_(path_),
      timer_(io),
      last_(io),
      writing_(io.get_executor()),
      off_loop_(io.get_executor()) {}

void StateKeeper::recall(SystemState& state, Now now) {
  recalled_ = true;
  if (const auto warning = file_.load(state, now)) log::warn(*warning);
}

void StateKeeper::start() {
  asio::co_spawn(io_, keep(), rethrow);
}

asio::awaitable<void> StateKeeper::keep() {
  for (;;) {
    timer_.expires_after(kKeepEvery);
    const auto [ec] = co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
    if (ec) co_return;
    const SystemState* state = state_();
    if (finished_ || state == nullptr || !worth_keeping(*state)) continue;
    const std::uint64_t changes = state->changes();
    writing_.expect();
    const std::expected<void, std::string> written = co_await write(*state);
    report(written);
    if (written) kept_changes_ = changes;
    writing_.arrive();
  }
}

asio::awaitable<bool> StateKeeper::finish(const SystemState& state) {
  last_.expires_after(kDiskGrace);
  asio::co_spawn(io_, write_last(state), rethrow);
  if (!finished_ && !abandoned_) co_await last_.async_wait(asio::as_tuple(asio::use_awaitable));
  if (finished_) co_return true;
  log::warn(fmt::format("state file {}: the disk does not answer; not waiting for it any longer", path_));
  co_return false;
}

void StateKeeper::abandon() {
  abandoned_ = true;
  last_.cancel();
}

asio::awaitable<void> StateKeeper::write_last(const SystemState& state) {
  co_await writing_.wait();
  if (worth_keeping(state)) report(co_await write(state));
  finished_ = true;
  last_.cancel();
}

/// The disk may be slow: only the text is made here, and another thread writes it.
asio::awaitable<std::expected<void, std::string>> StateKeeper::write(const SystemState& state) {
  auto work = [file = file_, text = file_.text(state, read_clocks())] { return file.write(text); };
  co_return co_await off_loop_.run(std::move(work));
}

bool StateKeeper::worth_keeping(const SystemState& state) const {
  return recalled_ && !state.cold() && state.changes() != kept_changes_;
}

void StateKeeper::report(const std::expected<void, std::string>& written) {
  if (written && !std::exchange(trouble_, {}).empty()) log::info(fmt::format("state file {}: is written again", path_));
  if (written || trouble_ == written.error()) return;
  trouble_ = written.error();
  log::warn(fmt::format("{}; the history is kept in memory alone", trouble_));
}

}  // namespace rpcw
