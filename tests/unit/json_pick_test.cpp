#include "rpc/json_pick.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <rapidjson/document.h>
#include <rapidjson/pointer.h>

#include <array>
#include <random>
#include <string>
#include <vector>

using namespace rpcw::rpc;

namespace {

Picked pick_one(std::string_view json, std::string_view pointer) {
  std::array<std::string_view, 1> pointers{pointer};
  std::array<Picked, 1> out;
  REQUIRE(pick(json, pointers, out));
  return out[0];
}

bool parses(std::string_view json) {
  std::array<std::string_view, 1> pointers{"/result/number"};
  std::array<Picked, 1> out;
  return pick(json, pointers, out);
}

}  // namespace

TEST_CASE("values are found by their pointer") {
  using Kind = Picked::Kind;
  const std::string json = R"({"a":{"b":[10,{"c":"deep"},[true]],"b2":null},"n":-1.5e3,"s":"x\"yé","o":{},"z":[]})";
  CHECK(pick_one(json, "/a/b/0").text == "10");
  CHECK(pick_one(json, "/a/b/1/c").text == "deep");
  CHECK(pick_one(json, "/a/b/2/0").kind == Kind::kBool);
  CHECK(pick_one(json, "/a/b2").kind == Kind::kNull);
  CHECK(pick_one(json, "/n").text == "-1.5e3");
  CHECK(pick_one(json, "/s").text == "x\"yé");
  CHECK(pick_one(json, "/o").kind == Kind::kObject);
  CHECK(pick_one(json, "/z").kind == Kind::kArray);
  CHECK(pick_one(json, "").kind == Kind::kObject);
  CHECK(pick_one(json, "/a/b/7").kind == Kind::kMissing);
  CHECK(pick_one(json, "/b/0").kind == Kind::kMissing);
  CHECK(pick_one("[[1,2],[3,4]]", "/1/0").text == "3");
  CHECK(pick_one("17", "").text == "17");
}

TEST_CASE("a look-alike at another place is not taken") {
  const std::string json =
      R"({"x":{"result":{"number":"0x1"}},"result":{"y":{"number":"0x2"},"number":"0x3"},"number":"0x4"})";
  CHECK(pick_one(json, "/result/number").text == "0x3");
  CHECK(pick_one(R"({"result":[{"number":1}]})", "/result/number").kind == Picked::Kind::kMissing);
}

TEST_CASE("what no pointer leads into is passed over to its very end") {
  for (const std::string_view passed : {"[]", "{}", R"(["]","}","\"]","\\",[[]],{"a":"]"}])",
                                        R"({"]":"\\\"}","b":[{"c":{}}]})", R"([ "0x1" , 2.5e3 , null ])"})
    for (const std::string& json :
         {fmt::format(R"({{"result":{{"x":{},"number":"0x1"}}}})", passed),
          fmt::format(R"({{"result":{{"x":[1,{0},{0}],"number":"0x1"}},"y":{0}}})", passed)}) {
      CAPTURE(json);
      CHECK(pick_one(json, "/result/number").text == "0x1");
      for (std::size_t n = 0; n < json.size(); ++n) CHECK_FALSE(parses(json.substr(0, n)));
    }
}

TEST_CASE("several pointers at once, also one within another") {
  const std::array<std::string_view, 3> pointers{"/error", "/error/code", "/error/message"};
  std::array<Picked, 3> out;
  REQUIRE(pick(R"({"jsonrpc":"2.0","error":{"code":-32005,"message":"slow down"}})", pointers, out));
  CHECK(out[0].kind == Picked::Kind::kObject);
  CHECK(out[1].text == "-32005");
  CHECK(out[2].text == "slow down");
}

TEST_CASE("what is not one whole JSON value is refused") {
  for (const std::string_view bad :
       {"", " ", "{", R"({"result":{"number":"0x1"})", "{}{}", "<html>", "{\"a\":\"\xff\"}", "nul"})
    CHECK_FALSE(parses(bad));
  CHECK_FALSE(parses(std::string_view("{}\0", 3)));
}

TEST_CASE("nesting of any depth is safe") {
  const std::string open(1 << 20, '[');
  CHECK_FALSE(parses(open));
  CHECK(parses(open + std::string(1 << 20, ']')));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += R"({"result":)";
  CHECK_FALSE(parses(objects));
}

namespace {

/// Random JSON over few names, so that pointers are met often.
class Scribe {
 public:
  explicit Scribe(unsigned seed) : random_(seed) {}

  std::string value(unsigned depth = 0) {
    static const std::vector<std::string> kScalars{"null",    "true",          "false", "0",        "-1.5e3",
                                                   "17",      "1E+2",          R"("")", R"("0x1")", R"("a\"]}b")",
                                                   R"("\\")", R"("\u00e9\n")", "\"é\"", R"("{")"};
    const unsigned kind = below(depth < 5 ? 5 : 3);
    if (kind < 3) return space() + kScalars[below(static_cast<unsigned>(kScalars.size()))] + space();
    const bool object = kind == 3;
    std::string out = space() + (object ? "{" : "[") + space();
    for (unsigned i = 0, n = below(4); i < n; ++i) {
      if (i > 0) out += ",";
      if (object) out += space() + name(i) + space() + ":";
      out += value(depth + 1);
    }
    return out + (object ? "}" : "]") + space();
  }

  /// The same with a byte too many, too few or another.
  std::string broken(std::string text) {
    const std::size_t at = below(static_cast<unsigned>(text.size()));
    const char c = "{}[],:\"\\0x \x01"[below(12)];
    switch (below(3)) {
      case 0:
        text.erase(at, 1);
        break;
      case 1:
        text.insert(at, 1, c);
        break;
      default:
        text[at] = c;
    }
    return text;
  }

