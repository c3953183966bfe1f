#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <expected>
#include <functional>
#include <string>

#include "base/off_loop.hpp"
#include "base/time.hpp"
#include "base/wait_group.hpp"
#include "store/state_file.hpp"
#include "weighter/system/system_state.hpp"

namespace rpcw {

/// Keeps what a running agent knows in the file of `--state`. Trouble with the file goes to the log, each kind of it
/// once, and never stops the agent.
class StateKeeper {
 public:
  /// `state`: the one to be kept at this moment; nullptr: there is none. It is asked for between two turns of the loop.
  StateKeeper(boost::asio::io_context& io, std::string path, std::function<const SystemState*()> state);

  /// Gives `state`, which is new, what the file knows. Nothing is written before.
  void recall(SystemState& state, Now now);
  /// Begins to write the file from time to time.
  void start();
  /// Writes it for the last time, once a write that is under way has ended. False: the disk has not answered in time,
  /// or `abandon` was called; then a thread may be left behind.
  boost::asio::awaitable<bool> finish(const SystemState& state);
  /// `finish` waits no longer.
  void abandon();

 private:
  boost::asio::awaitable<void> keep();
  boost::asio::awaitable<void> write_last(const SystemState& state);
  boost::asio::awaitable<std::expected<void, std::string>> write(const SystemState& state);
  [[nodiscard]] bool worth_keeping(const SystemState& state) const;
  void report(const std::expected<void, std::string>& written);

  boost::asio::io_context& io_;
  const std::string path_;
  const std::function<const SystemState*()> state_;
  store::StateFile file_;
  boost::asio::steady_timer timer_;
  /// Ends when the last writing has ended or takes too long.
  boost::asio::steady_timer last_;
  /// One write is under way at a time.
  WaitGroup writing_;
  OffLoop off_loop_;
  bool recalled_ = false;
  bool finished_ = false;
  bool abandoned_ = false;
  /// SystemState::changes as last written.
  std::uint64_t kept_changes_ = 0;
  /// Why the file could not be written the last time; empty: it could.
  std::string trouble_;
};

}  // namespace rpcw
