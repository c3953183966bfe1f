#include "config/params.hpp"

#include <fmt/format.h>

#include <cmath>
#include <string_view>
#include <utility>

namespace rpcw::config {
namespace {

void append_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20)
          out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
        else
          out += c;
    }
  }
  out += '"';
}

std::expected<void, ParamsFault> append(std::string& out, const Node& node) {
  switch (node.kind) {
    case Node::Kind::kString:
      append_string(out, node.text);
      return {};
    case Node::Kind::kInteger:
      out += fmt::format("{}", node.integer);
      return {};
    case Node::Kind::kBoolean:
      out += node.boolean ? "true" : "false";
      return {};
    case Node::Kind::kFloat: {
      if (!std::isfinite(node.number))
        return std::unexpected(ParamsFault{.place = node.place, .message = "JSON has no infinity and no NaN"});
      const std::string text = fmt::format("{}", node.number);
      out += text;
      // A whole one stays a number with a point, as in the file.
      if (text.find_first_of(".e") == std::string::npos) out += ".0";
      return {};
    }
    case Node::Kind::kArray: {
      out += '[';
      for (std::size_t i = 0; i < node.items.size(); ++i) {
        if (i > 0) out += ',';
        if (auto done = append(out, node.items[i]); !done) return done;
      }
      out += ']';
      return {};
    }
    case Node::Kind::kTable: {
      out += '{';
      for (std::size_t i = 0; i < node.members.size(); ++i) {
        if (i > 0) out += ',';
        append_string(out, node.members[i].key);
        out += ':';
        if (auto done = append(out, node.members[i].value); !done) return done;
      }
      out += '}';
      return {};
    }
    case Node::Kind::kDate:
      break;
  }
  return std::unexpected(
      ParamsFault{.place = node.place, .message = "JSON has no dates and times; write it as a string or a number"});
}

}  // namespace

std::expected<std::string, ParamsFault> to_json(const Node& node) {
  std::string out;
  if (auto done = append(out, node); !done) return std::unexpected(std::move(done.error()));
  return out;
}

}  // namespace rpcw::config
