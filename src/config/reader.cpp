#include "config/reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "base/text.hpp"
#include "config/nearest.hpp"
#include "config/quantity.hpp"
#include "config/url.hpp"

namespace rpcw::config {
namespace {

std::string listed(std::span<const std::string_view> names) {
  return fmt::format("{}", fmt::join(names, ", "));
}

/// A unit and what it counts, as `5s` is in seconds.
struct UnitWords {
  std::string_view unit;
  std::string_view meaning;
};

/// `write it as "2000ms" if it is milliseconds`, with the first unit that makes a value in range; empty: none does.
template <typename Parse, typename Value>
std::string with_unit(std::string_view number, std::span<const UnitWords> units, const Parse& parse, Value least,
                      Value most) {
  for (const UnitWords& u : units) {
    const std::string text = fmt::format("{}{}", number, u.unit);
    if (const auto value = parse(text); value && *value >= least && *value <= most)
      return fmt::format("; write it as {} if it is {}", shown(text), u.meaning);
  }
  return {};
}

constexpr std::array<UnitWords, 5> kDurationUnits{
    {{"s", "seconds"}, {"ms", "milliseconds"}, {"m", "minutes"}, {"h", "hours"}, {"d", "days"}}};
constexpr std::array<UnitWords, 4> kSizeUnits{
    {{"B", "bytes"}, {"KiB", "kibibytes"}, {"MiB", "mebibytes"}, {"GiB", "gibibytes"}}};
constexpr std::array<UnitWords, 2> kRateUnits{{{"/s", "requests a second"}, {"/m", "requests a minute"}}};
constexpr std::array<UnitWords, 2> kBudgetUnits{{{"/month", "requests in 30 days"}, {"/day", "requests in a day"}}};

/// So many characters are no key.
constexpr std::size_t kNoKey = 8;

/// How much of a text that is no whole URL may be shown: a URL without its scheme, such as `host.example/KEY`, is cut
/// behind the host. A path is cut before a part that looks like a key.
std::size_t open_part(std::string_view text) {
  const std::size_t slash = text.find_first_of("/?#");
  if (slash == std::string_view::npos) return text.size();
  const std::string_view before = text.substr(0, slash);
  const std::string_view behind = text.substr(slash + 1);
  const bool path = before.empty() || before == "unix:" || before == "master:" || before == "master:unix:" ||
                    before.starts_with("kubernetes:");
  if (path) {
    for (std::size_t at = slash; at < text.size();) {
      const std::size_t next = std::min(text.find_first_of("/?", at + 1), text.size());
      if (url::looks_like_key(text.substr(at + 1, next - at - 1))) return at + 1;
      at = next;
    }
    return text.size();
  }
  // "25/s" and "600000/month" are quantities.
  const bool number = before.find_first_not_of("-.0123456789") == std::string_view::npos &&
                      std::ranges::count(before, '.') <= 1 && behind.find_first_of("/?.") == std::string_view::npos;
  const bool host = before.find_first_of(".:") != std::string_view::npos;
  return (number || !host) && behind.size() <= kNoKey ? text.size() : slash + 1;
}

/// A table that the file does not have.
const Node kEmpty;

std::string number_text(double value) {
  return fmt::format("{}", value);
}

/// As it stands in the file: 2.0 is not 2.
std::string number_text(const Node& node) {
  if (node.kind == Node::Kind::kInteger) return fmt::format("{}", node.integer);
  std::string out = number_text(node.number);
  if (out.find_first_of(".en") == std::string::npos) out += ".0";
  return out;
}

}  // namespace

void Findings::add(List& list, Place place, std::string key, std::string message) {
  // A file of 1 MiB can have 250,000 errors, and each of them takes more memory than its line.
  constexpr std::size_t kMostKept = 20 * kMostTold;
  if (list.first.size() >= kMostKept) cut(list);
  list.first.push_back({.file = file_,
                        .line = place.line,
                        .column = place.column,
                        .key = std::move(key),
                        .message = std::move(message)});
}

void Findings::cut(List& list) {
  std::ranges::stable_sort(list.first, {}, [](const Diagnostic& d) { return std::tuple(d.line, d.column); });
  if (list.first.size() <= kMostTold) return;
  list.dropped += list.first.size() - kMostTold;
  list.first.resize(kMostTold);
}

std::vector<Diagnostic> Findings::take(List& list, std::string_view what) const {
  cut(list);
  if (list.dropped > 0)
    list.first.push_back(
        {.file = file_,
         .line = 0,
         .column = 0,
         .key = {},
         .message = fmt::format("{} more {}{} not shown", list.dropped, what, list.dropped == 1 ? " is" : "s are"),
         .count = list.dropped});
  return std::move(list.first);
}

std::string shown(std::string_view text, std::size_t most) {
  if (text.find("://") != std::string_view::npos || text.find('@') != std::string_view::npos)
    return fmt::format("\"{}\"", url::redact(text));
  // A key may have been pasted where another text belongs.
  const std::string open = url::without_keys(text.substr(0, open_part(text)));
  std::size_t end = std::min(open.size(), most);
  // Not in the middle of a character.
  while (end < open.size() && (static_cast<unsigned char>(open[end]) & 0xC0U) == 0x80) ++end;
  return fmt::format("\"{}{}\"", harmless(std::string_view(open).substr(0, end)),
                     end < open.size() || open_part(text) < text.size() ? "…" : "");
}

bool is_plain_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
           c == '.' || c == ':';
  });
}

