#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "observe/render_top.hpp"

using namespace rpcw::observe;

namespace {

constexpr const char* kStatus = R"({"schema":1,"time":"2026-01-02T03:04:05.678Z",
 "haproxy":[{"endpoint":"unix:/a","reachable":true},{"endpoint":"unix:/b","reachable":false}],
 "backends":[{"name":"rpc","chain":"ethereum","strategy":"adaptive","fallback":null,"head":{"number":19000123,"agreed_by":3},
  "servers":[
   {"name":"quick","state":"healthy","reasons":[],"latency_ms":12.4,"block":{"number":19000123,"lag":0,"lag_ms":0},"weight":192,"share":0.75,"inputs":{"error_rate":0.012}},
   {"name":"a-server-with-a-very-long-name","state":"ejected","reasons":[{"code":"timeout","detail":"no\u001b[31m answer in 3 s"}],"latency_ms":null,"block":null,"weight":0,"share":0,"inputs":{"error_rate":null}},
   {"name":"slow","state":"degraded","reasons":[],"latency_ms":2345,"block":{"number":1,"lag":10,"lag_ms":120000},"weight":64,"share":0.25,"inputs":{"error_rate":0}}]},
  {"name":"other","chain":"base","strategy":"leader","fallback":"equal","head":null,"servers":[]}]})";
constexpr const char* kHistory =
    R"({"schema":1,"step_ms":10000,"backends":[{"name":"rpc","servers":[{"name":"quick","weight":[null,128,256],"latency_ms":[null,10,20],"lag_ms":[],"state":[]}]}]})";

TopState state() {
  TopState out;
  REQUIRE(read_top(kStatus, kHistory, out));
  return out;
}

std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& l : lines) out += l + "\n";
  return out;
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("top: what it shows of a report") {
  const std::string text = joined(render_top(state(), {}));
  CHECK(has(text, "rpc-weighter  2026-01-02T03:04:05.678Z  HAProxy 1 of 2"));
  CHECK(has(text, "rpc: ethereum, adaptive, head 19000123 by 3"));
  CHECK(has(text, "quick            healthy   192  75.0%    12 ms    0 ms   1.2%"));
  CHECK(has(text, "a-server-with-a- ejected     0   0.0%        -       -      - timeout: no"));
  CHECK(has(text, "slow             degraded   64  25.0%    2.3 s   2 min   0.0%"));
  CHECK(has(text, "other: base, leader, no agreed head, fallback equal"));
  // An agent's words do nothing to the terminal.
  CHECK_FALSE(has(text, "\x1b"));
}

TEST_CASE("top: what is wrong with a HAProxy") {
  std::string status = kStatus;
  const std::string up = R"("endpoint":"unix:/a","reachable":true)";
  status.replace(status.find(up), up.size(), up + R"(,"error":"HAProxy has no backend rpc")");
  TopState shown;
  REQUIRE(read_top(status, "", shown));
  const std::vector<std::string> lines = render_top(shown, {});
  CHECK(has(lines.at(1), "HAProxy unix:/a: HAProxy has no backend rpc"));
}

TEST_CASE("top: whether the agent is the one that sets weights") {
  for (const bool acts : {true, false}) {
    TopState out;
    std::string status = kStatus;
    status.insert(1, fmt::format(R"("standby":{{"lease":"kubernetes:a/b","acts":{},"identity":"me","holder":"{}",
      "error":null}},)",
                                 acts, acts ? "me" : "pod-1"));
    REQUIRE(read_top(status, kHistory, out));
    const std::string text = joined(render_top(out, {}));
    CHECK(has(text, acts ? "HAProxy 1 of 2  acts" : "HAProxy 1 of 2  stands by"));
    CHECK(has(text, acts ? "\nthis agent holds kubernetes:a/b and sets the weights "
                         : "\npod-1 holds kubernetes:a/b and sets the weights; this agent stands by "));
  }
  // Its own lease is over, since the API server cannot be reached.
  TopState out;
  std::string status = kStatus;
  status.insert(
      1, R"("standby":{"lease":"kubernetes:a/b","acts":false,"identity":"me","holder":"me","error":"no answer"},)");
  REQUIRE(read_top(status, kHistory, out));
  CHECK(to_text(*out.standby) == "no agent is known to hold kubernetes:a/b; this agent stands by (no answer)");
}

