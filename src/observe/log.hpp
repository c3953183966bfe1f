#pragma once

#include <chrono>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "config/config.hpp"
#include "weighter/controller/log_line.hpp"
#include "weighter/state/reason.hpp"

/// Log lines on standard error, as text or as one JSON object a line. Writing never waits: while standard error takes
/// nothing, lines are kept up to 1 MiB and then dropped, and once it does again a line says how many were.
namespace rpcw::log {

struct Field {
  std::string_view key;
  std::string_view value;
};

/// Before the first line, and again when the settings change.
void configure(const config::Log& settings);

/// `message` is for a person and says all there is to say; `event`, `fields` and `reasons` say the same to a program. A
/// text line is the message alone, with control characters escaped. A JSON line has the event, the fields that are not
/// empty, weights and process ids as numbers, and `reasons` if there are any.
void write(config::LogLevel level, std::string_view message, std::span<const Field> fields,
           std::string_view event = "message", std::span<const ReasonNote> reasons = {});
inline void write(config::LogLevel level, std::string_view message, std::initializer_list<Field> fields = {}) {
  write(level, message, std::span(fields.begin(), fields.size()));
}
void write(const LogLine& line);

/// Waits until everything is written, for `most` at the longest and not for a reader that takes nothing. At the end of
/// the program; lines that are left then are lost.
void flush(std::chrono::milliseconds most);

inline void event(std::string_view name, config::LogLevel level, std::string_view message,
                  std::initializer_list<Field> fields = {}) {
  write(level, message, std::span(fields.begin(), fields.size()), name);
}
inline void debug(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(config::LogLevel::kDebug, message, fields);
}
inline void info(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(config::LogLevel::kInfo, message, fields);
}
inline void warn(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(config::LogLevel::kWarn, message, fields);
}
inline void error(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(config::LogLevel::kError, message, fields);
}

}  // namespace rpcw::log
