#include <doctest/doctest.h>

#include <algorithm>
#include <mutex>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "rpc_stage.hpp"
#include "sim/sim.hpp"

/// The head and small questions in one request, and what becomes of them where a batch is not answered.

using namespace rpcw;
using namespace rpcw::test;

namespace {

const std::vector<Check> kQuestions{{CheckKind::kIdentity}, {CheckKind::kSyncing}, {CheckKind::kPeers}};

const Answer& about(const Stage::Round& round, CheckKind kind) {
  const auto it = std::ranges::find_if(round.answers, [&](const Answer& a) { return a.check.kind == kind; });
  REQUIRE(it != round.answers.end());
  return *it;
}

void check_good(const Stage::Round& round) {
  REQUIRE(round.head.head.has_value());
  CHECK(round.head.head->number >= 1000);
  CHECK(round.head.head->hash.size() == 66);
  REQUIRE(about(round, CheckKind::kIdentity).value.has_value());
  CHECK(about(round, CheckKind::kIdentity).value->text == "1");
  REQUIRE(about(round, CheckKind::kSyncing).value.has_value());
  CHECK(about(round, CheckKind::kSyncing).value->number == 0);
  REQUIRE(about(round, CheckKind::kPeers).value.has_value());
  CHECK(about(round, CheckKind::kPeers).value->number == 25);
}

}  // namespace

TEST_CASE("a whole round is one request") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  provider.set({.latency_ms = 30, .tx_count = 300});
  Stage stage({target(provider.url())});
  const Stage::Round round = stage.head_and_checks(kQuestions);
  check_good(round);
  CHECK(round.head.latency >= 30ms);
  const sim::Stats stats = provider.stats();
  CHECK(stats.requests == 1);
  CHECK(stats.accepted == 1);
  for (const char* method : {"eth_getBlockByNumber", "eth_chainId", "eth_syncing", "net_peerCount"})
    CHECK(stats.by_method.at(method) == 1);
}

TEST_CASE("each is asked its own questions") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  Stage stage({target(provider.url())});
  const auto count = [&](const char* method) { return provider.stats().by_method[method]; };
  CHECK(stage.head_and_checks({{CheckKind::kIdentity}}).answers.size() == 1);
  CHECK(stage.head_and_checks({{CheckKind::kIdentity}, {CheckKind::kSyncing}}).answers.size() == 2);
  CHECK(stage.head_and_checks({{CheckKind::kPeers}}).answers.size() == 1);
  CHECK(stage.head_and_checks({{CheckKind::kPeers}}).answers.size() == 1);
  CHECK(provider.stats().requests == 4);
  CHECK(count("eth_chainId") == 2);
  CHECK(count("eth_syncing") == 1);
  CHECK(count("net_peerCount") == 2);
}

TEST_CASE("its connection is kept, or closed where none is needed any more") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  Stage stage({target(provider.url())});
  for (int i = 0; i < 2; ++i) check_good(stage.head_and_checks(kQuestions));
  CHECK(provider.stats().accepted == 1);
  check_good(stage.head_and_checks(kQuestions, rpc::Afterwards::kClose));
  CHECK(provider.stats().accepted == 1);
  CHECK(run_until(stage.io, [&] { return provider.stats().open == 0; }));
  check_good(stage.head_and_checks(kQuestions));
  check_good(stage.head_and_checks(kQuestions));
  CHECK(provider.stats().accepted == 2);
  CHECK(provider.stats().open == 1);
}

TEST_CASE("without questions it is a head like any other, and real work goes by itself") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  Stage stage({target(provider.url())}, settings(), Resolver::system_lookup(), {{.method = "eth_call"}});
  CHECK(stage.head_and_checks({}).head.head.has_value());
  CHECK(provider.stats().requests == 1);
  // The canary fails the HTTP request that it is in, and nothing else.
  provider.set({.fault = sim::Fault::http_status, .fault_methods = {"eth_call"}});
  std::vector<Check> checks = kQuestions;
  checks.push_back({CheckKind::kCanary, 0});
  const Stage::Round round = stage.head_and_checks(checks);
  check_good(round);
  REQUIRE_FALSE(about(round, CheckKind::kCanary).value.has_value());
  CHECK(about(round, CheckKind::kCanary).value.error().code == Reason::kHttpStatus);
  CHECK(provider.stats().requests == 3);
}

