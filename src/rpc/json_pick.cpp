#include "rpc/json_pick.hpp"

#include <fmt/format.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <forward_list>
#include <stdexcept>

#include "base/text.hpp"

namespace rpcw::rpc {
namespace {

using Kind = Picked::Kind;

/// Behind the closing quote of the string whose first character is at `inside`; nullptr: it has none.
const char* past_string(const char* inside, const char* end) {
  for (const char* from = inside;;) {
    const auto* quote = static_cast<const char*>(std::memchr(from, '"', static_cast<std::size_t>(end - from)));
    if (quote == nullptr) return nullptr;
    const char* slashes = quote;
    while (slashes != inside && slashes[-1] == '\\') --slashes;
    from = quote + 1;
    if ((quote - slashes) % 2 == 0) return from;
  }
}

/// Behind the closing bracket of the container whose first character is at `inside`; nullptr: it has none. Of what it
/// holds only strings and brackets are looked at.
const char* past_container(const char* inside, const char* end) {
  std::size_t open = 1;
  for (const char* at = inside; at != end;) {
    switch (*at++) {
      case '"':
        at = past_string(at, end);
        if (at == nullptr) return nullptr;
        break;
      case '[':
      case '{':
        ++open;
        break;
      case ']':
      case '}':
        if (--open == 0) return at;
        break;
      default:
        break;
    }
  }
  return nullptr;
}

/// What stands between the quotes of a string, without its escapes; absent: it is no JSON string.
std::optional<std::string> unescaped(std::string_view raw) {
  const auto special = [](char c) { return c == '\\' || static_cast<unsigned char>(c) < ' '; };
  if (std::ranges::none_of(raw, special)) return std::string(raw);
  rapidjson::Document string;
  string.Parse(fmt::format("\"{}\"", raw));
  if (!string.IsString()) return std::nullopt;
  return std::string(string.GetString(), string.GetStringLength());
}

/// RFC 8259, section 6.
bool is_number(std::string_view text) {
  const auto take = [&](char c) {
    if (!text.starts_with(c)) return false;
    text.remove_prefix(1);
    return true;
  };
  const auto take_digits = [&] {
    const std::size_t n = std::min(text.find_first_not_of("0123456789"), text.size());
    text.remove_prefix(n);
    return n > 0;
  };
  take('-');
  if (!take('0') && !take_digits()) return false;
  if (take('.') && !take_digits()) return false;
  if (take('e') || take('E')) {
    if (!take('+')) take('-');
    if (!take_digits()) return false;
  }
  return text.empty();
}

/// Some servers begin with a byte order mark.
std::string_view without_mark(std::string_view text) {
  if (constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF"; text.starts_with(kByteOrderMark))
    text.remove_prefix(kByteOrderMark.size());
  return text;
}

/// Follows the pointers into a text. A block's transactions are most of an answer, so what no pointer leads into is
/// passed over from bracket to bracket and from quote to quote.
class Picker {
 public:
  Picker(std::string_view json, std::span<const std::string_view> pointers, std::span<Picked> out)
      : at_(json.data()), end_(at_ + json.size()), out_(out), count_(pointers.size()) {
    if (count_ > kMostPointers) throw std::logic_error("too many JSON pointers");
    for (std::size_t i = 0; i < count_; ++i) {
      Pointer& to = pointers_[i];
      for (std::string_view p = pointers[i]; !p.empty();) {
        if (to.length == kMostSteps) throw std::logic_error("too long a JSON pointer");
        p.remove_prefix(1);
        const std::size_t end = std::min(p.find('/'), p.size());
        const std::string_view step = p.substr(0, end);
        to.steps[to.length++] = step.find('~') == std::string_view::npos ? step : unescaped_step(step);
        p.remove_prefix(end);
      }
    }
  }

  /// False: the text is not one value.
  bool run() { return value(0, all()) && at_end(); }

  /// False: the text is not one array.
  bool run_each(const std::function<bool()>& visit) {
    if (!take('[')) return false;
    if (take(']')) return at_end();
    do {
      std::ranges::fill(out_, Picked{});
      if (!value(0, all()) || !visit()) return false;
    } while (take(','));
    return take(']') && at_end();
  }

 private:
  /// A bit for each.
  using Pointers = unsigned;

  struct Pointer {
    std::array<std::string_view, kMostSteps> steps;
    std::size_t length = 0;
  };

  [[nodiscard]] Pointers all() const { return (1U << count_) - 1; }

  bool at_end() {
    skip_space();
    return at_ == end_;
  }

  void skip_space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }

  bool take(char c) {
    skip_space();
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  /// Those of `these` that lead on from the container `depth` steps down into its member `name`.
  [[nodiscard]] Pointers into(Pointers these, std::size_t depth, std::string_view name) const {
    Pointers out = 0;
    for (std::size_t i = 0; i < count_; ++i)
      if ((these >> i & 1U) != 0 && pointers_[i].length > depth && pointers_[i].steps[depth] == name) out |= 1U << i;
    return out;
  }

  [[nodiscard]] bool any_beyond(Pointers these, std::size_t depth) const {
    for (std::size_t i = 0; i < count_; ++i)
      if ((these >> i & 1U) != 0 && pointers_[i].length > depth) return true;
    return false;
  }

  /// RFC 6901, section 4.
  std::string_view unescaped_step(std::string_view step) {
    std::string& out = steps_.emplace_front();
    for (std::size_t i = 0; i < step.size(); ++i) {
      const bool escape = step[i] == '~' && i + 1 < step.size();
      out += !escape ? step[i] : step[++i] == '1' ? '/' : '~';
    }
    return out;
  }

  /// Of `these`, which agree with the present place, those that end here get the value.
  bool store(Pointers these, std::size_t depth, Kind kind, std::string_view text) {
    for (std::size_t i = 0; i < count_; ++i)
      if ((these >> i & 1U) != 0 && pointers_[i].length == depth) {
        out_[i].kind = kind;
        out_[i].text = text;
      }
    return true;
  }

  /// What stands between quotes; the opening one has been taken.
  std::optional<std::string_view> string() {
    const char* const begin = at_;
    at_ = past_string(at_, end_);
    if (at_ == nullptr) return std::nullopt;
    return std::string_view(begin, at_ - 1);
  }

  /// The value that comes next, `depth` steps down, where `these` lead to or through.
  bool value(std::size_t depth, Pointers these) {
    if (take('{')) return container(depth, these, Kind::kObject);
    if (take('[')) return container(depth, these, Kind::kArray);
    if (take('"')) {
      const auto raw = string();
      if (!raw || these == 0) return raw.has_value();
      const auto text = unescaped(*raw);
      return text && store(these, depth, Kind::kString, *text);
    }
    const char* const begin = at_;
    while (at_ != end_ && std::string_view(" \n\r\t,]}").find(*at_) == std::string_view::npos) ++at_;
    const std::string_view word(begin, at_);
    const Kind kind = word == "null" ? Kind::kNull : word == "true" || word == "false" ? Kind::kBool : Kind::kNumber;
    if (kind == Kind::kNumber && !is_number(word)) return false;
    if (these == 0) return true;
    return store(these, depth, kind, kind == Kind::kNull ? std::string_view() : word);
  }

  bool container(std::size_t depth, Pointers these, Kind kind) {
    const char close = kind == Kind::kObject ? '}' : ']';
    const bool empty = take(close);
    store(these, depth, kind, !empty ? "" : kind == Kind::kObject ? "{}" : "[]");
    if (empty) return true;
    if (!any_beyond(these, depth)) {
      at_ = past_container(at_, end_);
      return at_ != nullptr;
    }
    std::size_t index = 0;
    do {
      Pointers inside = 0;
      if (kind == Kind::kObject) {
        if (!take('"')) return false;
        const auto raw = string();
        if (!raw || !take(':')) return false;
        // No other escape stands for what a step is made of.
        if (raw->find("\\u") == std::string_view::npos) {
          inside = into(these, depth, *raw);
        } else {
          const auto name = unescaped(*raw);
          if (!name) return false;
          inside = into(these, depth, *name);
        }
      } else {
        inside = into(these, depth, fmt::format_int(index++).c_str());
      }
      if (!value(depth + 1, inside)) return false;
    } while (take(','));
    return take(close);
  }

  const char* at_;
  const char* const end_;
  std::span<Picked> out_;
  const std::size_t count_;
  std::array<Pointer, kMostPointers> pointers_;
  /// Steps with escapes.
  std::forward_list<std::string> steps_;
};

}  // namespace

bool pick(std::string_view json, std::span<const std::string_view> pointers, std::span<Picked> out) {
  std::ranges::fill(out, Picked{});
  return is_utf8(json) && Picker(without_mark(json), pointers, out).run();
}

bool pick_each(std::string_view json, std::span<const std::string_view> pointers, std::span<Picked> out,
               const std::function<bool()>& visit) {
  return is_utf8(json) && Picker(without_mark(json), pointers, out).run_each(visit);
}

std::optional<std::uint64_t> to_integer(const Picked& value) {
  if (value.kind != Kind::kNumber && value.kind != Kind::kString) return std::nullopt;
  std::string_view digits = value.text;
  int base = 10;
  if (value.kind == Kind::kString && (digits.starts_with("0x") || digits.starts_with("0X"))) {
    digits.remove_prefix(2);
    base = 16;
  }
  std::uint64_t out = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out, base);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return out;
}

}  // namespace rpcw::rpc
