#include "base/json_parse.hpp"

#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include <charconv>
#include <cstdint>
#include <system_error>

namespace rpcw {
namespace {

/// Hands on to the document, and numbers as what they mean.
class Numbers {
 public:
  using Size = rapidjson::SizeType;

  explicit Numbers(rapidjson::Document& out) : out_(out) {}

  bool Null() { return out_.Null(); }
  bool Bool(bool value) { return out_.Bool(value); }
  bool String(const char* text, Size size, bool copy) { return out_.String(text, size, copy); }
  bool StartObject() { return out_.StartObject(); }
  bool Key(const char* text, Size size, bool copy) { return out_.Key(text, size, copy); }
  bool EndObject(Size members) { return out_.EndObject(members); }
  bool StartArray() { return out_.StartArray(); }
  bool EndArray(Size elements) { return out_.EndArray(elements); }

  bool RawNumber(const char* text, Size size, bool /*copy*/) {
    const std::string_view digits(text, size);
    if (digits.find_first_of(".eE") == std::string_view::npos) {
      if (std::int64_t value = 0; read(digits, value)) return out_.Int64(value);
      if (std::uint64_t value = 0; read(digits, value)) return out_.Uint64(value);
    }
    double value = 0;
    return read(digits, value) && out_.Double(value);
  }

  // Never called: numbers come as text.
  bool Int(int) { return false; }
  bool Uint(unsigned) { return false; }
  bool Int64(std::int64_t) { return false; }
  bool Uint64(std::uint64_t) { return false; }
  bool Double(double) { return false; }

 private:
  template <class T>
  static bool read(std::string_view digits, T& out) {
    const char* const end = digits.data() + digits.size();
    const auto [at, error] = std::from_chars(digits.data(), end, out);
    return error == std::errc{} && at == end;
  }

  rapidjson::Document& out_;
};

}  // namespace

rapidjson::ParseResult parse_json(std::string_view text, rapidjson::Document& out) {
  constexpr unsigned kFlags =
      rapidjson::kParseIterativeFlag | rapidjson::kParseNumbersAsStringsFlag | rapidjson::kParseValidateEncodingFlag;
  rapidjson::MemoryStream bytes(text.data(), text.size());
  rapidjson::Reader reader;
  rapidjson::ParseResult result;
  const auto parse = [&](rapidjson::Document& document) {
    Numbers numbers(document);
    result = reader.Parse<kFlags>(bytes, numbers);
    return !result.IsError();
  };
  out.SetNull();
  out.Populate(parse);
  return result;
}

}  // namespace rpcw
