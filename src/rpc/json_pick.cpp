#include "rpc/json_pick.hpp"

#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace rpcw::rpc {
namespace {

using Kind = Picked::Kind;

/// RapidJSON could check that as well, but takes three times as long for it as for all the rest; nearly everything that
/// a node writes is ASCII, and that takes 64 bytes at a time.
bool is_utf8(std::string_view text) {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = at + text.size();
  while (at != end) {
    std::array<std::uint64_t, 8> words;  // NOLINT: written below
    while (end - at >= static_cast<std::ptrdiff_t>(sizeof words)) {
      std::memcpy(words.data(), at, sizeof words);
      std::uint64_t bits = 0;
      for (const std::uint64_t w : words) bits |= w;
      if ((bits & 0x8080808080808080U) != 0) break;
      at += sizeof words;
    }
    if (at == end) break;
    const unsigned first = *at++;
    if (first < 0x80) continue;
    // Of the second byte: the ranges that leave out overlong forms, surrogates and what is above U+10FFFF.
    unsigned low = 0x80;
    unsigned high = 0xBF;
    int more = 0;
    if (first >= 0xC2 && first <= 0xDF) {
      more = 1;
    } else if (first >= 0xE0 && first <= 0xEF) {
      more = 2;
      if (first == 0xE0) low = 0xA0;
      if (first == 0xED) high = 0x9F;
    } else if (first >= 0xF0 && first <= 0xF4) {
      more = 3;
      if (first == 0xF0) low = 0x90;
      if (first == 0xF4) high = 0x8F;
    } else {
      return false;
    }
    for (; more > 0; --more) {
      if (at == end || *at < low || *at > high) return false;
      ++at;
      low = 0x80;
      high = 0xBF;
    }
  }
  return true;
}

/// Where the container ends that is open at `at`: at its closing bracket, or at `end` if there is none. Of what it
/// holds only strings and brackets are looked at.
const char* closing_bracket(const char* at, const char* end) {
  const auto past_string = [end](const char* inside) {
    for (const char* from = inside;;) {
      const auto* quote = static_cast<const char*>(std::memchr(from, '"', static_cast<std::size_t>(end - from)));
      if (quote == nullptr) return end;
      const char* slashes = quote;
      while (slashes != inside && slashes[-1] == '\\') --slashes;
      from = quote + 1;
      if ((quote - slashes) % 2 == 0) return from;
    }
  };
  std::size_t open = 1;
  while (at != end) {
    switch (*at) {
      case '"':
        at = past_string(at + 1);
        continue;
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
    ++at;
  }
  return end;
}

/// Follows the reader's place in the document and how far each pointer agrees with it.
class Picker {
 public:
  using Ch = char;

  Picker(rapidjson::MemoryStream& bytes, std::span<const std::string_view> pointers, std::span<Picked> out,
         bool first = false)
      : bytes_(bytes), out_(out), first_(first), count_(pointers.size()) {
    if (count_ > kMostPointers) throw std::logic_error("too many JSON pointers");
    for (std::size_t i = 0; i < count_; ++i) {
      Pointer& to = pointers_[i];
      for (std::string_view p = pointers[i]; !p.empty();) {
        if (to.length == kMostSteps) throw std::logic_error("too long a JSON pointer");
        p.remove_prefix(1);
        const std::size_t end = std::min(p.find('/'), p.size());
        to.steps[to.length++] = p.substr(0, end);
        p.remove_prefix(end);
      }
      deepest_ = std::max(deepest_, to.length);
    }
  }

  bool Null() { return leaf(Kind::kNull, {}); }
  bool Bool(bool b) { return leaf(Kind::kBool, b ? "true" : "false"); }
  bool Int(int) { return false; }
  bool Uint(unsigned) { return false; }
  bool Int64(std::int64_t) { return false; }
  bool Uint64(std::uint64_t) { return false; }
  bool Double(double) { return false; }
  bool RawNumber(const char* text, rapidjson::SizeType n, bool) { return leaf(Kind::kNumber, {text, n}); }
  bool String(const char* text, rapidjson::SizeType n, bool) { return leaf(Kind::kString, {text, n}); }
  bool StartObject() { return open(Kind::kObject); }
  bool StartArray() { return open(Kind::kArray); }
  bool EndObject(rapidjson::SizeType) { return close(); }
  bool EndArray(rapidjson::SizeType) { return close(); }

  bool Key(const char* text, rapidjson::SizeType n, bool) {
    if (depth_ <= deepest_) enter({text, n});
    return true;
  }

 private:
  /// The value that comes next stands below step `name` of the container at depth_.
  void enter(std::string_view name) {
    for (Pointer& p : pointers()) {
      p.matched = std::min(p.matched, depth_ - 1);
      if (p.matched == depth_ - 1 && depth_ <= p.length && p.steps[depth_ - 1] == name) p.matched = depth_;
    }
  }

  void next_element() {
    if (depth_ == 0 || depth_ > deepest_ || !in_array_[depth_ - 1]) return;
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, index_[depth_ - 1]++).ptr;
    enter({digits, static_cast<std::size_t>(end - digits)});
  }

  void store(Kind kind, std::string_view text) {
    if (depth_ > deepest_) return;
    for (std::size_t i = 0; i < count_; ++i)
      if (pointers_[i].matched == depth_ && pointers_[i].length == depth_) {
        out_[i].kind = kind;
        out_[i].text.assign(text);
      }
  }

  bool leaf(Kind kind, std::string_view text) {
    next_element();
    store(kind, text);
    return !first_ || out_[0].kind == Kind::kMissing;
  }

  bool open(Kind kind) {
    next_element();
    store(kind, {});
    if (depth_ < deepest_) {
      in_array_[depth_] = kind == Kind::kArray;
      index_[depth_] = 0;
    } else {
      // No pointer leads into it: for the reader, which has yet to take the bracket, it is empty. A block's
      // transactions are most of its text.
      bytes_.src_ = closing_bracket(bytes_.src_ + 1, bytes_.end_) - 1;
    }
    ++depth_;
    return true;
  }

  bool close() {
    --depth_;
    for (Pointer& p : pointers()) p.matched = std::min(p.matched, depth_);
    return true;
  }

  struct Pointer {
    std::array<std::string_view, kMostSteps> steps;
    std::size_t length = 0;
    /// How many of its leading steps the present place agrees with.
    std::size_t matched = 0;
  };
  std::span<Pointer> pointers() { return {pointers_.data(), count_}; }

  rapidjson::MemoryStream& bytes_;
  std::span<Picked> out_;
  /// Ends the reading with the first scalar.
  const bool first_;
  const std::size_t count_;
  std::array<Pointer, kMostPointers> pointers_;
  /// Of the containers around the present place.
  std::array<bool, kMostSteps> in_array_{};
  std::array<std::size_t, kMostSteps> index_{};
  std::size_t deepest_ = 0;
  /// Open containers around the present place.
  std::size_t depth_ = 0;
};

constexpr unsigned kFlags = rapidjson::kParseIterativeFlag | rapidjson::kParseNumbersAsStringsFlag;

}  // namespace

