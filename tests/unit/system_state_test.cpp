#include "weighter/system/system_state.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "weighter/constants.hpp"
#include "weighter/plan/agent_answer.hpp"
#include "weighter/plan/haproxy_notes.hpp"
#include "weighter/plan/planner.hpp"
#include "weighter/report.hpp"

using namespace rpcw;
using namespace std::chrono_literals;

namespace {

constexpr WallTime kWall{std::chrono::seconds{1'700'000'000}};

Now at(std::chrono::milliseconds t) {
  return {kWall + t, t};
}

config::Config config_of(std::initializer_list<const char*> servers) {
  config::Config out;
  config::Backend& b = out.backends.emplace_back();
  b.name = "rpc";
  b.chain.name = "test";
  b.chain.identity = "1";
  b.chain.block_time = 1s;
  b.chain.max_block_age = 60s;
  b.chain.max_lag = 30s;
  for (const char* name : servers)
    b.servers.push_back({name, {std::string("http://") + name + ".example/secret", {}, name, false}, 1.0});
  return out;
}

void answer(SystemState& state, std::size_t target, std::chrono::milliseconds t = 0ms) {
  state.observe(target, Answer{at(t), {CheckKind::kIdentity}, AnswerValue{0, "1"}});
  state.observe(target, HeadObservation{at(t), 10ms, Head{100, "0x1", kWall}});
}

void fail(SystemState& state, std::size_t target, Reason why = Reason::kTimeout) {
  state.observe(target, HeadObservation{at(0ms), 10ms, std::unexpected(ProbeFailure{why, "no", {}})});
}

haproxy::Instance instance_of(std::initializer_list<const char*> servers, unsigned weight = 1) {
  haproxy::Instance out;
  haproxy::BackendRow& b = out.backends.emplace_back();
  b.name = "rpc";
  for (const char* name : servers) {
    haproxy::ServerRow& s = b.servers.emplace_back();
    s.name = name;
    s.status = "UP";
    s.active = true;
    s.uweight = weight;
    s.admin_state = 0;
  }
  b.index();
  return out;
}

std::vector<unsigned> weights(const SystemState& state) {
  std::vector<unsigned> out;
  for (const ServerDecision& s : state.decision(0).servers) out.push_back(s.weight);
  return out;
}

using Weights = std::vector<unsigned>;

}  // namespace

TEST_CASE("decide returns what it replaced, for backends with news only") {
  config::Config config = config_of({"a", "b"});
  config.backends.push_back(config.backends[0]);
  config.backends[1].name = "other";
  SystemState state(config);
  answer(state, 0);
  answer(state, 1);
  const auto first = state.decide(at(0ms));
  REQUIRE(first.size() == 2);
  CHECK(first[0].before.servers.empty());
  CHECK(weights(state) == Weights{128, 128});

  CHECK(state.decide(at(1ms)).empty());
  fail(state, 1);
  const auto second = state.decide(at(2ms));
  REQUIRE(second.size() == 1);
  CHECK(second[0].backend == 0);
  CHECK(second[0].before.servers[1].state == State::kHealthy);
  CHECK(state.decision(0).servers[1].state == State::kDegraded);
  CHECK(state.decide(at(3ms), true).size() == 2);
}

TEST_CASE("blind: when all servers of all backends fail in transport, and there is more than one") {
  const config::Config config = config_of({"a", "b"});
  SystemState state(config);
  fail(state, 0);
  answer(state, 1);
  state.decide(at(0ms));
  CHECK_FALSE(state.blind());
  fail(state, 1);
  state.decide(at(1ms));
  CHECK(state.blind());
  for (const ServerDecision& s : state.decision(0).servers) CHECK(s.reasons.back().code == Reason::kBlind);
  fail(state, 0, Reason::kHttpStatus);
  state.decide(at(2ms));
  CHECK_FALSE(state.blind());
  for (const ServerDecision& s : state.decision(0).servers)
    for (const ReasonNote& n : s.reasons) CHECK(n.code != Reason::kBlind);

  const config::Config alone = config_of({"a"});
  SystemState one(alone);
  fail(one, 0);
  one.decide(at(0ms));
  CHECK_FALSE(one.blind());
}

TEST_CASE("what was decided before HAProxy was read is no earlier weight of a server's") {
  config::Config config = config_of({"a", "b", "c"});
  haproxy::Instance instance = instance_of({"a", "b", "c"});
  instance.uptime = 1h;
  for (const auto& [i, weight] : {std::pair(0, 200U), std::pair(1, 50U), std::pair(2, 6U)})
    instance.backends[0].servers[static_cast<std::size_t>(i)].uweight = weight;
  SUBCASE("fallback = keep keeps HAProxy's") {
    config.backends[0].fallback = config::Fallback::kKeep;
    SystemState state(config);
    for (std::size_t i = 0; i < 3; ++i) fail(state, i);
    state.decide(at(0ms));
    CHECK(state.update_views(&instance));
    state.decide(at(1ms));
    CHECK(weights(state) == Weights{200, 50, 6});
  }
  SUBCASE("shares grow from HAProxy's") {
    SystemState state(config);
    for (std::size_t i = 0; i < 3; ++i) answer(state, i);
    state.decide(at(0ms));
    CHECK(weights(state) == Weights{86, 85, 85});
    CHECK(state.update_views(&instance));
    state.decide(at(1ms));
    CHECK(weights(state)[2] < 30);
    CHECK(weights(state)[0] > 85);
  }
  SUBCASE("also where the configuration was read again meanwhile") {
    SystemState before(config);
    for (std::size_t i = 0; i < 3; ++i) answer(before, i);
    before.decide(at(0ms));
    SystemState state(config);
    state.adopt(std::move(before));
    CHECK(weights(state) == Weights{86, 85, 85});
    CHECK(state.update_views(&instance));
    state.decide(at(1ms));
    CHECK(weights(state)[2] < 30);
    CHECK(weights(state)[0] > 85);
  }
}

TEST_CASE("plan names the differences to an instance, and leaves out what it lacks") {
  const config::Config config = config_of({"a", "b", "c"});
  SystemState state(config);
  CHECK(plan_changes(state, instance_of({"a", "b", "c"})).empty());  // nothing is decided yet
  for (std::size_t i = 0; i < 3; ++i) answer(state, i);
  state.decide(at(0ms));
  CHECK(plan_changes(state, instance_of({"a", "b", "c"}, 85)).size() == 1);
  const auto changes = plan_changes(state, instance_of({"a", "c", "spare"}));
  REQUIRE(changes.size() == 2);
  CHECK(changes[1].server == 2);
  CHECK(changes[1].from == 1);
  CHECK(changes[1].to == 85);
  CHECK(out_of_reach(state.config(), instance_of({"a", "c"})) ==
        std::vector<std::string>{"HAProxy's backend rpc has no server b; it has a, c"});
  haproxy::Instance other;
  other.backends.emplace_back().name = "web";
  other.backends.emplace_back().name = "rpcs";
  CHECK(out_of_reach(state.config(), other) == std::vector<std::string>{"HAProxy has no backend rpc"});
  const Report report = make_report(state, at(0ms), &other);
  REQUIRE(report.backends.at(0).notes.size() == 1);
  CHECK(report.backends[0].notes[0].code == "missing");
}

TEST_CASE("see tells what a decision depends on from what it does not") {
  const config::Config config = config_of({"a", "b"});
  SystemState state(config);
  auto instance = instance_of({"a", "b"});
  CHECK(state.update_views(&instance));
  CHECK_FALSE(state.update_views(&instance));
  CHECK_FALSE(state.update_views(nullptr));
  instance.backends[0].servers[0].uweight = 77;
  instance.backends[0].servers[1].status = "no check";
  CHECK_FALSE(state.update_views(&instance));
  // HAProxy would be left without a server if the others were at 0.
  instance.backends[0].servers[1].status = "DOWN";
  CHECK(state.update_views(&instance));
  instance.backends[0].servers[0].admin_state = haproxy::kForcedDrain;
  CHECK(state.update_views(&instance));
  instance.backends[0].servers.push_back(instance.backends[0].servers[1]);
  instance.backends[0].servers[2].name = "spare";
  instance.backends[0].servers[2].backup = true;
  instance.backends[0].servers[2].status = "UP";
  instance.backends[0].index();
  CHECK(state.update_views(&instance));
}

TEST_CASE("adopt: the same servers go on where they were") {
  const config::Config config = config_of({"a", "b"});
  SystemState old(config);
  answer(old, 0);
  fail(old, 1);
  fail(old, 1);
  old.decide(at(0ms));
  REQUIRE(weights(old) == Weights{256, 0});

  SystemState fresh(config);
  fresh.adopt(std::move(old));
  CHECK(weights(fresh) == Weights{256, 0});
  CHECK(fresh.decision(0).servers[1].state == State::kEjected);
  CHECK(fresh.history(1).ejection.is_out);
  const auto plan = plan_changes(fresh, instance_of({"a", "b"}));
  CHECK(plan.size() == 2);  // it is good enough to be pushed
  const auto changes = fresh.decide(at(1ms));
  REQUIRE(changes.size() == 1);
  CHECK(changes[0].before.servers[0].state == State::kHealthy);
}

TEST_CASE("adopt: with a new server nothing is pushed before it was asked, and the others keep their state") {
  const config::Config config = config_of({"a", "b"});
  SystemState old(config);
  answer(old, 0);
  answer(old, 1);
  old.decide(at(0ms));

  const config::Config more = config_of({"a", "new", "b"});
  SystemState fresh(more);
  fresh.adopt(std::move(old));
  CHECK(plan_changes(fresh, instance_of({"a", "b", "new"})).empty());
  CHECK(fresh.history(1).probes.observations == 0);
  answer(fresh, 1);
  const auto changes = fresh.decide(at(1ms));
  REQUIRE(changes.size() == 1);
  REQUIRE(changes[0].before.servers.size() == 3);
  CHECK(changes[0].before.servers[0].state == State::kHealthy);
  CHECK(changes[0].before.servers[1].state == State::kUnknown);
  CHECK(changes[0].before.servers[2].weight == 128);
  // It begins with nothing, and grows by a step a time.
  CHECK(weights(fresh)[1] <= 8);
  CHECK(weights(fresh)[0] >= 124);
  CHECK(weights(fresh)[2] >= 124);
}

TEST_CASE("change_servers: a server that stays goes on, a new one has nothing, one that is gone is forgotten") {
  config::Config config = config_of({"a", "b", "c"});
  config.backends.push_back(config.backends[0]);
  config.backends[1].name = "other";
  SystemState state(config);
  const auto beside = state.begin_probe(2, at(0ms).mono);
  REQUIRE_FALSE(beside.empty());
  fail(state, 0);
  answer(state, 1);
  state.observe(2, HeadObservation{at(0ms), 10ms, Head{100, "0x1", kWall}});
  for (std::size_t i = 3; i < 6; ++i) answer(state, i);
  state.decide(at(0ms));
  REQUIRE(weights(state) == Weights{0, 128, 128});

  state.change_servers([&] { config.backends[0].servers = config_of({"new", "c", "a"}).backends[0].servers; }, {});
  REQUIRE(state.targets().size() == 6);
  CHECK(state.decided(0));
  CHECK(weights(state) == Weights{0, 128, 0});
  CHECK(state.history(0).probes.observations == 0);
  CHECK(state.history(2).ejection.is_out);
  // What was asked is not asked again: the answer is still to come.
  CHECK(state.begin_probe(1, at(1ms).mono).empty());
  const auto changes = state.decide(at(1ms));
  REQUIRE(changes.size() == 1);  // nothing has changed for the other
  CHECK(changes[0].backend == 0);
  CHECK(weights(state) == Weights{0, 256, 0});
  CHECK(state.history(3).probes.observations > 0);
  CHECK(state.history(5).probes.observations > 0);

  answer(state, 0, 5001ms);
  answer(state, 1, 5001ms);
  state.decide(at(5001ms));
  CHECK(weights(state)[0] > 0);
  // 8 of 256, in the proportion to what the other keeps while one is out.
  CHECK(weights(state)[0] <= 12);
}

TEST_CASE(
    "change_servers: a server that was out and comes back soon is still out, and its head and chain are asked for anew") {
  config::Config config = config_of({"a", "b"});
  config.backends[0].eject_time = config.backends[0].max_eject_time = std::chrono::hours(1);
  SystemState state(config);
  answer(state, 0);
  fail(state, 1);
  state.decide(at(0ms));
  REQUIRE(weights(state) == Weights{256, 0});
  const auto change = [&](std::initializer_list<const char*> servers, std::chrono::milliseconds when) {
    state.change_servers([&] { config.backends[0].servers = config_of(servers).backends[0].servers; }, at(when).mono);
  };
  change({"a"}, 1s);
  state.decide(at(1s));
  bool is_remembered = true;
  SUBCASE("soon") {
    change({"a", "b"}, constants::kAbsence + 1s);
  }
  SUBCASE("after others have come and gone, too many to remember it") {
    is_remembered = false;
    for (std::size_t i = 0; i <= constants::kAbsentMost; ++i) {
      const std::string name = "s" + std::to_string(i);
      change({"a", name.c_str()}, 2s);
    }
    change({"a", "b"}, 3s);
  }
  SUBCASE("late") {
    is_remembered = false;
    change({"a", "b"}, constants::kAbsence + 1001ms);
  }
  CHECK(state.history(1).ejection.is_out == is_remembered);
  CHECK(state.history(1).probes.observations == 0);
  CHECK_FALSE(state.history(1).heads.newest.has_value());
  CHECK_FALSE(state.begin_probe(1, at(700s).mono).empty());
  for (std::size_t i = 0; i < 2; ++i) {
    answer(state, i, 700s);
    state.observe(i, HeadObservation{at(700s), 10ms, Head{101, "0x2", kWall + 700s}});
  }
  state.decide(at(700s));
  CHECK((state.decision(0).servers[1].state == State::kEjected) == is_remembered);
}

TEST_CASE("several HAProxys: out of use is what all have out of use") {
  const config::Config config = config_of({"a", "b", "c"});
  SystemState state(config);
  for (std::size_t i = 0; i < 3; ++i) answer(state, i);
  auto one = instance_of({"a", "b", "c"});
  auto two = instance_of({"c", "b"});
  const std::vector<const haproxy::Instance*> both{&one, nullptr, &two};
  one.backends[0].servers[1].admin_state = haproxy::kForcedMaint;
  CHECK(state.update_views(both));
  state.decide(at(0ms));
  CHECK(state.decision(0).servers[1].state == State::kHealthy);
  two.backends[0].servers[1].admin_state = haproxy::kForcedDrain;
  CHECK(state.update_views(both));
  state.decide(at(1ms));
  CHECK(state.decision(0).servers[1].state == State::kDisabled);
  // DOWN in the one, in maintenance in the other.
  two.backends[0].servers[1].admin_state = 0;
  two.backends[0].servers[1].status = "DOWN";
  CHECK(state.update_views(both));
  CHECK_FALSE(state.backend(0).view.servers[1]->disabled);
  CHECK_FALSE(state.backend(0).view.servers[1]->down);
  one.backends[0].servers[2].status = two.backends[0].servers[0].status = "DOWN";
  CHECK(state.update_views(both));
  CHECK(state.backend(0).view.servers[2]->down);
}

TEST_CASE("several HAProxys: the applied weights leave none of them without a server") {
  const config::Config config = config_of({"a", "b", "c"});
  SystemState state(config);
  answer(state, 0);
  fail(state, 1);
  state.observe(2, Answer{at(0ms), {CheckKind::kIdentity}, AnswerValue{0, "2"}});
  state.observe(2, HeadObservation{at(0ms), 10ms, Head{100, "0x1", kWall}});
  const auto one = instance_of({"a", "b", "c"}, 100);
  auto two = instance_of({"a", "b", "c"}, 100);
  two.backends[0].servers[0].admin_state = haproxy::kForcedMaint;
  const std::vector<const haproxy::Instance*> both{&one, &two};
  state.update_views(both);
  state.decide(at(0ms));
  REQUIRE(weights(state) == Weights{256, 0, 0});
  const auto planned = [&](const haproxy::Instance& instance) {
    Weights out{100, 100, 100};
    for (const WeightChange& c : plan_changes(state, instance)) out[c.server] = c.to;
    return out;
  };
  CHECK(planned(one) == Weights{256, 0, 0});
  // Not to the wrong chain, unless there is no other server.
  CHECK(planned(two) == Weights{256, 256, 0});
  two.backends[0].servers[1].status = "DOWN";
  CHECK(planned(two) == Weights{256, 0, 256});
  two.backends[0].servers[1].status = "UP";
  two.backends[0].servers.push_back(two.backends[0].servers[1]);
  two.backends[0].servers.back().name = "spare";
  two.backends[0].servers.back().backup = true;
  two.backends[0].index();
  CHECK(planned(two) == Weights{256, 0, 0});
}

TEST_CASE("several HAProxys: one that lacks the healthy server is given to those that answer, not to the dead") {
  const config::Config config = config_of({"a", "b", "c"});
  SystemState state(config);
  answer(state, 0);
  fail(state, 1);
  state.observe(2, Answer{at(0ms), {CheckKind::kIdentity}, AnswerValue{0, "1"}});
  state.observe(2, HeadObservation{at(0ms), 10ms, Head{50, "0x1", kWall - 90s}});
  const auto one = instance_of({"a", "b", "c"}, 100);
  auto two = instance_of({"a", "b", "c"}, 100);
  two.backends[0].servers[0].admin_state = haproxy::kForcedMaint;
  const std::vector<const haproxy::Instance*> both{&one, &two};
  state.update_views(both);
  state.decide(at(0ms));
  REQUIRE(weights(state) == Weights{256, 0, 0});
  Weights planned{100, 100, 100};
  for (const WeightChange& c : plan_changes(state, two)) planned[c.server] = c.to;
  CHECK(planned == Weights{256, 0, 256});
}

TEST_CASE("one HAProxy: a server that it cannot use has no part, and it is never left without one") {
  config::Config config = config_of({"a", "b", "gone"});
  config.backends[0].servers[2].preference = 10;
  const auto planned = [&](const haproxy::Instance& instance, bool seen_before) {
    SystemState state(config);
    for (std::size_t i = 0; i < 3; ++i) answer(state, i);
    const haproxy::Instance whole = instance_of({"a", "b", "gone"}, 100);
    const haproxy::Instance* const first = seen_before ? &instance : &whole;
    state.update_views({&first, 1});
    state.decide(at(0ms));
    Weights out;
    for (const haproxy::ServerRow& s : instance.backends[0].servers) out.push_back(s.uweight);
    for (const WeightChange& c : plan_changes(state, instance)) out.at(c.server) = c.to;
    return out;
  };
  auto lacking = instance_of({"a", "b"}, 100);
  for (const std::string_view strategy : {"equal", "leader"}) {
    config.backends[0].strategy = strategy;
    const bool leader = strategy == "leader";
    CHECK(planned(lacking, true) == (leader ? Weights{256, 0} : Weights{128, 128}));
    // It was there when that was decided.
    const Weights before = planned(lacking, false);
    CHECK(before[0] > 0);
    CHECK(before[0] == before[1]);
    auto down = lacking;
    down.backends[0].servers[0].status = "DOWN 1/2";
    CHECK(planned(down, true) == (leader ? Weights{0, 256} : Weights{128, 128}));
    auto off_for_good = lacking;
    off_for_good.backends[0].percent = true;
    off_for_good.backends[0].servers[0].iweight = 0;
    off_for_good.backends[0].servers[0].uweight = 0;
    off_for_good.backends[0].servers[1].iweight = 100;
    CHECK(planned(off_for_good, true) == Weights{0, 100});
    CHECK(planned(off_for_good, false) == Weights{0, 100});
  }
}

TEST_CASE("keep: what only a server that is DOWN has is not worth keeping") {
  config::Config config = config_of({"a", "b"});
  config.backends[0].strategy = "leader";
  config.backends[0].fallback = config::Fallback::kKeep;
  SystemState state(config);
  answer(state, 0);
  answer(state, 1);
  auto instance = instance_of({"a", "b"}, 100);
  const haproxy::Instance* const seen = &instance;
  state.update_views({&seen, 1});
  state.decide(at(0ms));
  REQUIRE(weights(state) == Weights{256, 0});
  for (int i = 0; i < 3; ++i) {
    fail(state, 1);
    state.decide(at(1ms));
  }
  instance.backends[0].servers[0].status = "DOWN";
  state.update_views({&seen, 1});
  state.decide(at(2ms));
  CHECK(state.decision(0).fallback == config::Fallback::kEqual);
  CHECK(weights(state) == Weights{128, 128});
}

TEST_CASE("change_servers: where no server stays no weight is kept, and one that is held up is not decided") {
  config::Config config = config_of({"a", "b"});
  SystemState state(config);
  answer(state, 0);
  answer(state, 1);
  state.decide(at(0ms));
  state.change_servers([&] { config.backends[0].servers = config_of({"x", "y"}).backends[0].servers; }, {});
  CHECK_FALSE(state.decided(0));
  state.block_decisions(0, true);
  answer(state, 0);
  CHECK(state.decide(at(1ms)).empty());
  CHECK(plan_changes(state, instance_of({"x", "y"})).empty());
  answer(state, 1);
  state.block_decisions(0, false);
  CHECK(state.decide(at(2ms)).size() == 1);
  CHECK(weights(state) == Weights{128, 128});
  state.change_servers([&] { config.backends[0].servers.clear(); }, {});
  state.decide(at(3ms));
  CHECK(plan_changes(state, instance_of({"x", "y"})).empty());
}

TEST_CASE("change_servers: a leader that stays leads on, one that is gone is replaced") {
  config::Config config = config_of({"a", "b", "c"});
  config.backends[0].strategy = "leader";
  SystemState state(config);
  for (std::size_t i = 0; i < 3; ++i) answer(state, i);
  const auto instance = instance_of({"a", "b", "c"});
  state.update_views(&instance);
  state.decide(at(0ms));
  REQUIRE(weights(state) == Weights{256, 0, 0});
  state.change_servers([&] { config.backends[0].servers = config_of({"c", "a"}).backends[0].servers; }, {});
  state.decide(at(1ms));
  CHECK(weights(state) == Weights{0, 256});
  state.change_servers([&] { config.backends[0].servers = config_of({"c"}).backends[0].servers; }, {});
  state.decide(at(2ms));
  CHECK(weights(state) == Weights{256});
}

TEST_CASE("adopt: another URL, chain or backend is another server") {
  const config::Config config = config_of({"a", "b"});
  config::Config changed = config;
  SUBCASE("URL") {
    changed.backends[0].servers[0].target.url += "2";
  }
  SUBCASE("chain") {
    changed.backends[0].chain.name = "another";
  }
  SUBCASE("backend") {
    changed.backends[0].name = "another";
  }
  SystemState old(config);
  answer(old, 0);
  answer(old, 1);
  old.decide(at(0ms));
  SystemState fresh(changed);
  fresh.adopt(std::move(old));
  CHECK(fresh.history(0).probes.observations == 0);
  auto instance = instance_of({"a", "b"});
  instance.backends[0].name = changed.backends[0].name;
  CHECK(plan_changes(fresh, instance).empty());
}

TEST_CASE("adopt: a removed server makes the weights wait for the next decision") {
  const config::Config config = config_of({"a", "b", "c"});
  SystemState old(config);
  for (std::size_t i = 0; i < 3; ++i) answer(old, i);
  old.decide(at(0ms));
  const config::Config changed = config_of({"a", "b"});
  SystemState fresh(changed);
  fresh.adopt(std::move(old));
  CHECK(fresh.history(0).probes.observations > 0);
  CHECK(plan_changes(fresh, instance_of({"a", "b", "c"})).empty());
  fresh.decide(at(1ms));
  CHECK_FALSE(plan_changes(fresh, instance_of({"a", "b", "c"})).empty());
}

TEST_CASE("adopt: in another order everything moves with its server") {
  config::Config config = config_of({"a", "b", "c"});
  config.backends[0].strategy = "leader";
  SystemState old(config);
  fail(old, 0);
  answer(old, 1);
  answer(old, 2);
  haproxy::Instance instance = instance_of({"a", "b", "c"}, 7);
  instance.backends[0].servers[2].backup = true;
  old.update_views(&instance);
  old.decide(at(0ms));
  REQUIRE(weights(old) == Weights{0, 256, 256});
  config::Config changed = config_of({"c", "b", "a"});
  changed.backends[0].strategy = "leader";
  SystemState fresh(changed);
  fresh.adopt(std::move(old));
  CHECK(weights(fresh) == Weights{256, 256, 0});
  CHECK(plan_changes(fresh, instance).size() == 3);
  CHECK_FALSE(fresh.update_views(&instance));
  fresh.decide(at(1ms), true);
  CHECK(weights(fresh) == Weights{256, 256, 0});
}

TEST_CASE("adopt: answers to canaries that are no longer asked are forgotten") {
  config::Config config = config_of({"a"});
  config.backends[0].canaries.resize(2);
  SystemState old(config);
  answer(old, 0);
  (void)old.begin_probe(0, at(0ms).mono);
  old.observe(0, Answer{at(0ms), {CheckKind::kCanary, 1}, std::unexpected(ProbeFailure{Reason::kRpcError, "no", {}})});
  old.decide(at(0ms));
  config::Config changed = config;
  changed.backends[0].canaries.pop_back();
  SystemState fresh(changed);
  fresh.adopt(std::move(old));
  CHECK(fresh.history(0).node.canaries.empty());
  fresh.decide(at(1ms), true);
  REQUIRE(fresh.decision(0).servers[0].reasons.size() == 1);
  CHECK(fresh.decision(0).servers[0].reasons[0].code == Reason::kWarmingUp);
}

namespace {

/// rpc with a, b and c, and ws, which follows it with c, a and b.
config::Config two_doors() {
  config::Config out = config_of({"a", "b", "c"});
  config::Backend ws = out.backends[0];
  ws.name = "ws";
  ws.follows = "rpc";
  std::ranges::rotate(ws.servers, ws.servers.begin() + 2);
  for (config::Backend& b : out.backends) b.strategy = "equal";
  ws.strategy = "equal";
  // First in the file: the order makes no difference.
  out.backends.insert(out.backends.begin(), ws);
  return out;
}

std::vector<unsigned> weights_of(const SystemState& state, std::size_t backend) {
  std::vector<unsigned> out;
  for (const ServerDecision& s : state.decision(backend).servers) out.push_back(s.weight);
  return out;
}

}  // namespace

TEST_CASE("a backend that follows another one has no targets, and its verdicts") {
  const config::Config config = two_doors();
  SystemState state(config);
  REQUIRE(state.targets().size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(state.targets()[i].backend == 1);
  answer(state, 0);
  answer(state, 1);
  fail(state, 2);
  auto changes = state.decide(at(0ms));
  CHECK(changes.size() == 2);
  CHECK(weights_of(state, 1) == std::vector<unsigned>{128, 128, 0});
  CHECK(weights_of(state, 0) == std::vector<unsigned>{0, 128, 128});
  CHECK(state.decision(0).servers[0].reasons[0].code == Reason::kTimeout);
  CHECK(state.decision(0).head->number == 100);
  CHECK(state.decision(0).servers[1].head->number == 100);
  CHECK(state.decide(at(1ms)).empty());

  // What HAProxy shows of one decides for that one; both are decided together.
  haproxy::Instance instance = instance_of({"a", "b", "c"}, 128);
  instance.backends.push_back(instance.backends[0]);
  instance.backends[1].name = "ws";
  instance.backends[1].server("a")->admin_state = haproxy::kForcedMaint;
  state.update_views(&instance);
  CHECK(state.decide(at(2ms)).size() == 2);
  CHECK(state.decision(0).servers[1].state == State::kDisabled);
  CHECK(weights_of(state, 0)[2] == 256);
  CHECK(weights_of(state, 1) == std::vector<unsigned>{128, 128, 0});
  // It returns by its own ramp, which the other backend does not see.
  instance.backends[1].server("a")->admin_state = 0;
  state.update_views(&instance);
  state.decide(at(3ms));
  CHECK(state.decision(0).servers[1].inputs.ramp < 1.0);
  CHECK(state.decision(0).servers[1].reasons[0].code == Reason::kWarmingUp);
  CHECK(state.decision(1).servers[0].inputs.ramp == 1.0);
  state.decide(at(31s), true);
  CHECK(state.decision(0).servers[1].inputs.ramp == 1.0);
}

TEST_CASE("a backend that follows another one outlives a new configuration and a list that changes") {
  config::Config config = two_doors();
  SystemState state(config);
  for (std::size_t i = 0; i < 3; ++i) answer(state, i);
  state.decide(at(0ms));
  const config::Config same = two_doors();
  SystemState next(same);
  next.adopt(std::move(state));
  CHECK(next.decided(0));
  CHECK(weights_of(next, 0) == std::vector<unsigned>{86, 85, 85});
  CHECK(next.targets().size() == 3);

  SystemState third(config);
  third.adopt(std::move(next));
  third.change_servers(
      [&] {
        config.backends[1].servers.pop_back();
        config.backends[0].servers = config::following_servers(config.backends[1].servers, {});
      },
      1ms);
  REQUIRE(third.targets().size() == 2);
  third.decide(at(2ms), true);
  CHECK(weights_of(third, 0) == std::vector<unsigned>{128, 128});
}

TEST_CASE("an agent-check is answered with the weight in percent of the configured one") {
  config::Config config = config_of({"a", "b", "c"});
  config.backends[0].strategy = "equal";
  config.backends[0].drive = config::Drive::kAgent;
  SystemState state(config);
  CHECK(agent_answer(state, {}, "rpc/a").line == "\n");
  CHECK(agent_answer(state, {}, "rpc/a").trouble.empty());
  answer(state, 0);
  answer(state, 1);
  fail(state, 2);
  state.decide(at(0ms));
  CHECK(agent_answer(state, {}, "rpc/a").line == "128%\n");
  CHECK(agent_answer(state, {}, "rpc/c").line == "0%\n");
  haproxy::Instance instance = instance_of({"a", "b", "c"});
  const std::vector<const haproxy::Instance*> one{&instance};
  haproxy::BackendRow& row = instance.backends[0];
  row.server("a")->iweight = 1;
  row.server("b")->iweight = 200;
  CHECK(agent_answer(state, one, "rpc/a").line == "12800%\n");
  CHECK(agent_answer(state, one, "rpc/b").line == "64%\n");
  // 100 * 128 / 256 is 50; HAProxy rounds down, so that one of 3 needs a little more.
  row.server("b")->iweight = 3;
  CHECK(agent_answer(state, one, "rpc/b").line == "4267%\n");
  row.percent = true;
  CHECK(agent_answer(state, one, "rpc/a").line == "100%\n");
  CHECK(agent_answer(state, one, "rpc/c").line == "0%\n");
  for (const char* asked : {"", "rpc", "rpc/", "rpc/x", "x/a", "/a"}) {
    CAPTURE(asked);
    const AgentAnswer out = agent_answer(state, one, asked);
    CHECK(out.line == "\n");
    CHECK_FALSE(out.trouble.empty());
  }
  // Not read yet: 100 may be wrong, and of a configured 1 all of it would be 0.
  const std::vector<const haproxy::Instance*> unread{nullptr};
  CHECK(agent_answer(state, unread, "rpc/a").line == "\n");
  // Two whose files differ: the first one's weights, but no server is without traffic at the other.
  row.percent = false;
  row.server("a")->iweight = 200;
  haproxy::Instance second = instance_of({"a", "b", "c"});
  second.backends[0].server("a")->iweight = 1;
  const std::vector<const haproxy::Instance*> two{nullptr, &instance, &second};
  CHECK(agent_answer(state, two, "rpc/a").line == "100%\n");
  CHECK(agent_answer(state, two, "rpc/c").line == "0%\n");
  // In MAINT at the second one alone: a little of another server is enough there, and hardly moves traffic elsewhere.
  for (const char* server : {"a", "b"}) second.backends[0].server(server)->admin_state = 1;
  CHECK(agent_answer(state, two, "rpc/c").line == "1%\n");
  // Nothing of it goes over the socket.
  CHECK(plan_changes(state, instance).empty());
  config.backends[0].drive = config::Drive::kSocket;
  CHECK(agent_answer(state, one, "rpc/a").line == "\n");
}
