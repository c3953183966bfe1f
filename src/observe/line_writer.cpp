#include "observe/line_writer.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace rpcw::log {

struct LineWriter::State {
  struct Line {
    std::string text;
    std::size_t stands_for;
  };

  State(int descriptor, std::size_t most) : fd(descriptor), most_bytes(most) {}

  /// The thread.
  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return !lines.empty() || closed; });
      if (lines.empty()) return;
      const Line line = std::move(lines.front());
      lines.pop_front();
      lock.unlock();
      const bool written = write_rest() && write(line.text);
      lock.lock();
      waiting_bytes -= line.text.size();
      if (!written) dropped += line.stands_for;
      changed.notify_all();
    }
  }

  /// What a full disk has left of a line: its end comes before the next line, else two of them would be one.
  bool write_rest() {
    const std::string text = std::exchange(rest, {});
    if (!text.empty() && !write(text)) rest = text;
    return rest.empty();
  }

  bool write(std::string_view text) {
    const std::size_t whole = text.size();
    while (!text.empty()) {
      const ssize_t n = ::write(fd, text.data(), text.size());
      if (n > 0) {
        text.remove_prefix(static_cast<std::size_t>(n));
        continue;
      }
      if (n < 0 && errno == EINTR) continue;
      // Another process that shares the descriptor has made it so.
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        pollfd ready{.fd = fd, .events = POLLOUT, .revents = 0};
        ::poll(&ready, 1, -1);
        if ((ready.revents & (POLLERR | POLLHUP | POLLNVAL)) == 0) continue;
      }
      if (text.size() == whole) return false;
      rest = text;
      // It is not lost, it is late.
      return true;
    }
    return true;
  }

  const int fd;
  const std::size_t most_bytes;
  /// Only the thread's.
  std::string rest;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Line> lines;
  /// With the one that is being written.
  std::size_t waiting_bytes = 0;
  std::size_t dropped = 0;
  bool started = false;
  bool closed = false;
};

LineWriter::LineWriter(int fd, std::size_t most_bytes) : state_(std::make_shared<State>(fd, most_bytes)) {}

LineWriter::~LineWriter() {
  const std::lock_guard lock(state_->mutex);
  state_->closed = true;
  state_->lines.clear();
  state_->changed.notify_all();
}

void LineWriter::push(std::string line, std::size_t stands_for) {
  const std::lock_guard lock(state_->mutex);
  if (!std::exchange(state_->started, true)) {
    try {
      std::thread([state = state_] { state->work(); }).detach();
    } catch (const std::system_error&) {
      state_->started = false;
    }
  }
  if (!state_->started || state_->waiting_bytes + line.size() > state_->most_bytes) {
    state_->dropped += stands_for;
    return;
  }
  state_->waiting_bytes += line.size();
  state_->lines.push_back({std::move(line), stands_for});
  state_->changed.notify_all();
}

std::size_t LineWriter::take_dropped() {
  const std::lock_guard lock(state_->mutex);
  // Half of the queue is free again: else it would be said for every few lines of a slow reader.
  const bool room = state_->waiting_bytes <= state_->most_bytes / 2;
  return room ? std::exchange(state_->dropped, 0) : 0;
}

void LineWriter::flush(std::chrono::milliseconds most) {
  using Clock = std::chrono::steady_clock;
  // A reader that takes nothing for so long takes nothing at all.
  constexpr std::chrono::milliseconds kPatience{200};
  const auto end = Clock::now() + most;
  std::unique_lock lock(state_->mutex);
  for (;;) {
    const std::size_t before = state_->waiting_bytes;
    if (!state_->started || before == 0) return;
    const auto until = std::min(end, Clock::now() + kPatience);
    if (!state_->changed.wait_until(lock, until, [&] { return state_->waiting_bytes != before; })) return;
  }
}

}  // namespace rpcw::log
