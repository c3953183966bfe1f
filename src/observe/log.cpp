#include "observe/log.hpp"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace rpcw::log {
namespace {

bool json = false;

spdlog::logger& logger() {
  // Not registered by name and not the default one: nothing else in the process may write through it.
  static const auto instance =
      std::make_shared<spdlog::logger>("rpc-weighter", std::make_shared<spdlog::sinks::stderr_sink_st>());
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

void add(rapidjson::Writer<rapidjson::StringBuffer>& w, std::string_view key, std::string_view value) {
  w.Key(key.data(), static_cast<rapidjson::SizeType>(key.size()));
  w.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
}

/// The members after time and level, with the object's end.
std::string json_members(std::string_view message, std::initializer_list<Field> fields) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> w(buffer);
  w.StartObject();
  add(w, "message", message);
  for (const Field& f : fields) add(w, f.key, f.value);
  w.EndObject();
  return std::string(buffer.GetString() + 1, buffer.GetSize() - 1);
}

std::string text_members(std::string_view message, std::initializer_list<Field> fields) {
  std::string out(message);
  for (const Field& f : fields) {
    out += ' ';
    out += f.key;
    out += '=';
    const bool plain = !f.value.empty() && f.value.find_first_of(" \"=") == std::string_view::npos;
    if (plain) {
      out += f.value;
      continue;
    }
    out += '"';
    for (const char c : f.value) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  return out;
}

}  // namespace

void configure(const config::Log& settings) {
  json = settings.json;
  logger().set_level(to_spdlog(settings.level));
  logger().flush_on(spdlog::level::trace);
  logger().set_pattern(json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v)" : "%Y-%m-%dT%H:%M:%S.%eZ %-7l %v",
                       spdlog::pattern_time_type::utc);
}

void write(config::LogLevel level, std::string_view message, std::initializer_list<Field> fields) {
  if (!logger().should_log(to_spdlog(level))) return;
  logger().log(to_spdlog(level), "{}", json ? json_members(message, fields) : text_members(message, fields));
}

}  // namespace rpcw::log
