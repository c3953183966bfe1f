#include "config/expand.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "config/url.hpp"

namespace rpcw::config {
namespace {

constexpr std::string_view kOfVariables = "_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

bool is_name(std::string_view text) {
  if (text.empty() || (text.front() >= '0' && text.front() <= '9')) return false;
  return text.find_first_not_of(kOfVariables) == std::string_view::npos;
}

/// What is meant by the `$NAME` at the beginning of `text`, where that is a variable: its name, or "NAME" where the
/// name may be a part of a secret; empty: no variable is meant. `before`: the character before the $.
std::string meant_variable(std::string_view text, char before, const Variable& variable) {
  if (!text.starts_with('$') || before == '$') return {};
  const std::size_t end = std::min(text.find_first_not_of(kOfVariables, 1), text.size());
  const std::string name(text.substr(1, end - 1));
  if (!is_name(name)) return {};
  if (variable && variable(name)) return name;
  // A word in capitals that stands alone. In a password a $ may be followed by anything.
  constexpr std::string_view kEnds = "/?&=:@. ";
  const bool alone = kEnds.find(before) != std::string_view::npos &&
                     (end == text.size() || kEnds.find(text[end]) != std::string_view::npos);
  const bool capitals = std::ranges::none_of(name, [](char c) { return c >= 'a' && c <= 'z'; });
  return alone && capitals ? "NAME" : "";
}

}  // namespace

std::expected<Expanded, std::vector<std::string>> expand(std::string_view text, const Variable& variable) {
  Expanded out;
  std::vector<std::string> faults;
  std::vector<std::string> seen;
  while (!text.empty()) {
    if (text.starts_with("$${")) {
      out.value += "${";
      text.remove_prefix(3);
      continue;
    }
    if (!text.starts_with("${")) {
      const char before = out.value.empty() ? '/' : out.value.back();
      if (std::string name = meant_variable(text, before, variable);
          !name.empty() && std::ranges::find(out.bare, name) == out.bare.end())
        out.bare.push_back(std::move(name));
      const std::size_t next = std::min(text.find('$', 1), text.size());
      out.value += text.substr(0, next);
      text.remove_prefix(next);
      continue;
    }
    const std::size_t close = text.find('}');
    if (close == std::string_view::npos) {
      faults.emplace_back("a ${ has no }; for a literal ${ write $${");
      break;
    }
    const std::string name(text.substr(2, close - 2));
    text.remove_prefix(close + 1);
    if (!is_name(name)) {
      // What stands there is not shown: it may be a key that happens to hold "${".
      faults.emplace_back("a ${…} holds no variable's name (letters, digits and _); for a literal ${ write $${");
      continue;
    }
    const auto value = variable ? variable(name) : std::nullopt;
    const bool again = std::ranges::find(seen, name) != seen.end();
    if (!again) seen.push_back(name);
    if (!value) {
      // "${KEY}" instead of the variable's name is a slip too.
      if (!again) faults.push_back(fmt::format("the variable {} is not set", url::without_keys(name)));
      continue;
    }
    if (!again) {
      out.variables.push_back(name);
      if (value->empty()) out.empty.push_back(name);
      if (std::ranges::any_of(*value, [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f; }))
        faults.push_back(fmt::format("the variable {} holds a space or a control character (a line's end?)", name));
    }
    out.value += *value;
  }
  if (!faults.empty()) return std::unexpected(std::move(faults));
  return out;
}

}  // namespace rpcw::config
