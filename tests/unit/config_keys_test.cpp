#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>

#include "unit/config_world.hpp"

/// The keys of each table as its reader accepts them.
namespace rpcw::config {
namespace {

struct Table {
  /// As errors name it.
  std::string name;
  /// The text that opens it.
  std::string text;
};

/// What follows `mark` in the first error that has it; empty: none has.
std::string told(const std::string& text, std::string_view mark) {
  for (const std::string& line : errors(text))
    if (const std::size_t at = line.find(mark); at != std::string::npos) return line.substr(at + mark.size());
  return {};
}

/// As the error about an unknown key lists them.
std::set<std::string> accepted_in(const Table& table) {
  std::set<std::string> out;
  std::string list = told(table.text + "zzzzzzzzzzzzzzzz = 1\n", "zzzzzzzzzzzzzzzz: unknown key; accepted: ");
  REQUIRE_MESSAGE(!list.empty(), table.name);
  for (std::size_t at = 0; at < list.size();) {
    const std::size_t end = std::min(list.find(", ", at), list.size());
    out.insert(list.substr(at, end - at));
    at = end + 2;
  }
  return out;
}

TEST_CASE("config: a table accepts its keys whether or not they are given") {
  CHECK(accepted_in({"[http]", "[http]\n"}) == std::set<std::string>{"listen", "hosts"});
  CHECK(accepted_in({"[[family]]", "[[family]]\n"}).contains("head"));
}

}  // namespace
}  // namespace rpcw::config
