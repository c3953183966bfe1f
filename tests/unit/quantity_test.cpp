#include "config/quantity.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <limits>
#include <string>
#include <vector>

#include "config/nearest.hpp"

namespace rpcw::config {
namespace {

using namespace std::chrono_literals;

// ---- durations, sizes, nearest names

TEST_CASE("durations") {
  struct Row {
    const char* text;
    std::int64_t ms;
  };
  for (const Row row : {Row{"150ms", 150}, Row{"2s", 2000}, Row{"1.5s", 1500}, Row{"0.001s", 1}, Row{"5m", 300'000},
                        Row{"1h", 3'600'000}, Row{"24h", 86'400'000}, Row{"1d", 86'400'000}, Row{"0s", 0},
                        Row{"007s", 7000}, Row{"1.500000000000000s", 1500}, Row{"0.25h", 900'000},
                        Row{"99999999999999999999999999999999999999999999d", std::numeric_limits<std::int64_t>::max()},
                        Row{"20000000000000000000.000000000000ms", std::numeric_limits<std::int64_t>::max()}}) {
    CAPTURE(row.text);
    const auto value = parse_duration(row.text);
    REQUIRE(value.has_value());
    CHECK(value->count() == row.ms);
  }
  struct Bad {
    const char* text;
    QuantityFault fault;
  };
  for (const Bad row : {Bad{"", QuantityFault::kNotOne},
                        Bad{"s", QuantityFault::kNotOne},
                        Bad{"5", QuantityFault::kNoUnit},
                        Bad{"5.5", QuantityFault::kNoUnit},
                        Bad{"-5s", QuantityFault::kNegative},
                        Bad{"-5", QuantityFault::kNegative},
                        Bad{"5 s", QuantityFault::kNotOne},
                        Bad{" 5s", QuantityFault::kNotOne},
                        Bad{"5s ", QuantityFault::kNotOne},
                        Bad{"5S", QuantityFault::kNotOne},
                        Bad{"+5s", QuantityFault::kNotOne},
                        Bad{".5s", QuantityFault::kNotOne},
                        Bad{"5.s", QuantityFault::kNotOne},
                        Bad{"1.2.3s", QuantityFault::kNotOne},
                        Bad{"1h30m", QuantityFault::kNotOne},
                        Bad{"1e3s", QuantityFault::kNotOne},
                        Bad{"5us", QuantityFault::kNotOne},
                        Bad{"0x5s", QuantityFault::kNotOne},
                        Bad{"1.5ms", QuantityFault::kTooFine},
                        Bad{"0.0000000000001h", QuantityFault::kTooFine},
                        Bad{"0.0000000000000001d", QuantityFault::kTooFine}}) {
    CAPTURE(row.text);
    const auto value = parse_duration(row.text);
    REQUIRE_FALSE(value.has_value());
    CHECK(value.error() == row.fault);
  }
  struct Text {
    std::int64_t ms;
    const char* text;
  };
  for (const Text row :
       {Text{0, "0s"}, Text{1, "1ms"}, Text{999, "999ms"}, Text{1001, "1.001s"}, Text{1500, "1.5s"},
        Text{7340, "7.34s"}, Text{90'500, "90.5s"}, Text{2000, "2s"}, Text{60'000, "60s"}, Text{90'000, "90s"},
        Text{300'000, "5m"}, Text{3'600'000, "1h"}, Text{86'400'000, "24h"}, Text{172'800'000, "2d"}}) {
    CHECK(duration_text(milliseconds(row.ms)) == row.text);
    CHECK(parse_duration(row.text)->count() == row.ms);
  }
}

TEST_CASE("sizes") {
  struct Row {
    const char* text;
    std::uint64_t bytes;
  };
  for (const Row row :
       {Row{"1000B", 1000}, Row{"500KB", 500'000}, Row{"64KiB", 65'536}, Row{"1MiB", 1'048'576},
        Row{"1.5MB", 1'500'000}, Row{"0.5KiB", 512}, Row{"2GiB", 2'147'483'648}, Row{"1GB", 1'000'000'000},
        Row{"99999999999999999999999999999999GiB", std::numeric_limits<std::uint64_t>::max()}}) {
    CAPTURE(row.text);
    const auto value = parse_size(row.text);
    REQUIRE(value.has_value());
    CHECK(*value == row.bytes);
  }
  CHECK(parse_size("1000").error() == QuantityFault::kNoUnit);
  CHECK(parse_size("1k").error() == QuantityFault::kNotOne);
  CHECK(parse_size("1.5B").error() == QuantityFault::kTooFine);
  CHECK(parse_size("-1B").error() == QuantityFault::kNegative);
  CHECK(size_text(1'048'576) == "1MiB");
  CHECK(size_text(1024) == "1KiB");
  CHECK(size_text(1500) == "1500B");
  CHECK(size_text(500'000) == "500KB");
  CHECK(size_text(0) == "0B");
}

TEST_CASE("rates") {
  CHECK(parse_rate("25/s").value() == 25);
  CHECK(parse_rate("90/m").value() == 1.5);
  CHECK(parse_rate("0.5/s").value() == 0.5);
  CHECK(parse_rate("25").error() == QuantityFault::kNoUnit);
  CHECK(parse_rate("25/h").error() == QuantityFault::kNotOne);
  CHECK(parse_rate("-1/s").error() == QuantityFault::kNegative);
  CHECK(parse_rate("0.0001/m").error() == QuantityFault::kTooFine);
  CHECK(rate_text(25) == "25/s");
  CHECK(rate_text(0.5) == "30/m");
}

TEST_CASE("nearest names") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("ab", "ba") == 1);
  CHECK(edit_distance("ca", "abc") == 3);
  CHECK(edit_distance("intreval", "interval") == 1);

  const std::vector<std::string_view> known{"interval", "fast_interval", "timeout", "fall",
                                            "rise",     "polygon-pos",   "warn"};
  const auto best = [&](const char* word) { return nearest(word, known); };
  using List = std::vector<std::string_view>;
  CHECK(best("intreval") == List{"interval"});
  CHECK(best("fast-interval") == List{"fast_interval"});
  CHECK(best("Timeout") == List{"timeout"});
  CHECK(best("fal") == List{"fall"});
  CHECK(best("polygon") == List{"polygon-pos"});
  CHECK(best("warning") == List{"warn"});
  CHECK(best("xyz").empty());
  CHECK(best("").empty());
  CHECK(best(std::string(1000, 'a').c_str()).empty());
  const std::vector<std::string_view> alike{"aaa1", "aaa2", "aaa3", "aaa4"};
  CHECK(nearest("aaa0", alike).size() == 3);
  CHECK(did_you_mean(std::vector<std::string_view>{"a"}) == "did you mean \"a\"?");
  CHECK(did_you_mean(std::vector<std::string_view>{"a", "b", "c"}) == "did you mean \"a\", \"b\" or \"c\"?");
}

}  // namespace
}  // namespace rpcw::config
