#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "weighter/state/reason.hpp"

namespace rpcw {

/// A line for the log, as a value.
struct LogLine {
  config::LogLevel level = config::LogLevel::kInfo;
  /// For a person: says all there is to say, without secrets.
  std::string message;
  /// The same for a program: key and value. Empty values are left out.
  std::vector<std::pair<std::string_view, std::string>> fields{};
  /// What kind of line it is, as docs/operating.md lists them; a literal.
  std::string_view event = "message";
  /// Why, where the line is about a server or a note.
  std::vector<ReasonNote> reasons{};
};

}  // namespace rpcw
