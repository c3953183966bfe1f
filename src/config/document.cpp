#include "config/document.hpp"

#include <fmt/format.h>

// The library (3.3) asserts what its own next lines check and answer with an error, for a header such as `[{`: a wrong
// file would abort a debug build, and a release build would be told that it cannot happen. NDEBUG is put aside since
// the library overrides TOML_ASSERT by it.
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(expr) static_cast<void>(0)
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

#include <algorithm>
#include <array>
#include <utility>

#include "config/scan.hpp"

namespace rpcw::config {
namespace {

Place place_of(const toml::source_region& region) {
  return {.line = static_cast<unsigned>(region.begin.line), .column = static_cast<unsigned>(region.begin.column)};
}

/// The place of the first node that is too deep, as a failure: below it nothing is converted.
std::expected<Node, Place> convert(const toml::node& from, unsigned levels = 0) {
  if (levels > kMostLevels) return std::unexpected(place_of(from.source()));
  Node out;
  out.place = place_of(from.source());
  switch (from.type()) {
    case toml::node_type::string:
      out.kind = Node::Kind::kString;
      out.text = from.as_string()->get();
      break;
    case toml::node_type::integer:
      out.kind = Node::Kind::kInteger;
      out.integer = from.as_integer()->get();
      break;
    case toml::node_type::floating_point:
      out.kind = Node::Kind::kFloat;
      out.number = from.as_floating_point()->get();
      break;
    case toml::node_type::boolean:
      out.kind = Node::Kind::kBoolean;
      out.boolean = from.as_boolean()->get();
      break;
    case toml::node_type::array:
      out.kind = Node::Kind::kArray;
      for (const toml::node& item : *from.as_array()) {
        auto inner = convert(item, levels + 1);
        if (!inner) return inner;
        out.items.push_back(std::move(*inner));
      }
      break;
    case toml::node_type::table:
      out.kind = Node::Kind::kTable;
      for (auto&& [key, value] : *from.as_table()) {
        auto inner = convert(value, levels + 1);
        if (!inner) return inner;
        out.members.push_back(
            {.key = std::string(key.str()), .place = place_of(key.source()), .value = std::move(*inner)});
      }
      // The library orders by name.
      std::ranges::stable_sort(out.members, {}, &Member::place);
      break;
    default:
      out.kind = Node::Kind::kDate;
      break;
  }
  return out;
}

Place place_at(std::string_view text, std::size_t offset) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  std::string_view before = text.substr(0, offset);
  if (before.starts_with(kByteOrderMark)) before.remove_prefix(kByteOrderMark.size());
  const auto lines = std::ranges::count(before, '\n');
  before.remove_prefix(before.rfind('\n') + 1);
  const auto characters =
      std::ranges::count_if(before, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; });
  return {.line = static_cast<unsigned>(lines + 1), .column = static_cast<unsigned>(characters + 1)};
}

bool is_key_text(std::string_view text) {
  constexpr std::size_t kLongest = 80;
  return !text.empty() && text.size() <= kLongest && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' ||
           c == '.';
  });
}

/// The library's own sentence without what it quotes from the file: a key pasted without quotation marks would be shown
/// otherwise.
std::string without_quotations(std::string_view text) {
  constexpr std::string_view kRedefine = "cannot redefine existing ";
  constexpr std::size_t kOneCharacter = 4;
  if (const std::size_t at = text.find(kRedefine); at != std::string_view::npos) {
    const std::size_t open = text.find('\'', at);
    const std::size_t close = text.rfind('\'');
    if (open == std::string_view::npos || close <= open) return "a key is defined twice";
    const std::string_view key = text.substr(open + 1, close - open - 1);
    return fmt::format("{}{}{}", text.substr(at, open - at), is_key_text(key) ? fmt::format("'{}'", key) : "key",
                       text.substr(close + 1));
  }
  // The versions of the library word it differently.
  if (text.find("is not representable") != std::string_view::npos) return "a number does not fit into 64 bits";
  std::string out;
  while (true) {
    const std::size_t open = text.find('\'');
    const std::size_t close = open == std::string_view::npos ? open : text.find('\'', open + 2);
    if (close == std::string_view::npos) break;
    const std::string_view quoted = text.substr(open + 1, close - open - 1);
    const std::string_view before = text.substr(0, open);
    out += before;
    out += quoted.size() <= kOneCharacter && !(before.ends_with("saw ") && quoted.size() > 1 && quoted[0] != '\\')
               ? fmt::format("'{}'", quoted)
               : "…";
    text.remove_prefix(close + 1);
  }
  out += text;
  return out;
}

}  // namespace

const Member* Node::find(std::string_view key) const {
  const auto at = std::ranges::find(members, key, &Member::key);
  return at == members.end() ? nullptr : &*at;
}

std::string_view kind_name(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::kString:
      return "a string";
    case Node::Kind::kInteger:
      return "an integer";
    case Node::Kind::kFloat:
      return "a number with a decimal point";
    case Node::Kind::kBoolean:
      return "a boolean";
    case Node::Kind::kDate:
      return "a date or a time";
    case Node::Kind::kArray:
      return "an array";
    case Node::Kind::kTable:
      return "a table";
  }
  return "something else";
}

std::expected<Node, SyntaxError> parse_document(std::string_view text) {
  const auto too_deep = [](Place place) {
    return std::unexpected(SyntaxError{
        .place = place, .message = fmt::format("nested too deeply; at most {} levels are accepted", kMostLevels)});
  };
  if (text.size() > kMostTextBytes)
    return std::unexpected(
        SyntaxError{.place = {}, .message = fmt::format("it is longer than {} bytes", kMostTextBytes)});
  // For the library (3.3) a stray character is undefined behaviour, its test for blanks takes it for impossible; and
  // what is deep enough ends the stack.
  if (const auto found = find_obstacle(text)) {
    const Place place = place_at(text, found->offset);
    if (found->kind == Obstacle::Kind::kTooDeep) return too_deep(place);
    return std::unexpected(SyntaxError{
        .place = place,
        .message = "TOML syntax: a character beyond ASCII is only possible in quotation marks and comments (are the "
                   "quotation marks typographic ones?)"});
  }
  const toml::parse_result result = toml::parse(text);
  if (result) {
    auto out = convert(result.table());
    if (!out) return too_deep(out.error());
    return std::move(*out);
  }
  const toml::parse_error& error = result.error();
  std::string message = fmt::format("TOML syntax: {}", without_quotations(error.description()));
  // `interval = 5s` and `level = info` are what people write; the library's sentence about them does not say so.
  constexpr std::array<std::string_view, 4> kUnquoted{"parsing value", "parsing floating-point", "parsing boolean",
                                                      "parsing decimal"};
  const auto has = [&](std::string_view what) { return message.find(what) != std::string::npos; };
  if (std::ranges::any_of(kUnquoted, has))
    message += " (text, and a number with a unit, needs quotation marks: \"5s\")";
  return std::unexpected(SyntaxError{.place = place_of(error.source()), .message = std::move(message)});
}

}  // namespace rpcw::config