bool pick(std::string_view json, std::span<const std::string_view> pointers, std::span<Picked> out) {
  std::ranges::fill(out, Picked{});
  // RapidJSON takes a NUL for the end of the text.
  if (json.find('\0') != std::string_view::npos || !is_utf8(json)) return false;
  if (constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF"; json.starts_with(kByteOrderMark))
    json.remove_prefix(kByteOrderMark.size());
  rapidjson::MemoryStream bytes(json.data(), json.size());
  Picker picker(bytes, pointers, out);
  rapidjson::Reader reader;
  return !reader.Parse<kFlags>(bytes, picker).IsError();
}

Picked pick_first(std::string_view json, std::string_view pointer) {
  Picked out;
  rapidjson::MemoryStream bytes(json.data(), json.size());
  Picker picker(bytes, {&pointer, 1}, {&out, 1}, true);
  rapidjson::Reader reader;
  reader.Parse<kFlags>(bytes, picker);
  return out;
}

std::vector<std::string_view> objects_of(std::string_view array) {
  constexpr std::string_view kSpace = " \t\r\n";
  std::vector<std::string_view> out;
  const auto next = [&](char expected) {
    array.remove_prefix(std::min(array.find_first_not_of(kSpace), array.size()));
    if (!array.starts_with(expected)) return false;
    array.remove_prefix(1);
    return true;
  };
  if (!next('[')) return {};
  do {
    if (!next('{')) return {};
    const char* const end = array.data() + array.size();
    const char* const close = closing_bracket(array.data(), end);
    if (close == end) return {};
    out.emplace_back(array.data() - 1, close + 1);
    array = {close + 1, end};
  } while (next(','));
  if (!next(']') || array.find_first_not_of(kSpace) != std::string_view::npos) return {};
  return out;
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