TEST_CASE("a provider that answers no batches is asked singly") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  struct Case {
    const char* name;
    sim::Behaviour behaviour;
  };
  const std::vector<std::string> batches{"batch"};
  for (const Case& c : std::vector<Case>{
           {"HTTP 400", {.fault = sim::Fault::http_status, .fault_methods = batches, .http_status = 400}},
           {"HTTP 429", {.fault = sim::Fault::http_status, .fault_methods = batches, .http_status = 429}},
           {"HTTP 500", {.fault = sim::Fault::http_status, .fault_methods = batches, .http_status = 500}},
           {"each element is an error", {.fault = sim::Fault::rpc_error, .fault_methods = batches}},
           {"each element is null", {.fault = sim::Fault::null_result, .fault_methods = batches}},
           {"each element is of the wrong type", {.fault = sim::Fault::wrong_type, .fault_methods = batches}},
           {"a web page", {.fault = sim::Fault::html, .fault_methods = batches}},
           {"half of the answer", {.fault = sim::Fault::truncated, .fault_methods = batches}},
           {"cut off", {.fault = sim::Fault::cut, .fault_methods = batches}},
           {"nothing", {.fault = sim::Fault::empty, .fault_methods = batches}},
           {"reset", {.fault = sim::Fault::reset, .fault_methods = batches}},
           {"no HTTP", {.fault = sim::Fault::no_http, .fault_methods = batches}},
           {"deep", {.fault = sim::Fault::deep, .fault_methods = batches}},
           {"never", {.fault = sim::Fault::hang, .fault_methods = batches}},
           {"byte by byte", {.fault = sim::Fault::drip, .fault_methods = batches}},
       }) {
    CAPTURE(c.name);
    provider.set(c.behaviour);
    const sim::Stats before = provider.stats();
    Stage stage({target(provider.url())});
    check_good(stage.head_and_checks(kQuestions));
    CHECK(provider.stats().requests - before.requests == 5);
  }
}

TEST_CASE("of a batch's answer the good parts count, in any order") {
  const std::string chain_id = R"({"jsonrpc":"2.0","id":2,"result":"0x1"})";
  const std::string syncing = R"({"jsonrpc":"2.0","id":3,"result":false})";
  const std::string peers = R"({"id":"4","result":"0x19","jsonrpc":"2.0"})";
  struct Case {
    std::string answer;
    /// What is asked again by itself.
    std::vector<std::string> again;
  };
  for (const Case& c : std::vector<Case>{
           {"[" + peers + "," + head_answer() + " , " + syncing + ",\n" + chain_id + "]\n", {}},
           {"[" + head_answer() + "," + chain_id + "," + syncing + "]", {"net_peerCount"}},
           {"[" + chain_id + "," + syncing + "," + peers + "]", {"eth_getBlockByNumber"}},
           {"[" + head_answer() + R"(,{"jsonrpc":"2.0","id":2,"error":{"code":-32005,"message":"batch limit"}},)" +
                syncing + "," + peers + "]",
            {"eth_chainId"}},
           {"[" + head_answer() + "," + chain_id + "," + peers + R"(,{"id":17,"result":false}])", {"eth_syncing"}},
           {"[" + head_answer() + "," + chain_id + "," + syncing + "," + peers + R"(,{"id":null}])",
            {"eth_getBlockByNumber", "eth_chainId", "eth_syncing", "net_peerCount"}},
           {head_answer(), {"eth_getBlockByNumber", "eth_chainId", "eth_syncing", "net_peerCount"}},
           {"[]", {"eth_getBlockByNumber", "eth_chainId", "eth_syncing", "net_peerCount"}},
       }) {
    CAPTURE(c.answer);
    std::mutex mutex;
    std::vector<std::string> asked;
    ByteServer server([&](Wire& w) {
      for (std::string request = w.request(); !request.empty(); request = w.request()) {
        const std::string body = request.substr(request.find("\r\n\r\n") + 4);
        if (body.starts_with('[')) {
          w.answer(c.answer);
          continue;
        }
        const std::vector<std::pair<std::string, std::string>> singles{{"eth_getBlockByNumber", head_answer()},
                                                                       {"eth_chainId", chain_id},
                                                                       {"eth_syncing", syncing},
                                                                       {"net_peerCount", peers}};
        const auto it = std::ranges::find_if(
            singles, [&](const auto& single) { return body.find(single.first) != std::string::npos; });
        {
          const std::lock_guard lock(mutex);
          asked.push_back(it->first);
        }
        // A single request's id is 1.
        w.answer(std::regex_replace(it->second, std::regex(R"("id":"?\d"?)"), R"("id":1)"));
      }
    });
    Stage stage({target(server.url())});
    check_good(stage.head_and_checks(kQuestions));
    const std::lock_guard lock(mutex);
    std::ranges::sort(asked);
    std::vector<std::string> again = c.again;
    std::ranges::sort(again);
    CHECK(asked == again);
  }
}

