#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/document.hpp"
#include "config/load.hpp"

/// A declarative way to read tables: each key is asked for once, with its type and range. What is wrong is noted, and
/// what was never asked for is reported as unknown.
namespace rpcw::config {

/// The keys that a table's reader asks for.
struct TableKeys {
  /// As the file writes it, such as "[[backend.server]]"; empty: the file itself.
  std::string header;
  std::vector<std::string> keys;
  /// Keys that are tables, each with its header.
  std::vector<std::pair<std::string, std::string>> tables;
};

/// Where a key belongs that a table does not have: the end of a sentence. Empty: nowhere, or in too many of `tables`.
std::string place_of(std::string_view key, std::span<const TableKeys> tables);

/// Collects what is wrong with a file.
class Findings {
 public:
  /// `place_of`: as the function of that name; empty: no place is told.
  explicit Findings(std::string file, std::function<std::string(std::string_view key)> place_of = {})
      : file_(std::move(file)), place_of_(std::move(place_of)) {}

  void error(Place place, std::string key, std::string message) {
    add(errors_, place, std::move(key), std::move(message));
  }
  void warning(Place place, std::string key, std::string message) {
    add(warnings_, place, std::move(key), std::move(message));
  }

  [[nodiscard]] bool failed() const { return !errors_.first.empty(); }
  /// In the order of their places; the last one is about all those that are not told.
  [[nodiscard]] std::vector<Diagnostic> take_errors() { return take(errors_, "error"); }
  [[nodiscard]] std::vector<Diagnostic> take_warnings() { return take(warnings_, "warning"); }

  [[nodiscard]] std::string place_of(std::string_view key) const { return place_of_ ? place_of_(key) : std::string(); }

  /// From now on readers are asked for their keys: each table is read once, as if it were there and empty.
  void begin_learning() { learns_ = true; }
  [[nodiscard]] bool learns() const { return learns_; }
  TableKeys& learn(std::string header) { return learned_.emplace_back(TableKeys{std::move(header), {}, {}}); }
  [[nodiscard]] std::vector<TableKeys> take_learned() { return std::move(learned_); }

  /// A secret was found that stands in the file itself.
  void note_secret() { holds_secret_ = true; }
  [[nodiscard]] bool holds_secret() const { return holds_secret_; }

 private:
  struct List {
    /// Of those found so far, the first ones of the file and perhaps some more.
    std::vector<Diagnostic> first;
    std::size_t dropped = 0;
  };

  void add(List& list, Place place, std::string key, std::string message);
  /// Leaves the first `kMostTold` of the file, in order.
  static void cut(List& list);
  [[nodiscard]] std::vector<Diagnostic> take(List& list, std::string_view what) const;

  std::string file_;
  std::function<std::string(std::string_view key)> place_of_;
  List errors_;
  List warnings_;
  bool holds_secret_ = false;
  bool learns_ = false;
  std::vector<TableKeys> learned_;
};

/// How text of the file is shown in a message: quoted, harmless, cut after `most` bytes, URLs redacted, also those
/// without a scheme.
std::string shown(std::string_view text, std::size_t most = 40);

/// "1 to 10"; "1" when nothing else is accepted.
template <typename T>
std::string range_text(const T& least, const T& most) {
  return least == most ? fmt::format("{}", least) : fmt::format("{} to {}", least, most);
}

/// What became of a key.
struct Given {
  enum class State : std::uint8_t { kAbsent, kInvalid, kValid };
  State state = State::kAbsent;
  /// Of the value; of the table when absent.
  Place place;

  [[nodiscard]] bool absent() const { return state == State::kAbsent; }
  [[nodiscard]] bool valid() const { return state == State::kValid; }
};

template <typename T>
struct Found {
  T value;
  Place place;
};

template <typename T>
using Choices = std::initializer_list<std::pair<std::string_view, T>>;

class Reader {
 public:
  /// `path`: the dotted path of the table; empty for the file itself. `header`: as TableKeys has it.
  Reader(const Node& table, std::string path, Findings& findings, std::string header = {})
      : table_(table), path_(std::move(path)), findings_(findings), header_(std::move(header)) {}