 private:
  unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }
  std::string space() { return below(4) == 0 ? " \t" : ""; }
  /// The second and later ones of an object differ: which of two the same wins is not to be compared.
  std::string name(unsigned i) {
    static const std::array<std::vector<std::string>, 4> kNames{
        {{R"("a")", R"("\u0061")"}, {R"("b")"}, {R"("c")"}, {R"("d")"}}};
    const auto& these = kNames.at(i);
    return these[below(static_cast<unsigned>(these.size()))];
  }

  std::minstd_rand random_;
};

Picked as_picked(const rapidjson::Value* value) {
  using Kind = Picked::Kind;
  if (value == nullptr) return {};
  if (value->IsNull()) return {Kind::kNull, {}};
  if (value->IsBool()) return {Kind::kBool, value->GetBool() ? "true" : "false"};
  if (value->IsObject()) return {Kind::kObject, value->ObjectEmpty() ? "{}" : ""};
  if (value->IsArray()) return {Kind::kArray, value->Empty() ? "[]" : ""};
  return {Kind::kString, {value->GetString(), value->GetStringLength()}};
}

}  // namespace

TEST_CASE("RapidJSON finds the same") {
  const std::array<std::string_view, 6> pointers{"", "/a", "/b/a", "/0/b", "/a/1/c", "/a/b/a/0"};
  unsigned found = 0;
  unsigned refused = 0;
  for (unsigned seed = 1; seed <= 20'000; ++seed) {
    Scribe scribe(seed);
    std::string text = scribe.value();
    if (seed % 2 == 0) text = scribe.broken(text);
    CAPTURE(text);
    std::array<Picked, pointers.size()> out;
    const bool taken = pick(text, pointers, out);
    rapidjson::Document document;
    // Numbers as they are written: they become strings.
    document.Parse<rapidjson::kParseNumbersAsStringsFlag | rapidjson::kParseValidateEncodingFlag>(text);
    if (document.HasParseError()) {
      refused += taken ? 0 : 1;
      continue;
    }
    REQUIRE(taken);
    for (std::size_t i = 0; i < pointers.size(); ++i) {
      CAPTURE(pointers.at(i));
      const Picked expected = as_picked(rapidjson::Pointer(std::string(pointers.at(i))).Get(document));
      const Picked& got = out.at(i);
      CHECK((got.kind == Picked::Kind::kNumber ? Picked::Kind::kString : got.kind) == expected.kind);
      CHECK(got.text == expected.text);
      if (i > 0 && expected.kind != Picked::Kind::kMissing) ++found;
    }
  }
  CHECK(found > 1500);
  CHECK(refused > 3000);
}

TEST_CASE("an array is read element by element") {
  const std::array<std::string_view, 2> pointers{"/id", "/r/0"};
  std::array<Picked, 2> out;
  std::string seen;
  const auto each = [&](std::string_view json) {
    seen.clear();
    return pick_each(json, pointers, out, [&] {
      seen += fmt::format("{}:{} ", out[0].text, out[1].text);
      return out[0].text != "stop";
    });
  };
  CHECK(each(R"([{"id":1,"r":["x\"]}"]},{"r":[]},{}])"));
  CHECK(seen == "1:x\"]} : : ");
  CHECK(each(" [\t{\"id\": \"a\" }\r\n, 17,[],null ] \n"));
  CHECK(seen == "a: : : : ");
  CHECK(each("[]"));
  CHECK(seen.empty());
  CHECK_FALSE(each(R"([{"id":"go"},{"id":"stop"},{"id":"on"}])"));
  CHECK(seen == "go: stop: ");
  const std::string whole = R"([{"id":1,"r":[{"x":"\"}"}]},{"id":2}])";
  REQUIRE(each(whole));
  CHECK(seen == "1: 2: ");
  for (std::size_t n = 0; n < whole.size(); ++n) CHECK_FALSE(each(whole.substr(0, n)));
  for (const std::string_view bad : {"", "{}", "[{},]", "[,{}]", "[{} {}]", "[{}]x", "[1 2]", "null", R"("[{}]")"})
    CHECK_FALSE(each(bad));
}

TEST_CASE("an empty container says so") {
  CHECK(pick_one(R"({"a":{ }})", "/a").text == "{}");
  CHECK(pick_one(R"({"a":[
]})",
                 "/a")
            .text == "[]");
  CHECK(pick_one(R"({"a":{"b":1}})", "/a").text.empty());
  CHECK(pick_one("[0]", "").text.empty());
}

TEST_CASE("integers come in three spellings") {
  using Kind = Picked::Kind;
  CHECK(to_integer({Kind::kString, "0x16d2f1a"}) == 23932698);
  CHECK(to_integer({Kind::kString, "123"}) == 123);
  CHECK(to_integer({Kind::kNumber, "123"}) == 123);
  CHECK(to_integer({Kind::kString, "0xffffffffffffffff"}) == 18446744073709551615U);
  for (const Picked& bad : std::vector<Picked>{{Kind::kString, "0x10000000000000000"},
                                               {Kind::kString, "0x"},
                                               {Kind::kString, ""},
                                               {Kind::kString, "-1"},
                                               {Kind::kString, "+1"},
                                               {Kind::kString, " 1"},
                                               {Kind::kString, "1 "},
                                               {Kind::kString, "0xg"},
                                               {Kind::kNumber, "1.5"},
                                               {Kind::kNumber, "1e3"},
                                               {Kind::kNumber, "-1"},
                                               {Kind::kBool, "true"},
                                               {Kind::kNull, ""},
                                               {Kind::kMissing, ""}})
    CHECK_FALSE(to_integer(bad).has_value());
}
