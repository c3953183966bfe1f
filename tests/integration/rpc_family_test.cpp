#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "rpc/family/recognise.hpp"
#include "rpc/family/registry.hpp"
#include "rpc_stage.hpp"
#include "sim/sim.hpp"

using namespace rpcw;
using namespace rpcw::test;
using rpc::family::Family;
using sim::Behaviour;
using sim::Fault;

namespace {

/// One simulated provider of a family, and the real prober.
struct Subject {
  explicit Subject(const Family& f) : family(f), provider(world.add("a")) {
    chain.family = f.name();
    chain.identity = sim::identity(f.name(), world.chain().id());
    chain.block_time = world.chain().block_time();
    chain.offers = f.offers();
    chain.genesis = world.chain().time_of(0);
    set({});
    stage = std::make_unique<Stage>(std::vector{target(provider.url())}, settings(), Resolver::system_lookup(),
                                    std::vector<config::Canary>{}, &chain);
  }

  void set(Behaviour b) {
    b.family = family.name();
    provider.set(std::move(b));
  }
  HeadObservation head() { return stage->head(); }
  /// Absent: the family does not offer it.
  std::optional<Answer> check(CheckKind kind, std::uint64_t argument = 0) {
    if (!family.offers(kind)) return std::nullopt;
    return stage->check({kind, argument});
  }

