#include "observe/repeat_filter.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

using namespace rpcw;
using namespace rpcw::observe;
using namespace std::chrono_literals;

namespace {

LogLine line(std::string message, std::string_view event = "state_changed", std::string server = "a",
             std::string state = "ejected") {
  return {config::LogLevel::kWarn,
          std::move(message),
          {{"backend", "rpc"}, {"server", std::move(server)}, {"to_state", std::move(state)}},
          event};
}

std::vector<std::string> messages(const std::vector<LogLine>& lines) {
  std::vector<std::string> out;
  for (const LogLine& l : lines) out.push_back(l.message);
  return out;
}

using Messages = std::vector<std::string>;

}  // namespace

TEST_CASE("repeats: three of a kind are written in a minute, the others summed up at its end") {
  RepeatFilter filter;
  for (int i = 1; i <= 3; ++i) CHECK(messages(filter.pass(line(std::to_string(i)), MonoTime(1s * i))).size() == 1);
  for (int i = 4; i <= 9; ++i) CHECK(filter.pass(line(std::to_string(i)), MonoTime(1s * i)).empty());
  CHECK(filter.due(MonoTime(60s)).empty());
  const auto summary = filter.due(MonoTime(61s));
  REQUIRE(messages(summary) == Messages{"6 more times in a minute: 9"});
  CHECK(summary[0].event == "summary");
  CHECK(summary[0].fields.back() == std::pair<std::string_view, std::string>{"count", "6"});
  // It goes on in the next minute, and is still summed up.
  CHECK(filter.pass(line("10"), MonoTime(70s)).empty());
  // A line of another kind does not look through all of them: there may be thousands.
  CHECK(messages(filter.pass(line("other", "state_changed", "b"), MonoTime(122s))) == Messages{"other"});
  CHECK(messages(filter.pass(line("plain", "start"), MonoTime(122s))) == Messages{"plain"});
  CHECK(messages(filter.due(MonoTime(122s))) == Messages{"1 more time in a minute: 10"});
  // After a minute without it, it is news.
  CHECK(filter.due(MonoTime(200s)).empty());
  CHECK(messages(filter.pass(line("11"), MonoTime(201s))) == Messages{"11"});
}

TEST_CASE("repeats: servers, states and events are kinds of their own, and other lines always pass") {
  RepeatFilter filter;
  for (int i = 0; i < 3; ++i) {
    CHECK(filter.pass(line("x"), MonoTime(1s)).size() == 1);
    CHECK(filter.pass(line("x", "state_changed", "b"), MonoTime(1s)).size() == 1);
    CHECK(filter.pass(line("x", "state_changed", "a", "healthy"), MonoTime(1s)).size() == 1);
    CHECK(filter.pass(line("x", "weight_changed"), MonoTime(1s)).size() == 1);
  }
  CHECK(filter.pass(line("x"), MonoTime(2s)).empty());
  for (int i = 0; i < 9; ++i) CHECK(filter.pass(line("x", "start"), MonoTime(2s)).size() == 1);
}

TEST_CASE("repeats: a line whose own minute is over brings its summary, and begins the next minute") {
  RepeatFilter filter;
  for (int i = 1; i <= 5; ++i) filter.pass(line(std::to_string(i)), MonoTime(1s));
  CHECK(messages(filter.pass(line("6"), MonoTime(61s))) == Messages{"2 more times in a minute: 5"});
  CHECK(messages(filter.due(MonoTime(121s))) == Messages{"1 more time in a minute: 6"});
  CHECK(filter.due(MonoTime(181s)).empty());
  for (int i = 1; i <= 3; ++i) CHECK(filter.pass(line("x"), MonoTime(190s)).size() == 1);
  CHECK(messages(filter.pass(line("y"), MonoTime(250s))) == Messages{"y"});
}

TEST_CASE("repeats: the cost of a line does not grow with the number of kinds") {
  RepeatFilter filter;
  constexpr int kKinds = 50'000;
  const auto begun = std::chrono::steady_clock::now();
  for (int i = 0; i < kKinds; ++i)
    CHECK(filter.pass(line("x", "state_changed", std::to_string(i)), MonoTime(1s)).size() == 1);
  for (int i = 0; i < kKinds; ++i) CHECK(filter.pass(line("x", "weight_changed"), MonoTime(2s)).size() == 1);
  // Some tenths of a second; minutes if each line walks through all kinds.
  CHECK(std::chrono::steady_clock::now() - begun < 20s);
}