TEST_CASE("a head that comes slowly with others is asked for its own latency") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  provider.set({.latency_ms = 300});
  config::Probe patient = settings();
  patient.timeout = 5s;
  Stage stage({target(provider.url())}, patient);
  const Stage::Round round = stage.head_and_checks(kQuestions);
  check_good(round);
  CHECK(round.head.latency >= 300ms);
  const sim::Stats stats = provider.stats();
  CHECK(stats.requests == 2);
  CHECK(stats.by_method.at("eth_getBlockByNumber") == 2);
  CHECK(stats.by_method.at("eth_chainId") == 1);
}

TEST_CASE("targets that can share a connection leave it to each other") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  std::vector<config::Target> targets;
  for (int i = 0; i < 3; ++i) targets.push_back(target(provider.url() + std::to_string(i)));
  Stage stage(targets);
  for (std::size_t i = 0; i < 3; ++i) check_good(stage.head_and_checks(kQuestions, rpc::Afterwards::kClose, i));
  CHECK(provider.stats().accepted == 1);
  CHECK(provider.stats().open == 1);
}

TEST_CASE("what is wrong without a batch is told in the same words") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  for (const sim::Behaviour& b : std::vector<sim::Behaviour>{
           {.fault = sim::Fault::refuse},
           {.fault = sim::Fault::hang},
           {.fault = sim::Fault::http_status, .http_status = 503},
           {.fault = sim::Fault::rpc_error},
           {.fault = sim::Fault::html},
           {.fault = sim::Fault::http_status, .http_status = 429},
       }) {
    provider.set(b);
    Stage stage({target(provider.url())});
    const Stage::Round together = stage.head_and_checks(kQuestions);
    const HeadObservation alone = stage.head();
    REQUIRE_FALSE(together.head.head.has_value());
    CHECK(together.head.head.error().code == alone.head.error().code);
    CHECK(together.head.head.error().detail == alone.head.error().detail);
    for (const Check& q : kQuestions) CHECK_FALSE(about(together, q.kind).value.has_value());
  }
  provider.set({.syncing = true, .unsupported_methods = {"net_peerCount"}});
  Stage stage({target(provider.url())});
  const Stage::Round round = stage.head_and_checks(kQuestions);
  CHECK(round.head.head.has_value());
  CHECK(about(round, CheckKind::kSyncing).value->number == 1000);
  REQUIRE_FALSE(about(round, CheckKind::kPeers).value.has_value());
  CHECK(about(round, CheckKind::kPeers).value.error().unsupported);
}