  const Family& family;
  sim::World world;
  sim::Provider& provider;
  Chain chain;
  std::unique_ptr<Stage> stage;
};

void healthy(Subject& s) {
  const std::uint64_t before = s.world.chain().head();
  const HeadObservation o = s.head();
  const std::uint64_t after = s.world.chain().head();
  REQUIRE(o.head.has_value());
  CHECK(o.head->number >= before);
  CHECK(o.head->number <= after);
  CHECK(o.latency > 0us);
  CHECK(o.head->dated == s.chain.offers.time);
  // Whole seconds at the coarsest; one family tells how long ago it was, and the way to us takes time.
  const WallTime made = s.world.chain().time_of(o.head->number);
  CHECK(o.head->timestamp > made - 1s);
  CHECK(o.head->timestamp <= o.received.wall);
  CHECK(o.head->hash.empty() != s.chain.offers.hash);
  if (const auto a = s.check(CheckKind::kIdentity)) {
    REQUIRE(a->value.has_value());
    CHECK(a->value->text == s.chain.identity);
  }
  if (const auto a = s.check(CheckKind::kSyncing)) {
    REQUIRE(a->value.has_value());
    CHECK(a->value->number == 0);
  }
  if (const auto a = s.check(CheckKind::kPeers)) {
    REQUIRE(a->value.has_value());
    CHECK(a->value->number == 25);
  }
  if (const auto a = s.check(CheckKind::kBlock, o.head->number)) {
    REQUIRE(a->value.has_value());
    CHECK_FALSE(a->value->text.empty());
    if (s.chain.offers.hash) CHECK(a->value->text == o.head->hash);
  }
  // A block that is still to come is no failure of the server, whatever its words are.
  if (const auto a = s.check(CheckKind::kBlock, after + 1'000'000)) CHECK((!a->value || a->value->text.empty()));
}

void behind(Subject& s) {
  s.set({.lag_blocks = 10});
  const std::uint64_t before = s.world.chain().head();
  const HeadObservation o = s.head();
  REQUIRE(o.head.has_value());
  CHECK(o.head->number >= before - 10);
  CHECK(o.head->number <= s.world.chain().head() - 10);
}

void halted(Subject& s) {
  s.world.chain().halt(true);
  const HeadObservation first = s.head();
  const HeadObservation second = s.head();
  REQUIRE((first.head.has_value() && second.head.has_value()));
  CHECK(first.head->number == s.world.chain().head());
  CHECK(second.head->number == first.head->number);
  CHECK(second.head->hash == first.head->hash);
}

void syncing(Subject& s) {
  s.set({.syncing = true});
  if (const auto a = s.check(CheckKind::kSyncing)) {
    REQUIRE(a->value.has_value());
    CHECK((a->value->number == 1000 || a->value->number == kUnknownGap));
  }
}

void another_network(Subject& s) {
  s.set({.chain_id = 56});
  if (const auto a = s.check(CheckKind::kIdentity)) {
    REQUIRE(a->value.has_value());
    CHECK(a->value->text == sim::identity(s.family.name(), 56));
    CHECK(a->value->text != s.chain.identity);
  }
}

void forked(Subject& s) {
  const std::uint64_t height = s.world.chain().head() - 5;
  const auto good = s.check(CheckKind::kBlock, height);
  if (!good) return;
  REQUIRE(good->value.has_value());
  s.set({.fork_from = height});
  CHECK(s.check(CheckKind::kBlock, height)->value->text != good->value->text);
  s.set({.fork_from = height + 1});
  CHECK(s.check(CheckKind::kBlock, height)->value->text == good->value->text);
}

void rate_limited(Subject& s) {
  for (const sim::RateLimitStyle style : {sim::RateLimitStyle::http, sim::RateLimitStyle::rpc}) {
    // The first one may take what there is.
    s.set({.quota_per_s = 1e-6, .rate_limit_style = style, .retry_after_s = 7});
    s.head();
    const HeadObservation o = s.head();
    REQUIRE_FALSE(o.head.has_value());
    CHECK(to_string(o.head.error().code) == "rate_limited");
    if (style == sim::RateLimitStyle::http) CHECK(o.head.error().retry_after == 7s);
  }
}

void rubbish(Subject& s) {
  for (const Fault fault : {Fault::html, Fault::truncated, Fault::wrong_type, Fault::null_result, Fault::empty}) {
    CAPTURE(std::string(name(fault)));
    s.set({.fault = fault});
    const HeadObservation o = s.head();
    REQUIRE_FALSE(o.head.has_value());
    INFO(o.head.error().detail);
    CHECK(to_string(o.head.error().code) == "bad_answer");
    for (const CheckKind kind : {CheckKind::kIdentity, CheckKind::kSyncing, CheckKind::kPeers})
      if (const auto a = s.check(kind); a && fault != Fault::null_result && fault != Fault::wrong_type)
        CHECK_FALSE(a->value.has_value());
  }
}

void error(Subject& s) {
  s.set({.fault = Fault::rpc_error});
  const HeadObservation o = s.head();
  REQUIRE_FALSE(o.head.has_value());
  INFO(o.head.error().detail);
  CHECK((o.head.error().code == Reason::kRpcError || o.head.error().code == Reason::kHttpStatus));
  CHECK_FALSE(o.head.error().unsupported);
}

/// What a provider's own list of what it does not offer would name.
std::string called(const rpc::HttpRequest& request) {
  if (!request.path.empty()) return request.path.substr(0, request.path.find('?'));
  constexpr std::string_view kMethod = R"("method":")";
  const std::size_t at = request.body.find(kMethod) + kMethod.size();
  return request.body.substr(at, request.body.find('"', at) - at);
}

void does_not_offer(Subject& s) {
  if (!s.family.offers(CheckKind::kPeers)) return;
  s.set({.unsupported_methods = {called(s.family.request({CheckKind::kPeers}, nullptr))}});
  const auto peers = s.check(CheckKind::kPeers);
  REQUIRE_FALSE(peers->value.has_value());
  CHECK(peers->value.error().unsupported);
  CHECK(s.head().head.has_value());
}

void hangs(Subject& s) {
  s.set({.fault = Fault::hang});
  const HeadObservation o = s.head();
  REQUIRE_FALSE(o.head.has_value());
  CHECK(to_string(o.head.error().code) == "timeout");
  CHECK(o.latency >= settings().timeout);
}

}  // namespace

TEST_CASE("families: the simulator speaks all of them") {
  std::vector<std::string_view> known;
  for (const auto& family : rpc::family::all()) known.push_back(family->name());
  CHECK(known == sim::families());
}

