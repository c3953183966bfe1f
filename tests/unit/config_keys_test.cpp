#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "unit/config_world.hpp"

/// The keys of each table as its reader accepts them, against the list of keys that are told where they belong.
namespace rpcw::config {
namespace {

struct Table {
  /// As errors name it.
  std::string name;
  /// The text that opens it.
  std::string text;
};

const std::vector<Table>& tables() {
  static const std::vector<Table> out{
      {"[haproxy]", "[haproxy]\n"},
      {"[probe]", "[probe]\n"},
      {"[log]", "[log]\n"},
      {"[http]", "[http]\n"},
      {"[agent_check]", "[agent_check]\n"},
      {"[standby]", "[standby]\n"},
      {"[[backend]]", "[[backend]]\n"},
      {"[[backend.server]]", "[[backend]]\n[[backend.server]]\n"},
      {"[[backend.reference]]", "[[backend]]\n[[backend.reference]]\n"},
      {"[[backend.canary]]", "[[backend]]\n[[backend.canary]]\n"},
      {"[[chain]]", "[[chain]]\n"},
      {"[[family]]", "[[family]]\n"},
      {"[family.head]", "[[family]]\n[family.head]\n"},
      {"[family.identity]", "[[family]]\n[family.identity]\n"},
      {"[family.syncing]", "[[family]]\n[family.syncing]\n"},
      {"[family.peers]", "[[family]]\n[family.peers]\n"},
      {"[family.block]", "[[family]]\n[family.block]\n"},
  };
  return out;
}

/// What follows `mark` in the first error that has it; empty: none has.
std::string told(const std::string& text, std::string_view mark) {
  for (const std::string& line : errors(text))
    if (const std::size_t at = line.find(mark); at != std::string::npos) return line.substr(at + mark.size());
  return {};
}

/// As the error about an unknown key lists them.
std::set<std::string> accepted_in(const Table& table) {
  std::set<std::string> out;
  std::string list = told(table.text + "qqqqqqqqq = 1\n", "qqqqqqqqq: unknown key; accepted: ");
  REQUIRE_MESSAGE(!list.empty(), table.name);
  for (std::size_t at = 0; at < list.size();) {
    const std::size_t end = std::min(list.find(", ", at), list.size());
    out.insert(list.substr(at, end - at));
    at = end + 2;
  }
  return out;
}

TEST_CASE("config: a key in the wrong table is told the tables that accept it") {
  std::map<std::string, std::set<std::string>> accepting;
  for (const Table& table : tables())
    for (const std::string& key : accepted_in(table)) accepting[key].insert(table.name);
  REQUIRE(accepting.size() > 60);
  for (const auto& [key, names] : accepting) {
    CAPTURE(key);
    // In a table that does not have it.
    const std::string wrong = names.contains("[log]") ? "[standby]\n" : "[log]\n";
    std::string where = told(wrong + key + " = 1\n", fmt::format("{}: unknown key; it belongs ", key));
    // Of a key that is a table of its own, how it is written follows.
    where.resize(std::min(where.find(", as "), where.size()));
    // Of several of these.
    constexpr std::string_view kInFamily = "a table of a [[family]]";
    if (const std::size_t at = where.find(kInFamily); at != std::string::npos) {
      CHECK(std::ranges::count_if(names, [](const std::string& n) { return n.starts_with("[family."); }) > 1);
      where.erase(at, kInFamily.size());
    }
    for (const Table& table : tables())
      if (where.find(table.name) != std::string::npos) CHECK(names.contains(table.name));
    // Tables of the file itself are the header's own matter.
    if (names.size() == 1) CHECK(where.find(*names.begin()) != std::string::npos);
  }
}

TEST_CASE("config: a table accepts its keys whether or not they are given") {
  CHECK(accepted_in({"[http]", "[http]\n"}) == std::set<std::string>{"listen", "hosts"});
  CHECK(accepted_in({"[[family]]", "[[family]]\n"}).contains("head"));
}

}  // namespace
}  // namespace rpcw::config
