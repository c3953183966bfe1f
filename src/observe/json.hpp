#pragma once

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/time.hpp"
#include "weighter/controller/server_change.hpp"
#include "weighter/state/reason.hpp"

namespace rpcw::observe {

/// What the JSON documents of this folder share. Appends to `text`.
class Json {
 public:
  Json& object() {
    w_.StartObject();
    return *this;
  }
  void end_object() { w_.EndObject(); }
  void array() { w_.StartArray(); }
  void end_array() { w_.EndArray(); }
  Json& key(std::string_view name) {
    w_.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
    return *this;
  }
  void text(std::string_view value) { w_.String(value.data(), static_cast<rapidjson::SizeType>(value.size())); }
  void number(std::uint64_t value) { w_.Uint64(value); }
  void boolean(bool value) { w_.Bool(value); }
  void null() { w_.Null(); }
  void reasons(std::span<const ReasonNote> reasons);
  /// The members of a change, without the object around them.
  void change(const ServerChange& change);

  [[nodiscard]] std::string take() {
    std::string out(buffer_.GetString(), buffer_.GetSize());
    buffer_.Clear();
    w_.Reset(buffer_);
    return out;
  }

 private:
  rapidjson::StringBuffer buffer_;
  rapidjson::Writer<rapidjson::StringBuffer> w_{buffer_};
};

/// A JSON string with its quotes.
std::string json_string(std::string_view text);

}  // namespace rpcw::observe
