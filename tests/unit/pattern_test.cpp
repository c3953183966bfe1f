#include "config/pattern.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace rpcw::config {
namespace {

bool found(std::string_view expression, std::string_view text) {
  const auto pattern = Pattern::make(expression);
  REQUIRE(pattern);
  return pattern->found_in(text);
}

TEST_CASE("pattern: what is found, and what is not") {
  CHECK(found("^0x[0-9a-f]{64}$", "0x" + std::string(64, 'a')));
  CHECK_FALSE(found("^0x[0-9a-f]{64}$", "0x" + std::string(63, 'a')));
  CHECK(found("b", "abc"));
  CHECK(found("a|c$", "xxc"));
  CHECK_FALSE(found("^b", "a\nb"));
  CHECK(found("\\bfoo\\b", "a foo b"));
  CHECK(found("\\d+", "height 42"));
  CHECK(found("c$", "a\nbc"));
  CHECK(found("[(?=]", "="));
  CHECK(found("\\(?=", "="));
  CHECK(found("^(?!0x0$)", "0x1"));
  CHECK_FALSE(found("^(?!0x0$)", "0x0"));
  CHECK(found("x", std::string(Pattern::kLongestText, 'x')));
  CHECK_FALSE(found("x", std::string(Pattern::kLongestText + 1, 'x')));
  CHECK(Pattern::make("^T").value().text() == "^T");
}

TEST_CASE("pattern: what is not accepted, and why") {
  const auto why = [](std::string_view expression) {
    const auto out = Pattern::make(expression);
    return out ? std::string{} : out.error();
  };
  CHECK(why("(").starts_with("is no regular expression: "));
  CHECK(why("a)(b").starts_with("is no regular expression: "));
  CHECK(why("(a)\\1") == "refers to one of its groups, such as \\1, which is not accepted");
  CHECK(why("((a{1,9}){1,9}){1,9}") == "is too large: its repetitions, such as {100}, are too many");
  CHECK(why(std::string(513, 'a')) == "has 513 bytes; accepted: at most 512");
  for (const char* lookahead : {"(?=a)", "a(?!b)", "^(?=a)(?=b)", "^(?=a(?=b))", "^a|(?=b)"}) {
    CAPTURE(lookahead);
    CHECK(why(lookahead).starts_with("has a lookahead"));
  }
}

// With backtracking the first ones take longer than the universe has been there, and the others the square of the
// length.
TEST_CASE("pattern: no answer makes the search take long") {
  const std::string evil = std::string(Pattern::kLongestText - 1, 'a') + "!";
  const auto begun = std::chrono::steady_clock::now();
  for (const char* expression :
       {"(a+)+$", "^(a|aa)+$", "(a*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*)*x", "a*b", ".*.*.*x", "^(?=(a+)+b)"}) {
    CAPTURE(expression);
    CHECK_FALSE(found(expression, evil));
  }
  // A sanitizer on a busy machine needs some 100 times as long as the release's few milliseconds.
  CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(5));
}

}  // namespace
}  // namespace rpcw::config