  [[nodiscard]] Place place() const { return table_.place; }
  /// The file has no such table, or something else in its place.
  [[nodiscard]] bool absent() const { return table_.place.line == 0 && !findings_.learns(); }
  [[nodiscard]] const std::string& path() const { return path_; }
  /// The dotted path of one of its keys.
  [[nodiscard]] std::string path_of(std::string_view key) const;
  /// The same as a table's header has it: without the names and numbers of the tables above it.
  [[nodiscard]] std::string header_of(std::string_view key) const;
  /// Whether the file gives the key. Does not make it a known one: another function has to read it, given or not.
  [[nodiscard]] bool has(std::string_view key) const { return table_.find(key) != nullptr; }
  /// The same of a table that is read only where it is given. Makes the key a known one.
  [[nodiscard]] bool has_table(std::string_view key) { return take(key) != nullptr || findings_.learns(); }
  /// Notes an error about one of its keys; with an empty key about the table.
  void error(Place place, std::string_view key, std::string message);
  void warning(Place place, std::string_view key, std::string message);
  /// Notes that a secret stands in the file itself.
  void note_secret() { findings_.note_secret(); }

  // Each of these leaves `out` as it is, with its default, when the key is absent or wrong.
  Given boolean(std::string_view key, bool& out);
  Given number(std::string_view key, double& out, double least, double most);
  Given duration(std::string_view key, milliseconds& out, milliseconds least, milliseconds most);
  /// The same, with "off" for nullopt.
  Given duration_or_off(std::string_view key, std::optional<milliseconds>& out, milliseconds least, milliseconds most) {
    return duration_or_word(key, "off", out, least, most);
  }
  /// The same, with `word` for nullopt.
  Given duration_or_word(std::string_view key, std::string_view word, std::optional<milliseconds>& out,
                         milliseconds least, milliseconds most);
  Given size(std::string_view key, std::uint64_t& out, std::uint64_t least, std::uint64_t most);
  /// In requests a second.
  Given rate(std::string_view key, double& out, double least, double most);
  /// Requests a day, from 100 to 100 million.
  Given budget(std::string_view key, double& out);

  template <std::unsigned_integral T>
  Given integer(std::string_view key, T& out, std::uint64_t least, std::uint64_t most) {
    std::uint64_t wide = out;
    const Given given = integer_in(key, wide, least, std::min<std::uint64_t>(most, std::numeric_limits<T>::max()));
    if (given.valid()) out = static_cast<T>(wide);
    return given;
  }
  template <std::unsigned_integral T>
  Given integer(std::string_view key, std::optional<T>& out, std::uint64_t least, std::uint64_t most) {
    T value{};
    const Given given = integer(key, value, least, most);
    if (given.valid()) out = value;
    return given;
  }

  template <typename T>
  Given choice(std::string_view key, T& out, Choices<T> choices) {
    std::vector<std::string_view> names;
    for (const auto& [name, value] : choices) names.push_back(name);
    std::size_t index = 0;
    const Given given = one_of(key, names, index);
    if (given.valid()) out = std::next(choices.begin(), static_cast<std::ptrdiff_t>(index))->second;
    return given;
  }

  /// The same for names in a list: `index` becomes the position of the one that was chosen.
  Given one_of(std::string_view key, std::span<const std::string_view> names, std::size_t& index);

  std::optional<Found<std::string>> text(std::string_view key);
  /// An array of strings; items of another type are noted and left out.
  std::vector<Found<std::string>> texts(std::string_view key);
  /// The same, and a single string for a list of one.
  std::vector<Found<std::string>> text_or_texts(std::string_view key);
  /// Whatever stands there, nullptr when absent.
  const Node* any(std::string_view key);
  /// What stands there if it is a table, else nullptr; its keys are the caller's to check.
  const Node* free_table(std::string_view key);

  /// Reads `[key]`; `read` is called with an empty table when it is absent, so that defaults are made in one place.
  void table(std::string_view key, const std::function<void(Reader&)>& read);
  /// Reads each of `[[key]]`. In paths an item is named by its `label` if that is a plain name, else numbered from 1.
  /// Returns how many there are, also those that are wrong.
  std::size_t tables(std::string_view key, std::string_view label, const std::function<void(Reader&)>& read);

  /// Reports the keys that were not read.
  void finish();

 private:
  const Member* take(std::string_view key);
  /// `word`: accepted besides, as the range that is shown says; empty: none.
  Given duration_in(std::string_view key, milliseconds& out, milliseconds least, milliseconds most,
                    std::string_view word);
  Given integer_in(std::string_view key, std::uint64_t& out, std::uint64_t least, std::uint64_t most);
  Given wrong_type(const Member& member, std::string_view expected);
  Given refuse(const Member& member, std::string message);

  const Node& table_;
  std::string path_;
  Findings& findings_;
  std::string header_;
  std::vector<std::string_view> known_;
  /// Those that are tables, each with its header.
  std::vector<std::pair<std::string, std::string>> tables_;
};

/// Whether a name can stand in a dotted path, and on HAProxy's command line: A-Z a-z 0-9 - _ . : and not empty.
bool is_plain_name(std::string_view name);

}  // namespace rpcw::config
