#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

namespace rpcw::bench {

/// For SVG text and attributes.
inline std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else
      out += c;
  }
  return out;
}

/// An SVG document, complete in itself. Sizes are in pixels.
class Svg {
 public:
  Svg(int width, int height, std::string_view title) {
    add(R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" )"
        R"(font-family="sans-serif" font-size="12">)",
        width, height);
    add(R"(<title>{}</title><rect width="100%" height="100%" fill="#ffffff"/>)", escaped(title));
    add(R"(<text x="12" y="22" font-size="14" font-weight="bold">{}</text>)", escaped(title));
  }

  template <class... Arguments>
  void add(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Arguments>(arguments)...);
    text_ += '\n';
  }

  void rect(double x, double y, double width, double height, std::string_view colour, std::string_view tip = {}) {
    if (tip.empty())
      add(R"(<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}"/>)", x, y, width, height, colour);
    else
      add(R"(<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}"><title>{}</title></rect>)", x, y,
          width, height, colour, escaped(tip));
  }

  void text(double x, double y, std::string_view what, std::string_view anchor = "start") {
    add(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>)", x, y, anchor, escaped(what));
  }

  /// Below the title, from `x` on.
  template <class Names, class Colours>
  void legend(double x, const Names& names, const Colours& colours) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      rect(x, 34, 11, 11, colours[i]);
      text(x + 16, 44, names[i]);
      x += 40.0 + 7.0 * static_cast<double>(names[i].size());
    }
  }

  std::string end() && { return std::move(text_) + "</svg>\n"; }

 private:
  std::string text_;
};

}  // namespace rpcw::bench
