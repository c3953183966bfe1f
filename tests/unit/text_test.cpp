#include "base/text.hpp"

#include <doctest/doctest.h>

using namespace rpcw;

TEST_CASE("text: spans are as people say them") {
  using namespace std::chrono_literals;
  CHECK(span_text(850ms) == "850 ms");
  CHECK(span_text(1500ms) == "1.5 s");
  CHECK(span_text(24s) == "24 s");
  CHECK(span_text(150s) == "2 min");
  CHECK(span_text(std::chrono::hours{3}) == "3 h");
  CHECK(span_text(std::chrono::hours{120}) == "5 d");
  CHECK(span_above(std::chrono::hours{2} + 5s, std::chrono::hours{2}) == "more than 2 h");
  CHECK(span_above(std::chrono::hours{3}, std::chrono::hours{2}) == "3 h");
}

TEST_CASE("text: lower case is that of ASCII alone") {
  CHECK(lower("eTh_\xc3\x84Z09") == "eth_\xc3\x84z09");
  CHECK(lower("").empty());
}

TEST_CASE("text: UTF-8 is told from other bytes") {
  const std::string padding(200, 'x');
  for (const char* text :
       {"", "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"}) {
    const std::string good(text);
    CHECK(is_utf8(good));
    CHECK(is_utf8(padding + good + padding));
  }
  for (const char* text : {"\x80", "\xc3", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                           "\xf8\x88\x80\x80\x80", "\xff"}) {
    const std::string bad(text);
    CHECK_FALSE(is_utf8(bad));
    CHECK_FALSE(is_utf8(padding + bad + padding));
    CHECK_FALSE(is_utf8(padding + bad));
  }
}

TEST_CASE("text: addresses are told from names") {
  for (const char* address : {"127.0.0.1", "::1", "2001:db8::1"}) CHECK(is_ip_address(address));
  for (const char* name : {"", "localhost", "127.1", "[::1]", "1.2.3.4.5", "0x7f.0.0.1"})
    CHECK_FALSE(is_ip_address(name));
}

TEST_CASE("text: times are in UTC with milliseconds, before 1970 too") {
  const auto at = [](std::int64_t ms) { return WallTime(milliseconds{ms}); };
  CHECK(rfc3339(at(1'700'000'000'007)) == "2023-11-14T22:13:20.007Z");
  CHECK(date_and_time(at(0)) == "1970-01-01 00:00:00.000");
  CHECK(rfc3339(at(-1)) == "1969-12-31T23:59:59.999Z");
}

TEST_CASE("text: a list of names shows the first few and counts the rest") {
  NameList list(2);
  CHECK(list.text().empty());
  list.add("a");
  CHECK(list.text() == "a");
  list.add("b", " (down)");
  CHECK(list.text() == "a, b (down)");
  list.add("c");
  list.add("d");
  CHECK(list.text() == "a, b (down) and 2 more");
  CHECK(list.count() == 4);
}

TEST_CASE("text: FNV-1a gives the published values") {
  CHECK(fnv1a("") == 0xcbf29ce484222325U);
  CHECK(fnv1a("a") == 0xaf63dc4c8601ec8cU);
  CHECK(fnv1a("foobar") == 0x85944171f73967e8U);
}

TEST_CASE("loopback: names and addresses of this machine alone") {
  for (const char* host : {"localhost", "127.0.0.1", "127.8.0.9", "::1", "[::1]"}) CHECK(is_loopback(host));
  for (const char* host : {"", "10.0.0.1", "127.example.com", "::2", "localhost.example.com"})
    CHECK_FALSE(is_loopback(host));
}