TEST_CASE("top: no line is wider than the screen, and there are no more than its rows") {
  TopState many = state();
  for (int i = 0; i < 300; ++i) many.backends[0].servers.push_back(many.backends[0].servers[1]);
  for (const std::size_t columns : {40U, 80U, 119U, 120U, 200U})
    for (const std::size_t rows : {0U, 5U, 24U, 50U}) {
      TopView view{.columns = columns, .rows = rows, .trouble = "no answer since 12:00:01"};
      const auto lines = render_top(many, view);
      if (rows > 0) CHECK(lines.size() == rows);
      for (const std::string& l : lines) CHECK(width(l) <= columns);
    }
}

TEST_CASE("top: sorting, scrolling and the next backend") {
  const auto first = [](TopView view, std::size_t row = 3) {
    view.rows = 24;
    return render_top(state(), view).at(row).substr(0, 5);
  };
  CHECK(first({}) == "quick");
  CHECK(first({.sort = TopSort::kState}) == "a-ser");
  CHECK(first({.sort = TopSort::kLatency}) == "slow ");
  CHECK(first({.sort = TopSort::kShare}) == "quick");
  // Nothing scrolls that fits.
  CHECK(first({.scroll = 1}) == "quick");
  TopView small{.rows = 6, .scroll = 1};
  CHECK(render_top(state(), small).at(3).starts_with("a-server"));
  CHECK(has(joined(render_top(state(), {.rows = 24, .backend = 1})), "other (2 of 2): base"));
  CHECK(has(joined(render_top(state(), {.rows = 24, .backend = 2})), "rpc (1 of 2): ethereum"));
  CHECK(has(joined(render_top(state(), {.rows = 24, .paused = true})), "paused"));
}

TEST_CASE("top: sparklines from 120 columns on, and colours where they are wanted") {
  const std::string wide = joined(render_top(state(), {.columns = 120}));
  CHECK(has(wide, "▅█"));
  CHECK_FALSE(has(joined(render_top(state(), {.columns = 119})), "█"));
  CHECK_FALSE(has(joined(render_top(state(), {.columns = 120, .utf8 = false})), "█"));
  CHECK(has(joined(render_top(state(), {.colour = true})), "\x1b[31mejected"));
  CHECK(sparkline({-1, 0, 4, 8}, 6) == "   ▁▅█");
  CHECK(sparkline({}, 3) == "   ");
  CHECK(sparkline({1, 2, 8, 8}, 2) == "██");
}

TEST_CASE("top: what is no report changes nothing") {
  TopState shown = state();
  for (const char* text : {"", "[]", "{}", "{\"backends\":1}", "<html>"}) CHECK_FALSE(read_top(text, "", shown));
  CHECK_FALSE(read_top(std::string(4'000'000, '['), "", shown));
  CHECK(shown.backends.size() == 2);
  CHECK(read_top("{\"backends\":[{},{\"servers\":[1]}]}", "nonsense", shown));
  CHECK(shown.backends.size() == 2);
  CHECK_FALSE(render_top(shown, {}).empty());
  CHECK_FALSE(render_top({}, {.rows = 5}).empty());
}

TEST_CASE("top: a backup's weight is no share, and the share of an earlier agent is not known") {
  constexpr const char* kDocument = R"({"schema":1,"time":"2026-01-02T03:04:05.678Z","haproxy":[],"backends":[
   {"name":"rpc","chain":"ethereum","strategy":"adaptive","fallback":null,"head":null,"servers":[
    {"name":"earlier","state":"healthy","reasons":[],"weight":100},
    {"name":"spare","state":"healthy","reasons":[],"weight":256,"share":0},
    {"name":"active","state":"healthy","reasons":[],"weight":128,"share":1}]}]})";
  TopState top;
  REQUIRE(read_top(kDocument, "", top));
  TopView view;
  view.sort = TopSort::kShare;
  const std::string text = joined(render_top(top, view));
  CHECK(text.find("active") < text.find("spare"));
  CHECK(text.find("spare") < text.find("earlier"));
  CHECK(has(text, " 128 100.0% "));
  CHECK(has(text, " 256   0.0% "));
  CHECK(has(text, " 100      - "));
}
