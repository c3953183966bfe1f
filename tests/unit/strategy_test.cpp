#include "weighter/strategy/strategy.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <fstream>
#include <set>
#include <sstream>

using namespace rpcw;

TEST_CASE("strategies: each has a name of its own, a description and a score") {
  std::set<std::string_view> names;
  for (const Strategy* s : strategies()) {
    CAPTURE(s->name);
    CHECK(names.insert(s->name).second);
    CHECK_FALSE(s->description.empty());
    CHECK((s->score != nullptr));
    CHECK((&strategy_named(s->name) == s));
  }
  CHECK(strategy_names().size() == strategies().size());
  CHECK(strategy_names().front() == config::Backend{}.strategy);
}

TEST_CASE("strategies: docs/configuration.md lists all of them, in the words of the table") {
  std::ifstream in(std::string(RPCW_TEST_DATA) + "/../../docs/configuration.md");
  std::ostringstream text;
  text << in.rdbuf();
  for (const Strategy* s : strategies()) {
    CAPTURE(s->name);
    CHECK(text.str().find(fmt::format("- **`{}`** ({})", s->name, s->description)) != std::string::npos);
  }
  std::string accepted;
  for (const std::string_view name : strategy_names())
    accepted += fmt::format("{}`{}`", accepted.empty() ? "" : ", ", name);
  CHECK(text.str().find(fmt::format("| `strategy` | `\"{}\"` | {} |", strategy_names().front(), accepted)) !=
        std::string::npos);
}
