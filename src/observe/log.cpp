#include "observe/log.hpp"

#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>

#include "observe/line_writer.hpp"

namespace rpcw::log {
namespace {

bool json = false;

/// Lasts as long as the process: its thread may be in a write that does not return.
LineWriter& writer() {
  static auto& instance = *new LineWriter(STDERR_FILENO);
  return instance;
}

/// How many lines the next one stands for, see LineWriter::push.
std::size_t stands_for = 1;

class Sink : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    writer().push(std::string(line.data(), line.size()), stands_for);
  }
  void flush_() override {}
};

spdlog::logger& logger() {
  // Not registered by name and not the default one: nothing else in the process may write through it.
  static const auto instance = std::make_shared<spdlog::logger>("rpc-weighter", std::make_shared<Sink>());
  return *instance;
}

spdlog::level::level_enum to_spdlog(config::LogLevel level) {
  switch (level) {
    case config::LogLevel::kTrace:
      return spdlog::level::trace;
    case config::LogLevel::kDebug:
      return spdlog::level::debug;
    case config::LogLevel::kInfo:
      return spdlog::level::info;
    case config::LogLevel::kWarn:
      return spdlog::level::warn;
    case config::LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

/// Bytes of the UTF-8 sequence that `text` begins with; 0: it begins with none.
std::size_t sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto more = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return more(1) ? 2 : 0;
  if ((first & 0xF0U) == 0xE0) {
    const bool overlong = first == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = first == 0xED && byte(1) >= 0xA0;
    return more(1) && more(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first < 0xF0 || first > 0xF4 || (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) >= 0x90)) return 0;
  return more(1) && more(2) && more(3) ? 4 : 0;
}

bool is_control(std::string_view sequence) {
  const auto byte = static_cast<unsigned char>(sequence[0]);
  if (sequence.size() == 1) return byte < 0x20 || byte == 0x7F;
  return byte == 0xC2 && static_cast<unsigned char>(sequence[1]) < 0xA0;
}

/// Bytes that are no UTF-8 become \xNN, and so do control characters when `controls` says so: whatever a line quotes,
/// it stays one line and does nothing to a terminal.
std::string escaped(std::string_view text, bool controls) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = sequence(text);
    const std::string_view head = text.substr(0, std::max<std::size_t>(length, 1));
    text.remove_prefix(head.size());
    if (length > 0 && !(controls && is_control(head)))
      out += head;
    else if (head == "\n")
      out += "\\n";
    else
      for (const char c : head) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  return out;
}

void add(rapidjson::Writer<rapidjson::StringBuffer>& w, std::string_view key, std::string_view value) {
  const std::string text = escaped(value, false);
  w.Key(key.data(), static_cast<rapidjson::SizeType>(key.size()));
  w.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}

/// Fields that are numbers in a JSON line.
bool is_number(const Field& field) {
  constexpr std::array<std::string_view, 5> kNumbers{"from_weight", "to_weight", "pid", "block", "count"};
  return std::ranges::find(kNumbers, field.key) != kNumbers.end() && !field.value.empty() && field.value.size() <= 20 &&
         std::ranges::all_of(field.value, [](char c) { return c >= '0' && c <= '9'; });
}

/// The members after time and level, with the object's end.
std::string json_members(std::string_view event, std::string_view message, std::span<const Field> fields,
                         std::span<const ReasonNote> reasons) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> w(buffer);
  w.StartObject();
  add(w, "event", event);
  add(w, "message", message);
  for (const Field& f : fields) {
    if (f.value.empty()) continue;
    if (!is_number(f)) {
      add(w, f.key, f.value);
      continue;
    }
    w.Key(f.key.data(), static_cast<rapidjson::SizeType>(f.key.size()));
    w.RawValue(f.value.data(), f.value.size(), rapidjson::kNumberType);
  }
  if (!reasons.empty()) {
    w.Key("reasons");
    w.StartArray();
    for (const ReasonNote& r : reasons) {
      w.StartObject();
      add(w, "code", to_string(r.code));
      add(w, "detail", r.detail);
      w.EndObject();
    }
    w.EndArray();
  }
  w.EndObject();
  return std::string(buffer.GetString() + 1, buffer.GetSize() - 1);
}

}  // namespace

void configure(const config::Log& settings) {
  json = settings.json;
  logger().set_level(to_spdlog(settings.level));
  logger().set_pattern(json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v)" : "%Y-%m-%dT%H:%M:%S.%eZ %-7l %v",
                       spdlog::pattern_time_type::utc);
}

void write(config::LogLevel level, std::string_view message, std::span<const Field> fields, std::string_view event,
           std::span<const ReasonNote> reasons) {
  if (!logger().should_log(to_spdlog(level))) return;
  const auto put = [](spdlog::level::level_enum at, std::string_view what, std::string_view text,
                      std::span<const Field> more, std::span<const ReasonNote> why) {
    logger().log(at, "{}", json ? json_members(what, text, more, why) : escaped(text, true));
  };
  if (const std::size_t lost = writer().take_dropped(); lost > 0) {
    stands_for = lost;
    // Among them may have been errors, so no level hides it.
    put(std::max(spdlog::level::warn, logger().level()), "summary",
        fmt::format("log: {} line{} lost, since standard error could not be written", lost,
                    lost == 1 ? " was" : "s were"),
        {}, {});
    stands_for = 1;
  }
  put(to_spdlog(level), event, message, fields, reasons);
}

void flush(std::chrono::milliseconds most) {
  writer().flush(most);
}

void write(const LogLine& line) {
  std::vector<Field> fields;
  fields.reserve(line.fields.size());
  for (const auto& [key, value] : line.fields) fields.push_back({key, value});
  write(line.level, line.message, fields, line.event, line.reasons);
}

}  // namespace rpcw::log
