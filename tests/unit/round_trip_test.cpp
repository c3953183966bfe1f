#include <doctest/doctest.h>

#include <algorithm>

#include "model/play.hpp"
#include "store/history_codec.hpp"
#include "store/recording_format.hpp"
#include "store/state_codec.hpp"
#include "unit/every_field.hpp"
#include "weighter/system/snapshot.hpp"

using namespace rpcw;

namespace {

constexpr std::string_view kSalt = "0123456789abcdef0123456789abcdef";

/// Every field is set, and those that are an index or a count are within their range.
BackendHistory filled_history() {
  BackendHistory out;
  every_field::Filler filler;
  filler.fill(out);
  for (auto* targets : {&out.servers, &out.references}) {
    for (TargetHistory& t : *targets) {
      t.forks.seen_count = static_cast<unsigned>(t.forks.seen.size());
      t.latency.count = static_cast<unsigned>(t.latency.newest.size());
    }
  }
  for (ForkCheck::Group& g : out.forks.groups) g.members = {1, 3};
  out.leader.active.leader = 1;
  out.leader.active.challenger = 1;
  out.leader.backup = 1;
  out.shares.kept = {3, 250};
  out.tiers.serving = 2;
  return out;
}

}  // namespace

TEST_CASE("round trip: a recording keeps every field of a history") {
  const BackendHistory before = filled_history();
  store::JsonWriter out;
  store::write_history(out, before);
  auto document = store::JsonDocument::parse(out.view(), store::kMostStateBytes);
  REQUIRE(document.has_value());
  BackendHistory after = empty_history(2, 2);
  store::read_history(document->root(), after);
  REQUIRE_MESSAGE(!document->error(), *document->error());
  CHECK(every_field::differences(before, after) == std::vector<std::string>{});
}

TEST_CASE("round trip: a recording keeps every field of what HAProxy has counted") {
  const config::Config config = model::play_config();
  const SystemState state(config);
  store::LineReader reader;
  store::JsonWriter section;
  store::write_section(section, store::Cause::kStart, WallTime{milliseconds{1'000}}, 0, state);
  REQUIRE(reader.read(section.view()).has_value());
  event::TrafficCame before{.backend = 0, .deltas = {}, .at = MonoTime{5'000'000}};
  before.deltas.resize(config.backends[0].servers.size());
  every_field::Filler filler;
  for (LiveDelta& d : before.deltas) filler.fill(d);
  store::JsonWriter out;
  store::write_step(out, before, {}, state, store::target_names(state));
  const auto line = reader.read(out.view());
  REQUIRE_MESSAGE(line.has_value(), line.error().what);
  const auto& after = std::get<event::TrafficCame>(std::get<store::Step>(*line).event);
  CHECK(every_field::differences(before.deltas, after.deltas) == std::vector<std::string>{});
}

TEST_CASE("round trip: a state file keeps every field but those of requests under way") {
  BackendSnapshot before;
  every_field::Filler filler;
  filler.fill(before.view);
  for (const char* key : {"a", "b"}) before.servers.emplace_back(key);
  for (const char* key : {"c", "d"}) before.references.emplace_back(key);
  before.name = "rpc";
  before.settings = "s";
  before.canaries = "k";
  before.decided = true;
  before.history = filled_history();
  before.decision.fallback = config::Fallback::kKeep;
  before.decision.healthy = 2;
  for (const unsigned weight : {100U, 156U}) {
    before.decision.servers.emplace_back().weight = weight;
    before.decision.servers.back().state = State::kDegraded;
  }

  const Now now{WallTime{std::chrono::hours{500'000}}, MonoTime{std::chrono::hours{70}}};
  auto stored = store::decode(store::encode(kSalt, {before}, now), now);
  REQUIRE_MESSAGE(stored.has_value(), stored.error());
  REQUIRE(stored->backends.size() == 1);
  BackendSnapshot& after = stored->backends.front();

  forget_checks(before.history.forks);
  for (auto* targets : {&before.history.servers, &before.history.references}) {
    for (TargetHistory& t : *targets) {
      t.probes.sent_at.reset();
      for (CheckState* c : {&t.identity.check, &t.node.syncing_check, &t.node.peers_check}) c->waiting = false;
      for (CanaryHistory& c : t.node.canaries) c.check.waiting = false;
    }
  }
  CHECK(every_field::differences(before.history, after.history) == std::vector<std::string>{});
  CHECK(every_field::differences(before.view, after.view) == std::vector<std::string>{});
  CHECK(after.name == before.name);
  CHECK(after.servers == before.servers);
  CHECK(after.references == before.references);
  CHECK(after.settings == before.settings);
  CHECK(after.canaries == before.canaries);
  CHECK(after.decided);
  CHECK(after.decision.fallback == before.decision.fallback);
  CHECK(after.decision.healthy == before.decision.healthy);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(after.decision.servers.at(i).weight == before.decision.servers[i].weight);
    CHECK(after.decision.servers.at(i).state == before.decision.servers[i].state);
  }
}

TEST_CASE("round trip: what is kept by server moves with the servers") {
  BackendHistory before = filled_history();
  before.leader.active.challenger = 0;
  const std::vector<std::optional<std::size_t>> swapped{1, std::nullopt, 0};
  std::vector<TargetHistory> servers(3);
  const BackendHistory was = before;
  const BackendHistory after = with_servers(std::move(before), std::move(servers), {}, swapped);
  // Each list in it is as long as the servers are now.
  boost::pfr::for_each_field(after.shares, [](const auto& field) {
    if constexpr (every_field::Kind<std::decay_t<decltype(field)>>::value == 2) CHECK(field.size() == 3);
  });
  CHECK(after.shares.last == std::vector<double>{was.shares.last[1], 0, was.shares.last[0]});
  CHECK(after.shares.scores == std::vector<double>{was.shares.scores[1], 0, was.shares.scores[0]});
  CHECK(after.shares.kept == std::vector<unsigned>{250, 0, 3});
  CHECK(after.leader.active.leader == 0U);
  CHECK(after.leader.backup == 0U);
  CHECK(after.leader.active.challenger == 2U);
}