TEST_CASE("families: every scenario, by every family, through the real prober") {
  struct Scenario {
    const char* name;
    void (*play)(Subject&);
  };
  const std::vector<Scenario> scenarios{{"healthy", &healthy},
                                        {"behind", &behind},
                                        {"halted", &halted},
                                        {"syncing", &syncing},
                                        {"another network", &another_network},
                                        {"forked", &forked},
                                        {"rate limited", &rate_limited},
                                        {"rubbish", &rubbish},
                                        {"error", &error},
                                        {"does not offer a check", &does_not_offer},
                                        {"hangs", &hangs}};
  for (const auto& family : rpc::family::all())
    for (const Scenario& scenario : scenarios) {
      CAPTURE(std::string(family->name()));
      CAPTURE(std::string(scenario.name));
      Subject subject(*family);
      scenario.play(subject);
    }
}

TEST_CASE("families: paths join the URL's own, and its query stays") {
  Subject s(*rpc::family::find("cometbft"));
  for (const char* more : {"", "key/", "key", "?token=abc", "key?token=abc"}) {
    CAPTURE(std::string(more));
    std::string request;
    ByteServer server([&](Wire& w) {
      request = w.request();
      w.answer("{}");
    });
    Stage stage({target(server.url() + more)}, settings(), Resolver::system_lookup(), {}, &s.chain);
    CHECK_FALSE(stage.head().head.has_value());
    const std::string line = request.substr(0, request.find(" HTTP"));
    const std::string path = more[0] == 'k' ? "/key/status" : "/status";
    CHECK(line == "GET " + path + (std::string(more).find('?') == std::string::npos ? "" : "?token=abc"));
  }
}

TEST_CASE("families: a head of two requests has the latency of the named one, and the other may be missing") {
  Subject s(*rpc::family::find("substrate"));
  REQUIRE(s.family.head_requests().size() == 2);
  s.set({.unsupported_methods = {"state_getStorage"}});
  const HeadObservation undated = s.head();
  REQUIRE(undated.head.has_value());
  CHECK_FALSE(undated.head->dated);
  s.set({.fault = Fault::hang, .fault_methods = {"state_getStorage"}});
  const HeadObservation o = s.head();
  REQUIRE(o.head.has_value());
  CHECK_FALSE(o.head->dated);
  CHECK(o.latency < settings().timeout);
  s.set({.fault = Fault::html, .fault_methods = {"chain_getHeader"}});
  CHECK_FALSE(s.head().head.has_value());
}

TEST_CASE("families: a server that says nothing of itself is recognised by at most five requests") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  boost::asio::io_context io;
  rpc::HttpClient client(io, settings(), 1);
  const rpc::HttpTarget subject(target(provider.url()));
  const auto recognise = [&] {
    provider.reset_stats();
    rpc::family::Recogniser out(subject);
    while (const rpc::HttpRequest* request = out.next()) {
      bool done = false;
      client.start(subject, *request, 5s, [&](const rpc::HttpResult& result) {
        if (result)
          out.answered(*result);
        else
          out.failed();
        done = true;
      });
      REQUIRE(run_until(io, [&] { return done; }));
    }
    CHECK(provider.stats().requests <= rpc::family::Recogniser::kMostRequests);
    return out;
  };
  for (const std::string_view family : sim::families()) {
    CAPTURE(std::string(family));
    sim::Behaviour b;
    b.family = family;
    provider.set(b);
    const auto found = recognise();
    REQUIRE(found.family() != nullptr);
    CHECK(found.family()->name() == family);
    CHECK(found.identity() == sim::identity(family, 1));
  }
  for (const Fault fault : {Fault::html, Fault::reset, Fault::empty, Fault::http_status}) {
    sim::Behaviour b;
    b.fault = fault;
    provider.set(b);
    CHECK(recognise().family() == nullptr);
  }
}
