#include "weighter/allocate/traffic_share.hpp"

#include <doctest/doctest.h>

using namespace rpcw;

namespace {

using Shares = std::vector<double>;

Shares shares(const std::vector<TrafficClaim>& claims, unsigned others = 0) {
  return traffic_shares(claims, others);
}

}  // namespace

TEST_CASE("traffic is shared by weight; a backup has none while an active server has a weight") {
  CHECK(shares({{192}, {64}}) == Shares{0.75, 0.25});
  CHECK(shares({{192}, {64}, {256, true}}) == Shares{0.75, 0.25, 0});
}

TEST_CASE("backups share the traffic once no active server has a weight") {
  CHECK(shares({{0}, {100, true}, {100, true}}) == Shares{0, 0.5, 0.5});
  CHECK(shares({{0}, {0, true}}) == Shares{0, 0});
  CHECK(shares({}).empty());
}

TEST_CASE("a disabled server has no traffic, whatever its weight") {
  CHECK(shares({{100, false, true}, {100}}) == Shares{0, 1});
  // The only active one is in maintenance, so the backup serves.
  CHECK(shares({{100, false, true}, {100, true}}) == Shares{0, 1});
}

TEST_CASE("active servers that are not listed have their part, and keep backups idle") {
  CHECK(shares({{100}, {100, true}}, 300) == Shares{0.25, 0});
  CHECK(shares({{0}, {100, true}}, 300) == Shares{0, 0});
}
