#include "observe/report_json.hpp"

namespace rpcw::observe {

using rapidjson::Value;

const Value* member(const Value& object, const char* name) {
  if (!object.IsObject()) return nullptr;
  const auto at = object.FindMember(name);
  return at == object.MemberEnd() || at->value.IsNull() ? nullptr : &at->value;
}

const Value* list(const Value& object, const char* name) {
  const Value* value = member(object, name);
  return value != nullptr && value->IsArray() ? value : nullptr;
}

std::string_view text(const Value& object, const char* name) {
  const Value* value = member(object, name);
  return value != nullptr && value->IsString() ? std::string_view(value->GetString(), value->GetStringLength())
                                               : std::string_view{};
}

std::optional<double> number(const Value& object, const char* name) {
  const Value* value = member(object, name);
  return value != nullptr && value->IsNumber() ? std::optional(value->GetDouble()) : std::nullopt;
}

const Value* named(const Value& array, std::string_view name) {
  if (!array.IsArray()) return nullptr;
  for (const Value& item : array.GetArray())
    if (text(item, "name") == name) return &item;
  return nullptr;
}

}  // namespace rpcw::observe
