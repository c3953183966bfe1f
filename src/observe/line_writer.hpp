#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

namespace rpcw::log {

/// Writes whole lines to a descriptor from a thread of its own, so that a pipe without a reader, a terminal that is
/// held or a disk that hangs stops that thread and nothing else. Lines that find the queue full are dropped and
/// counted, and so are those whose writing fails. The descriptor stays as it is: O_NONBLOCK would be there for every
/// process that shares it.
class LineWriter {
 public:
  /// `most_bytes`: of lines that wait. The descriptor is not closed.
  explicit LineWriter(int fd, std::size_t most_bytes = std::size_t{1} << 20U);
  /// Lines that wait are lost, and a thread that is stuck stays behind; see `flush`.
  ~LineWriter();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  /// Never waits. `line` ends with a line's end. `stands_for`: how many are lost with it.
  void push(std::string line, std::size_t stands_for = 1);
  /// How many lines were lost since the last call, or 0 while no further line could be written.
  std::size_t take_dropped();
  /// Waits until all lines are written, as long as one is written now and then and for `most` in all.
  void flush(std::chrono::milliseconds most);

 private:
  struct State;
  /// Shared with the thread, which may outlive this object in a write that does not return.
  std::shared_ptr<State> state_;
};

}  // namespace rpcw::log