std::string place_of(std::string_view key, std::span<const TableKeys> tables) {
  // More would be a list of all that there is.
  constexpr std::size_t kMostPlaces = 3;
  constexpr std::string_view kInFamily = "[family.";
  const auto has = [key](const std::vector<std::string>& keys) { return std::ranges::find(keys, key) != keys.end(); };
  std::vector<std::string> places;
  std::string as_table;
  for (const TableKeys& t : tables) {
    // What a server has, a reference has too.
    const bool again =
        t.header == "[[backend.reference]]" && !places.empty() && places.back() == "a [[backend.server]]";
    if (has(t.keys) && !again) {
      if (t.header.empty()) return "it belongs at the top of the file, before the first [table]";
      if (t.header.starts_with(kInFamily) && !places.empty() && places.back().find("[family") != std::string::npos)
        places.back() = "a table of a [[family]]";
      else
        places.push_back(t.header.starts_with("[[") ? fmt::format("a {}", t.header) : t.header);
    }
    for (const auto& [name, header] : t.tables)
      if (name == key && !t.header.empty()) as_table = fmt::format("it belongs below its {}, as {}", t.header, header);
  }
  if (places.empty()) return as_table;
  if (places.size() > kMostPlaces) return {};
  const std::string last = std::exchange(places.back(), {});
  places.pop_back();
  return fmt::format("it belongs below {}{}{}", fmt::join(places, ", "), places.empty() ? "" : " or ", last);
}

