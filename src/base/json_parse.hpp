#pragma once

#include <rapidjson/document.h>
#include <rapidjson/error/error.h>

#include <string_view>

namespace rpcw {

/// Parses JSON with every double to its last bit, however deep and whatever the numbers. `out` has the value on success
/// and is null otherwise. A number that neither 64 bits nor a double can hold is kParseErrorTermination.
/// RapidJSON 1.1.0's own way to full precision (kParseFullPrecisionFlag) reads 4 GB beyond a table for a number such as
/// one with 560 zeros behind its point.
rapidjson::ParseResult parse_json(std::string_view text, rapidjson::Document& out);

}  // namespace rpcw
