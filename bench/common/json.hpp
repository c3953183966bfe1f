#pragma once

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <string>

#include "common/machine.hpp"

namespace rpcw::bench {

/// A results.json. All begin alike: the schema, and what was measured on.
class JsonResults {
 public:
  explicit JsonResults(const Machine& machine, int decimal_places = 6) : writer(buffer_) {
    writer.SetMaxDecimalPlaces(decimal_places);
    writer.StartObject();
    writer.Key("schema");
    writer.Int(1);
    writer.Key("date");
    writer.String(machine.date);
    writer.Key("processor");
    writer.String(machine.processor);
    writer.Key("cores");
    writer.Uint(machine.cores);
    writer.Key("kernel");
    writer.String(machine.kernel);
    writer.Key("haproxy");
    writer.String(machine.haproxy);
  }
  JsonResults(const JsonResults&) = delete;
  JsonResults& operator=(const JsonResults&) = delete;

  std::string end() && {
    writer.EndObject();
    return std::string(buffer_.GetString()) + '\n';
  }

 private:
  rapidjson::StringBuffer buffer_;

 public:
  using Writer = rapidjson::Writer<rapidjson::StringBuffer>;
  /// The rest goes here.
  Writer writer;
};

}  // namespace rpcw::bench