std::string Reader::path_of(std::string_view key) const {
  if (key.empty()) return path_;
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

std::string Reader::header_of(std::string_view key) const {
  for (const std::string_view root : {"backend", "family", "chain"})
    if (path_.starts_with(root)) return fmt::format("{}.{}", root, key);
  return path_of(key);
}

void Reader::error(Place place, std::string_view key, std::string message) {
  findings_.error(place, path_of(key), std::move(message));
}

void Reader::warning(Place place, std::string_view key, std::string message) {
  findings_.warning(place, path_of(key), std::move(message));
}

const Member* Reader::take(std::string_view key) {
  if (std::ranges::find(known_, key) == known_.end()) known_.push_back(key);
  return table_.find(key);
}

Given Reader::refuse(const Member& member, std::string message) {
  error(member.value.place, member.key, std::move(message));
  return {.state = Given::State::kInvalid, .place = member.value.place};
}

Given Reader::wrong_type(const Member& member, std::string_view expected) {
  return refuse(member, fmt::format("found {}; expected {}", kind_name(member.value.kind), expected));
}

Given Reader::boolean(std::string_view key, bool& out) {
  const Member* member = take(key);
  if (member == nullptr) return {.place = table_.place};
  if (member->value.kind != Node::Kind::kBoolean) return wrong_type(*member, "true or false");
  out = member->value.boolean;
  return {.state = Given::State::kValid, .place = member->value.place};
}

Given Reader::number(std::string_view key, double& out, double least, double most) {
  const Member* member = take(key);
  if (member == nullptr) return {.place = table_.place};
  const std::string range = range_text(least, most);
  const Node& node = member->value;
  if (node.kind != Node::Kind::kFloat && node.kind != Node::Kind::kInteger)
    return wrong_type(*member, fmt::format("a number from {}", range));
  const double value = node.kind == Node::Kind::kFloat ? node.number : static_cast<double>(node.integer);
  // Written so that NaN, which compares as false, is refused.
  if (!(value >= least && value <= most))
    return refuse(*member, fmt::format("{} is out of range; accepted: {}", number_text(node), range));
  out = value;
  return {.state = Given::State::kValid, .place = node.place};
}

Given Reader::integer_in(std::string_view key, std::uint64_t& out, std::uint64_t least, std::uint64_t most) {
  const Member* member = take(key);
  if (member == nullptr) return {.place = table_.place};
  const std::string range = range_text(least, most);
  const Node& node = member->value;
  if (node.kind == Node::Kind::kFloat)
    return refuse(*member, fmt::format("found {}; expected an integer from {}", number_text(node), range));
  if (node.kind != Node::Kind::kInteger) return wrong_type(*member, fmt::format("an integer from {}", range));
  if (node.integer < 0 || static_cast<std::uint64_t>(node.integer) < least ||
      static_cast<std::uint64_t>(node.integer) > most)
    return refuse(*member, fmt::format("{} is out of range; accepted: {}", node.integer, range));
  out = static_cast<std::uint64_t>(node.integer);
  return {.state = Given::State::kValid, .place = node.place};
}

Given Reader::duration(std::string_view key, milliseconds& out, milliseconds least, milliseconds most) {
  return duration_in(key, out, least, most, {});
}

Given Reader::duration_in(std::string_view key, milliseconds& out, milliseconds least, milliseconds most,
                          std::string_view word) {
  const Member* member = take(key);
  if (member == nullptr) return {.place = table_.place};
  const std::string range = fmt::format("{} to {}{}", duration_text(least), duration_text(most),
                                        word.empty() ? std::string{} : fmt::format(", or \"{}\"", word));
  const Node& node = member->value;
  if (node.kind == Node::Kind::kInteger || node.kind == Node::Kind::kFloat) {
    const std::string bare = number_text(node);
    if (!(node.kind == Node::Kind::kInteger ? node.integer >= 0 : node.number >= 0 && node.number < 1e9))
      return refuse(*member, fmt::format("{} is no duration; accepted: {}", bare, range));
    return refuse(*member, fmt::format("{} has no unit{} (units: ms, s, m, h, d); accepted: {}", bare,
                                       with_unit(bare, kDurationUnits, parse_duration, least, most), range));
  }
  if (node.kind != Node::Kind::kString)
    return wrong_type(*member, fmt::format("a duration from {}, such as \"{}\"", range, duration_text(out)));
  if (node.text == "off") return refuse(*member, fmt::format("\"off\" is not accepted here; accepted: {}", range));
  const auto value = parse_duration(node.text);
  if (!value) {
    switch (value.error()) {
      case QuantityFault::kNoUnit:
        return refuse(*member, fmt::format("{} has no unit{} (units: ms, s, m, h, d); accepted: {}", shown(node.text),
                                           with_unit(node.text, kDurationUnits, parse_duration, least, most), range));
      case QuantityFault::kNegative:
        return refuse(*member, fmt::format("{} is negative; accepted: {}", shown(node.text), range));
      case QuantityFault::kTooFine:
        return refuse(*member, fmt::format("{} is finer than a millisecond; accepted: {}", shown(node.text), range));
      case QuantityFault::kNotOne:
        break;
    }
    return refuse(*member, fmt::format("{} is no duration; write a number and one of ms, s, m, h, d, such as \"5s\"; "
                                       "accepted: {}",
                                       shown(node.text), range));
  }
  if (*value < least || *value > most)
    return refuse(*member, fmt::format("{} is out of range; accepted: {}", shown(node.text), range));
  out = *value;
  return {.state = Given::State::kValid, .place = node.place};
}

Given Reader::duration_or_word(std::string_view key, std::string_view word, std::optional<milliseconds>& out,
                               milliseconds least, milliseconds most) {
  const Member* member = table_.find(key);
  if (member != nullptr && member->value.kind == Node::Kind::kString && member->value.text == word) {
    take(key);
    out.reset();
    return {.state = Given::State::kValid, .place = member->value.place};
  }
  milliseconds value = out.value_or(least);
  const Given given = duration_in(key, value, least, most, word);
  if (given.valid()) out = value;
  return given;
}

Given Reader::size(std::string_view key, std::uint64_t& out, std::uint64_t least, std::uint64_t most) {
  const Member* member = take(key);
  if (member == nullptr) return {.place = table_.place};
  const std::string range = fmt::format("{} to {}", size_text(least), size_text(most));
  const Node& node = member->value;
  if (node.kind == Node::Kind::kInteger && node.integer >= 0)
    return refuse(*member,
                  fmt::format("{} has no unit{} (units: B, KB, KiB, MB, MiB, GB, GiB); accepted: {}", node.integer,
                              with_unit(number_text(node), kSizeUnits, parse_size, least, most), range));
  if (node.kind != Node::Kind::kString)
    return wrong_type(*member, fmt::format("a size from {}, such as \"{}\"", range, size_text(out)));
  const auto value = parse_size(node.text);
  if (!value) {
    switch (value.error()) {
      case QuantityFault::kNoUnit:
        return refuse(*member,
                      fmt::format("{} has no unit{} (units: B, KB, KiB, MB, MiB, GB, GiB); accepted: {}",
                                  shown(node.text), with_unit(node.text, kSizeUnits, parse_size, least, most), range));
      case QuantityFault::kNegative:
        return refuse(*member, fmt::format("{} is negative; accepted: {}", shown(node.text), range));
      case QuantityFault::kTooFine:
        return refuse(*member, fmt::format("{} is no whole number of bytes; accepted: {}", shown(node.text), range));
      case QuantityFault::kNotOne:
        break;
    }
    return refuse(*member, fmt::format("{} is no size; write a number and one of B, KB, KiB, MB, MiB, GB, GiB, such as "
                                       "\"1MiB\"; accepted: {}",
                                       shown(node.text), range));
  }
  if (*value < least || *value > most)
    return refuse(*member, fmt::format("{} is out of range; accepted: {}", shown(node.text), range));
  out = *value;
  return {.state = Given::State::kValid, .place = node.place};
}

Given Reader::rate(std::string_view key, double& out, double least, double most) {
  const Member* member = take(key);
  if (member == nullptr) return {.place = table_.place};
  const std::string range = fmt::format("{} to {}", rate_text(least), rate_text(most));
  const Node& node = member->value;
  if (node.kind == Node::Kind::kInteger && node.integer >= 0)
    return refuse(*member, fmt::format("{} has no unit{} (units: /s, /m); accepted: {}", node.integer,
                                       with_unit(number_text(node), kRateUnits, parse_rate, least, most), range));
  if (node.kind != Node::Kind::kString)
    return wrong_type(*member, fmt::format("a rate from {}, such as \"25/s\"", range));
  const auto value = parse_rate(node.text);
  if (!value)
    return refuse(*member, fmt::format("{} is no rate; write a number and /s or /m, such as \"25/s\"; accepted: {}",
                                       shown(node.text), range));
  if (*value < least || *value > most)
    return refuse(*member, fmt::format("{} is out of range; accepted: {}", shown(node.text), range));
  out = *value;
  return {.state = Given::State::kValid, .place = node.place};
}

Given Reader::budget(std::string_view key, double& out) {
  constexpr double kLeast = 100;
  constexpr double kMost = 1e8;
  const Member* member = take(key);
  if (member == nullptr) return {.place = table_.place};
  const Node& node = member->value;
  // In the unit of the file, or of the examples in the errors.
  const bool daily = node.kind == Node::Kind::kString && node.text.ends_with("/day");
  const std::string range = daily ? fmt::format("{:.0f}/day to {:.0f}/day", kLeast, kMost)
                                  : fmt::format("{:.0f}/month to {:.0f}/month", 30 * kLeast, 30 * kMost);
  if (node.kind == Node::Kind::kInteger && node.integer >= 0)
    return refuse(*member, fmt::format("{} has no unit{} (units: /day, /month); accepted: {}", node.integer,
                                       with_unit(number_text(node), kBudgetUnits, parse_budget, kLeast, kMost), range));
  if (node.kind != Node::Kind::kString)
    return wrong_type(*member, fmt::format("requests in a time, such as \"600000/month\", from {}", range));
  const auto value = parse_budget(node.text);
  if (!value)
    return refuse(*member, fmt::format("{} is no budget; write a number and /day or /month, such as "
                                       "\"600000/month\"; accepted: {}",
                                       shown(node.text), range));
  if (*value < kLeast || *value > kMost)
    return refuse(*member, fmt::format("{} is out of range; accepted: {}", shown(node.text), range));
  out = *value;
  return {.state = Given::State::kValid, .place = node.place};
}

Given Reader::one_of(std::string_view key, std::span<const std::string_view> names, std::size_t& index) {
  const Member* member = take(key);
  if (member == nullptr) return {.place = table_.place};
  const Node& node = member->value;
  if (node.kind != Node::Kind::kString) return wrong_type(*member, fmt::format("one of: {}", listed(names)));
  const auto at = std::ranges::find(names, node.text);
  if (at == names.end()) {
    const auto near = nearest(node.text, names);
    return refuse(*member, near.empty() ? fmt::format("{} is not known; accepted: {}", shown(node.text), listed(names))
                                        : fmt::format("{} is not known; {} Accepted: {}", shown(node.text),
                                                      did_you_mean(near), listed(names)));
  }
  index = static_cast<std::size_t>(at - names.begin());
  return {.state = Given::State::kValid, .place = node.place};
}

std::optional<Found<std::string>> Reader::text(std::string_view key) {
  const Member* member = take(key);
  if (member == nullptr) return std::nullopt;
  if (member->value.kind != Node::Kind::kString) {
    wrong_type(*member, "a string");
    return std::nullopt;
  }
  return Found<std::string>{.value = member->value.text, .place = member->value.place};
}

std::vector<Found<std::string>> Reader::texts(std::string_view key) {
  std::vector<Found<std::string>> out;
  const Member* member = take(key);
  if (member == nullptr) return out;
  if (member->value.kind != Node::Kind::kArray) {
    wrong_type(*member, "an array of strings: [\"…\"]");
    return out;
  }
  for (const Node& item : member->value.items) {
    if (item.kind == Node::Kind::kString)
      out.push_back({.value = item.text, .place = item.place});
    else
      error(item.place, key, fmt::format("found {}; expected a string", kind_name(item.kind)));
  }
  return out;
}

std::vector<Found<std::string>> Reader::text_or_texts(std::string_view key) {
  const Member* member = table_.find(key);
  if (member != nullptr && member->value.kind == Node::Kind::kArray) return texts(key);
  if (auto one = text(key)) return {std::move(*one)};
  return {};
}

const Node* Reader::any(std::string_view key) {
  const Member* member = take(key);
  return member == nullptr ? nullptr : &member->value;
}

const Node* Reader::free_table(std::string_view key) {
  const Member* member = take(key);
  if (member == nullptr) return nullptr;
  if (member->value.kind == Node::Kind::kTable) return &member->value;
  wrong_type(*member, "a table: { … }");
  return nullptr;
}

void Reader::table(std::string_view key, const std::function<void(Reader&)>& read) {
  const Member* member = take(key);
  if (member != nullptr && member->value.kind != Node::Kind::kTable) {
    const bool array = member->value.kind == Node::Kind::kArray;
    error(array ? member->value.place : member->place, key,
          fmt::format("found {}; expected a table: [{}]", kind_name(member->value.kind), header_of(key)));
    member = nullptr;
  }
  std::string header = fmt::format("[{}]", header_of(key));
  tables_.emplace_back(key, header);
  Reader inner(member == nullptr ? kEmpty : member->value, path_of(key), findings_, std::move(header));
  read(inner);
  inner.finish();
}

std::size_t Reader::tables(std::string_view key, std::string_view label, const std::function<void(Reader&)>& read) {
  const Member* member = take(key);
  const std::string header = header_of(key);
  tables_.emplace_back(key, fmt::format("[[{}]]", header));
  if (member == nullptr) {
    if (!findings_.learns()) return 0;
    Reader inner(kEmpty, path_of(key), findings_, tables_.back().second);
    read(inner);
    inner.finish();
    return 1;
  }
  const Node& node = member->value;
  if (node.kind != Node::Kind::kArray) {
    error(node.kind == Node::Kind::kTable ? node.place : member->place, key,
          fmt::format("found {}; expected an array of tables: [[{}]]", kind_name(node.kind), header));
    return 1;
  }
  std::size_t index = 0;
  for (const Node& item : node.items) {
    ++index;
    if (item.kind != Node::Kind::kTable) {
      error(item.place, key, fmt::format("found {}; expected a table: [[{}]]", kind_name(item.kind), header));
      continue;
    }
    const Member* name = item.find(label);
    const bool plain = !label.empty() && name != nullptr && name->value.kind == Node::Kind::kString &&
                       is_plain_name(name->value.text) && url::without_keys(name->value.text) == name->value.text;
    Reader inner(item, path_of(plain ? fmt::format("{}.{}", key, name->value.text) : fmt::format("{}[{}]", key, index)),
                 findings_, tables_.back().second);
    read(inner);
    inner.finish();
  }
  return node.items.size();
}

void Reader::finish() {
  constexpr std::size_t kLongest = 40;
  if (findings_.learns()) {
    TableKeys& keys = findings_.learn(header_);
    for (const std::string_view key : known_)
      if (std::ranges::find(tables_, key, &std::pair<std::string, std::string>::first) == tables_.end())
        keys.keys.emplace_back(key);
    keys.tables = tables_;
  }
  for (const Member& member : table_.members) {
    if (std::ranges::find(known_, std::string_view(member.key)) != known_.end()) continue;
    // Quoted keys can be anything, even a pasted URL.
    // A key that was pasted without quotation marks is a plain name too.
    const bool plain = is_plain_name(member.key) && member.key.size() <= kLongest && !url::looks_like_key(member.key);
    // A key that is right in another table is no typing error of this one's: `fall` is not `fallback`.
    const std::string elsewhere = findings_.place_of(member.key);
    const auto near = plain && elsewhere.empty() ? nearest(member.key, known_) : std::vector<std::string_view>{};
    error(member.place, plain ? member.key : "",
          fmt::format("unknown key{}; {}", plain ? "" : " (not shown)",
                      !near.empty()        ? did_you_mean(near)
                      : !elsewhere.empty() ? elsewhere
                                           : fmt::format("accepted: {}", listed(known_))));
  }
}

}  // namespace rpcw::config
