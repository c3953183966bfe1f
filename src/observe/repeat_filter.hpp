#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "weighter/controller/log_line.hpp"

namespace rpcw::observe {

/// Sums up log lines that say the same again and again, such as those of a server that flaps all night. Pure.
class RepeatFilter {
 public:
  /// Lines of one kind that are written within a minute; further ones are counted and summed up at its end.
  static constexpr unsigned kWritten = 3;
  static constexpr milliseconds kWindow{60'000};

  /// The lines to write now: summaries that are due, and `line` unless it repeats.
  std::vector<LogLine> pass(LogLine line, MonoTime now);
  /// Summaries that are due.
  std::vector<LogLine> due(MonoTime now);

 private:
  struct Kind {
    MonoTime begun{};
    unsigned seen = 0;
    /// The newest one that was not written.
    LogLine last;
  };
  /// By event, what it is about and its outcome, without numbers that change each time.
  std::map<std::string, Kind> kinds_;
};

}  // namespace rpcw::observe
