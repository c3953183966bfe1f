#include "weighter/strategy/leader.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace rpcw;
using namespace std::chrono_literals;

namespace {

struct World {
  Lead lead;
  MonoTime now{0};
  bool switch_back = true;

  std::uint32_t choose(const std::vector<Candidate>& c) { return choose_leader(lead, c, switch_back, now); }
};

}  // namespace

TEST_CASE("the first leader: within 30 % of the best the file's order decides, and preference before it") {
  CHECK(World{}.choose({{0, 1.0, 1}, {1, 1.2, 1}, {2, 1.25, 1}}) == 0);
  CHECK(World{}.choose({{0, 1.0, 1}, {1, 2.0, 1}}) == 1);
  CHECK(World{}.choose({{0, 1.0, 1}, {1, 1.1, 2}, {2, 1.1, 2}}) == 1);
}

TEST_CASE("a leader stays, whatever others score, unless switch_back") {
  World w;
  w.switch_back = false;
  CHECK(w.choose({{0, 1.0, 1}, {1, 1.0, 1}}) == 0);
  w.now += 1h;
  CHECK(w.choose({{0, 1.0, 1}, {1, 9.0, 1}}) == 0);
  w.now += 1h;
  CHECK(w.choose({{0, 1.0, 1}, {1, 9.0, 1}}) == 0);
}

TEST_CASE("a leader that is gone is replaced at once") {
  World w;
  CHECK(w.choose({{0, 1.0, 1}, {1, 1.0, 1}}) == 0);
  CHECK(w.choose({{1, 1.0, 1}}) == 1);
  CHECK(w.choose({{0, 1.0, 1}, {1, 1.0, 1}}) == 1);
}

TEST_CASE("switch_back: better by 30 % for 30 s") {
  World w;
  CHECK(w.choose({{0, 1.0, 1}, {1, 1.0, 1}}) == 0);
  CHECK(w.choose({{0, 1.0, 1}, {1, 1.4, 1}}) == 0);
  w.now += 29s;
  CHECK(w.choose({{0, 1.0, 1}, {1, 1.4, 1}}) == 0);
  SUBCASE("long enough") {
    w.now += 1s;
    CHECK(w.choose({{0, 1.0, 1}, {1, 1.4, 1}}) == 1);
  }
  SUBCASE("a moment of weakness starts the clock again") {
    CHECK(w.choose({{0, 1.0, 1}, {1, 1.29, 1}}) == 0);
    w.now += 5s;
    CHECK(w.choose({{0, 1.0, 1}, {1, 1.4, 1}}) == 0);
    w.now += 29s;
    CHECK(w.choose({{0, 1.0, 1}, {1, 1.4, 1}}) == 0);
  }
}
