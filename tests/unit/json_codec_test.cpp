#include "store/json_codec.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <random>
#include <string>

#include "base/json_parse.hpp"

using namespace rpcw;
using namespace rpcw::store;

namespace {

template <typename T>
std::string written(const T& value) {
  JsonWriter out;
  out.value(value);
  return std::string(out.view());
}

/// What `read` makes of a text, which must be well formed.
template <typename Read>
auto parsed(std::string_view text, Read read) {
  auto document = JsonDocument::parse(text, 1 << 20);
  REQUIRE_MESSAGE(document.has_value(), document.error());
  auto out = read(document->root());
  REQUIRE_MESSAGE(!document->error().has_value(), document->error().value_or(""));
  return out;
}

/// What is wrong with a well-formed text.
template <typename Read>
std::string wrong(std::string_view text, Read read) {
  auto document = JsonDocument::parse(text, 1 << 20);
  REQUIRE_MESSAGE(document.has_value(), document.error());
  (void)read(document->root());
  return document->error().value_or("");
}

double read_any(const JsonField& f) {
  constexpr double kMost = std::numeric_limits<double>::max();
  return f.real(-kMost, kMost);
}

}  // namespace

TEST_CASE("every double comes back to the bit") {
  std::mt19937_64 random(1);
  for (int i = 0; i < 200'000; ++i) {
    const double v = std::bit_cast<double>(random());
    if (!std::isfinite(v)) continue;
    REQUIRE(std::bit_cast<std::uint64_t>(parsed(written(v), read_any)) == std::bit_cast<std::uint64_t>(v));
  }
  for (int i = 0; i < 200'000; ++i) {
    const double v = std::uniform_real_distribution<>(0, 1)(random);
    REQUIRE(std::bit_cast<std::uint64_t>(parsed(written(v), read_any)) == std::bit_cast<std::uint64_t>(v));
  }
  using Limits = std::numeric_limits<double>;
  for (const double v : {0.0, -0.0, 1.0, -1.0, 1e15, 1e22, 0.1, Limits::min(), Limits::max(), Limits::denorm_min()})
    CHECK(std::bit_cast<std::uint64_t>(parsed(written(v), read_any)) == std::bit_cast<std::uint64_t>(v));
  CHECK(written(1.0) == "1.0");
  CHECK(written(Limits::infinity()) == "null");
  CHECK(written(Limits::quiet_NaN()) == "null");
}

TEST_CASE("integers of all sizes come back") {
  for (const std::uint64_t v : {std::uint64_t{0}, std::uint64_t{1} << 53U, UINT64_MAX})
    CHECK(parsed(written(v), [](const JsonField& f) { return f.integer<std::uint64_t>(); }) == v);
  for (const std::int64_t v : {std::int64_t{0}, INT64_MIN, INT64_MAX})
    CHECK(parsed(written(v), [](const JsonField& f) { return f.integer<std::int64_t>(); }) == v);
}

TEST_CASE("texts come back, whatever is in them") {
  const auto text = [](const JsonField& f) { return f.text(); };
  for (const std::string& v : {std::string{}, std::string{"a\0\"\\\n\x7f b", 8}, std::string{"grün 鏈 🦀"}})
    CHECK(parsed(written(v), text) == v);
  CHECK(parsed(written(std::string{"a\xff"
                                   "b\xc3"}),
               text) ==
        "a\xEF\xBF\xBD"
        "b\xEF\xBF\xBD");
  CHECK(parsed(written(std::string{"\xed\xa0\x80"}), text).starts_with("\xEF\xBF\xBD"));
}

