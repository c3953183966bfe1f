#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>

namespace rpcw::config {

/// A regular expression (ECMAScript) for texts that others write: the time of a search is bounded by the sizes of
/// expression and text, whatever they are. Copies share what was compiled.
class Pattern {
 public:
  /// Longer texts are not searched.
  static constexpr std::size_t kLongestText = 4096;

  /// What is wrong: the end of a sentence that begins with what the expression is for, without any of its text. Not
  /// accepted are references to groups, and lookaheads but one directly behind a ^ at the beginning: their time is not
  /// bounded.
  static std::expected<Pattern, std::string> make(std::string_view expression);

  /// Whether it is found in the text. False for a text that is too long.
  [[nodiscard]] bool found_in(std::string_view text) const;
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  struct Compiled;

  Pattern(std::string text, std::shared_ptr<const Compiled> compiled);

  std::string text_;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace rpcw::config
