#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace rpcw::bench {

/// Tables and paragraphs, line by line.
class Markdown {
 public:
  template <class... Arguments>
  void line(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Arguments>(arguments)...);
    text_ += '\n';
  }
  void row(const std::vector<std::string>& cells) { line("| {} |", fmt::join(cells, " | ")); }
  void head(const std::vector<std::string>& cells) {
    row(cells);
    line("|{}", fmt::join(std::vector<std::string>(cells.size(), "---|"), ""));
  }
  std::string end() && { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace rpcw::bench
