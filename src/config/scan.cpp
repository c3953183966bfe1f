#include "config/scan.hpp"

#include <algorithm>

namespace rpcw::config {
namespace {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::optional<Obstacle> run() {
    constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
    if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(offset_ = kByteOrderMark.size());
    while (at_ < text_.size() && !found_) {
      const char c = text_[at_];
      note_depth(c);
      if (c == '#')
        at_ = std::min(text_.find('\n', at_), text_.size());
      else if ((c == '"' || c == '\'') && may_begin_string())
        skip_string(c);
      else if (!note_stray())
        ++at_;
    }
    if (found_) found_->offset += offset_;
    return found_;
  }

 private:
  /// Counts brackets, and dots since the last character that begins another key or value. The dot of a number and that
  /// of a wrong file count as well: nothing that is right has so many.
  void note_depth(char c) {
    if (c == '[' || c == '{') ++brackets_;
    if ((c == ']' || c == '}') && brackets_ > 0) --brackets_;
    constexpr std::string_view kBegins = "\n=,[]{}";
    if (c == '.')
      ++dots_;
    else if (kBegins.find(c) != std::string_view::npos)
      dots_ = 0;
    if (dots_ >= kMostLevels || brackets_ > kMostLevels) found_ = {Obstacle::Kind::kTooDeep, at_};
  }

  /// Elsewhere, as in `a = +"é"`, the parser reads on through what looks like a string.
  [[nodiscard]] bool may_begin_string() const {
    constexpr std::string_view kBefore = " \t\r\n=[{,.";
    return at_ == 0 || kBefore.find(text_[at_ - 1]) != std::string_view::npos;
  }

  /// What begins no UTF-8 character is left to the parser, which says so.
  bool note_stray() {
    if (at_ >= text_.size()) return false;
    const auto c = static_cast<unsigned char>(text_[at_]);
    if (c >= 0xc2 && c <= 0xf4) found_ = {Obstacle::Kind::kStray, at_};
    return found_.has_value();
  }

  void skip_string(char quote) {
    const char three[] = {quote, quote, quote};
    const std::string_view fence(three, 3);
    if (text_.substr(at_).starts_with(fence))
      skip_multi_line(quote, fence);
    else
      skip_single_line(quote);
  }

  void skip_single_line(char quote) {
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '\n') break;
      if (c == '\\' && quote == '"') {
        ++at_;
      } else if (c == quote) {
        ++at_;
        return;
      }
    }
    at_ = text_.size();
  }

  void skip_multi_line(char quote, std::string_view fence) {
    at_ += fence.size();
    while (at_ < text_.size()) {
      if (text_[at_] == '\\' && quote == '"') {
        ++at_;
        const std::size_t next = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size());
        const bool escape = next == at_;
        at_ = next;
        if (note_stray()) return;
        if (escape) ++at_;
      } else if (text_.substr(at_).starts_with(fence)) {
        at_ += fence.size();
        // One or two quotation marks more belong to the string, whose end they are before.
        for (int i = 0; i < 2 && at_ < text_.size() && text_[at_] == quote; ++i) ++at_;
        return;
      } else {
        ++at_;
      }
    }
  }

  std::string_view text_;
  /// Of `text_` in the whole.
  std::size_t offset_ = 0;
  std::size_t at_ = 0;
  unsigned brackets_ = 0;
  unsigned dots_ = 0;
  std::optional<Obstacle> found_;
};

}  // namespace

std::optional<Obstacle> find_obstacle(std::string_view text) {
  return Scanner(text).run();
}

}  // namespace rpcw::config
