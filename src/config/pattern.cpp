// The library builds no larger automaton than this: each character of a text may visit all of its states. No other file
// includes <regex>, which must see one limit only.
#define _GLIBCXX_REGEX_STATE_LIMIT 1000  // NOLINT(bugprone-reserved-identifier)
#include "config/pattern.hpp"

#include <fmt/format.h>

#include <regex>
#include <utility>

namespace rpcw::config {
namespace {

/// Parentheses are read recursively.
constexpr std::size_t kLongestExpression = 512;

/// Thompson's simulation instead of backtracking: the library's name for it is reserved, and its only one.
constexpr auto kFlags =
    std::regex_constants::ECMAScript | std::regex_constants::nosubs | std::regex_constants::__polynomial;

/// Where a lookahead stands that would be tried at each character; npos: nowhere.
std::size_t find_lookahead(std::string_view expression) {
  bool in_class = false;
  for (std::size_t at = 0; at < expression.size(); ++at) {
    const std::string_view rest = expression.substr(at);
    if (rest.front() == '\\')
      ++at;
    else if (in_class || rest.front() == '[')
      in_class = rest.front() != ']';
    else if ((rest.starts_with("(?=") || rest.starts_with("(?!")) && (at != 1 || expression.front() != '^'))
      return at;
  }
  return std::string_view::npos;
}

}  // namespace

struct Pattern::Compiled {
  std::regex regex;
};

Pattern::Pattern(std::string text, std::shared_ptr<const Compiled> compiled)
    : text_(std::move(text)), compiled_(std::move(compiled)) {}

std::expected<Pattern, std::string> Pattern::make(std::string_view expression) {
  if (expression.size() > kLongestExpression)
    return std::unexpected(fmt::format("has {} bytes; accepted: at most {}", expression.size(), kLongestExpression));
  if (find_lookahead(expression) != std::string_view::npos)
    return std::unexpected(
        "has a lookahead, (?=…) or (?!…), which is accepted only directly behind a ^ at the beginning");
  try {
    std::string text(expression);
    static_cast<void>(std::regex(text, kFlags));
    // As one automaton for all beginnings. A search tries one after another, which takes the square of the length.
    std::regex anywhere(fmt::format(R"([\s\S]*(?:{}))", text), kFlags);
    return Pattern(std::move(text), std::make_shared<const Compiled>(Compiled{std::move(anywhere)}));
  } catch (const std::regex_error& error) {
    if (error.code() == std::regex_constants::error_complexity)
      return std::unexpected("refers to one of its groups, such as \\1, which is not accepted");
    if (error.code() == std::regex_constants::error_space)
      return std::unexpected("is too large: its repetitions, such as {100}, are too many");
    return std::unexpected(fmt::format("is no regular expression: {}", error.what()));
  }
}

bool Pattern::found_in(std::string_view text) const {
  if (text.size() > kLongestText) return false;
  try {
    return std::regex_search(text.begin(), text.end(), compiled_->regex, std::regex_constants::match_continuous);
  } catch (const std::regex_error&) {
    return false;
  }
}

}  // namespace rpcw::config
