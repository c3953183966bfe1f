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

  /// The lines to write now: the summary of this line's kind if it is due, and `line` unless it repeats.
  std::vector<LogLine> pass(LogLine line, MonoTime now);
  /// The summaries of all kinds that are due. To be called from time to time: it goes through all kinds.
  std::vector<LogLine> due(MonoTime now);

 private:
  struct Kind {
    MonoTime begun{};
    unsigned seen = 0;
    /// The newest one that was not written.
    LogLine last;
  };
  /// If the kind's minute is over, adds its summary to `out` and begins the next one. False: there was nothing to sum
  /// up, so that the kind can be forgotten.
  static bool end_window(Kind& kind, MonoTime now, std::vector<LogLine>& out);

  /// By event, what it is about and its outcome, without numbers that change each time.
  std::map<std::string, Kind> kinds_;
};

}  // namespace rpcw::observe