TEST_CASE("observations come back") {
  const Now now{WallTime{milliseconds{1'800'000'000'123}}, MonoTime{987'654'321}};
  HeadObservation good{now, std::chrono::microseconds{41'500}, Head{UINT64_MAX, "0xabc", now.wall - milliseconds{5}}};
  const auto same = [](const HeadObservation& a) {
    const auto b = parsed(written(a), read_head_observation);
    CHECK(written(b) == written(a));
    CHECK(b.received.wall == a.received.wall);
    CHECK(b.received.mono == a.received.mono);
    CHECK(b.latency == a.latency);
    CHECK(b.head.has_value() == a.head.has_value());
    return b;
  };
  CHECK(*same(good).head == *good.head);
  good.head = std::unexpected(ProbeFailure{Reason::kRateLimited, "HTTP 429", milliseconds{1500}, true});
  const auto failed = same(good);
  CHECK(failed.head.error().code == Reason::kRateLimited);
  CHECK(failed.head.error().detail == "HTTP 429");
  CHECK(failed.head.error().retry_after == milliseconds{1500});
  CHECK(failed.head.error().unsupported);

  for (const Answer& a :
       {Answer{now, {CheckKind::kBlock, 77}, AnswerValue{0, "0xdef"}},
        Answer{now, {CheckKind::kIdentity}, AnswerValue{0, "1"}},
        Answer{now, {CheckKind::kCanary, 2}, std::unexpected(ProbeFailure{Reason::kTimeout, "late", {}})}}) {
    const auto b = parsed(written(a), read_answer);
    CHECK(written(b) == written(a));
    CHECK(b.check == a.check);
    CHECK(b.value.has_value() == a.value.has_value());
  }
}

TEST_CASE("every reason has a code that finds it again") {
  for (unsigned i = 0; i <= static_cast<unsigned>(Reason::kBlind); ++i) {
    const auto reason = static_cast<Reason>(i);
    CHECK(to_string(reason) != "unknown");
    CHECK(reason_from_string(to_string(reason)) == reason);
  }
  CHECK_FALSE(reason_from_string("unknown").has_value());
  CHECK_FALSE(reason_from_string("").has_value());
}

TEST_CASE("what is wrong is told with its place and what would be right") {
  CHECK(wrong("{}", read_head) == "number: is missing");
  CHECK(wrong("[]", read_head) == "must be an object");
  CHECK(wrong(R"({"number":-1})", read_head) == "number: must be an integer, 0 to 18446744073709551615");
  CHECK(wrong(R"({"number":1.0})", read_head) == "number: must be an integer, 0 to 18446744073709551615");
  CHECK(wrong(R"({"number":18446744073709551616})", read_head) ==
        "number: must be an integer, 0 to 18446744073709551615");
  CHECK(wrong(R"({"number":1,"hash":7})", read_head) == "hash: must be a string of at most 65536 bytes");
  CHECK(wrong(R"({"number":1,"hash":"","timestamp_ms":9223372036854775807})", read_head).starts_with("timestamp_ms: "));
  CHECK(wrong(R"({"received":{"wall_ms":1,"mono_us":null}})", read_answer).starts_with("received.mono_us: must be"));
  CHECK(wrong(R"({"code":"hurt","detail":""})", read_failure) == "code: must be the code of a reason");
  CHECK(wrong(R"({"a":[1,2,{"b":"x"}]})", [](const JsonField& f) {
          const JsonField list = f["a"];
          CHECK(list.size(3) == 3);
          return list[std::size_t{2}]["b"].real(0, 1);
        }) == "a[2].b: must be a number, 0 to 1");
  CHECK(wrong("[1,2]", [](const JsonField& f) { return f.size(1); }) == "must be an array of at most 1 elements");
}

TEST_CASE("texts that are no JSON are refused with the place") {
  const auto refused = [](std::string_view text, std::size_t most = 100) {
    const auto document = JsonDocument::parse(text, most);
    REQUIRE_FALSE(document.has_value());
    return document.error();
  };
  CHECK(refused("") == "byte 0: is no JSON: The document is empty.");
  CHECK(refused("{\"a\":NaN}").starts_with("byte 5: is no JSON"));
  CHECK(refused("{} x").starts_with("byte 3: "));
  CHECK(refused(std::string_view{"{}\0", 3}) == "byte 2: a NUL byte is no JSON");
  CHECK(refused("\"\xff\"").starts_with("byte "));
  CHECK(refused("1e999").starts_with("byte "));
  CHECK(refused("[1]", 2) == "is 3 bytes long, at most 2 are read");
}

TEST_CASE("numbers of any length and size are read to the bit, or refused") {
  const auto read = [](const std::string& text) {
    rapidjson::Document out;
    const bool fine = !parse_json(text, out).IsError();
    return fine ? std::optional(out.GetDouble()) : std::nullopt;
  };
  const std::string zeros(560, '0');
  // Here RapidJSON 1.1.0 reads far beyond its table.
  CHECK(read("0." + zeros + "65268") == std::nullopt);
  CHECK(read("0.000000000000000000000000000001e-293") == 1e-323);
  CHECK(read("1." + zeros + "1") == 1.0);
  CHECK(read("1" + zeros) == std::nullopt);
  CHECK(read("1e400") == std::nullopt);
  CHECK(read("1e-4000000000") == std::nullopt);
  CHECK(read("-18446744073709551616") == -18446744073709551616.0);
  CHECK(read("123456789012345678.5e-3") == 123456789012345.6785);
}

TEST_CASE("nesting of any depth is safe") {
  constexpr std::size_t kDeep = 400'000;
  const std::string text = "{\"a\":" + std::string(kDeep, '[') + std::string(kDeep, ']') + "}";
  auto document = JsonDocument::parse(text, 1 << 20);
  REQUIRE(document.has_value());
  (void)document->root()["b"].boolean();
  CHECK(document->error() == "b: is missing");
}
