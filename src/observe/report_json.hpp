#pragma once

#include <rapidjson/document.h>

#include <optional>
#include <string_view>

/// Reading a report that came as JSON. A value that is missing, null or of another type is none.
namespace rpcw::observe {

/// nullptr: none.
const rapidjson::Value* member(const rapidjson::Value& object, const char* name);
/// nullptr: none that is an array.
const rapidjson::Value* list(const rapidjson::Value& object, const char* name);
/// Empty: none. As long as `object` lives.
std::string_view text(const rapidjson::Value& object, const char* name);
std::optional<double> number(const rapidjson::Value& object, const char* name);
/// The object of an array whose "name" this is; nullptr: none.
const rapidjson::Value* named(const rapidjson::Value& array, std::string_view name);

}  // namespace rpcw::observe
