#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "rpc/family/registry.hpp"
#include "rpc_stage.hpp"
#include "sim/sim.hpp"

using namespace rpcw;
using namespace rpcw::test;

namespace {

const rpc::HttpRequest& head_request() {
  return rpc::family::find("evm")->head_requests().front();
}

/// An environment variable, for as long as the object lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    ::setenv(name, value.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  }
  ~Variable() { ::unsetenv(name_); }  // NOLINT(concurrency-mt-unsafe)
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

std::string first_line(const std::string& request) {
  return request.substr(0, request.find("\r\n"));
}

/// Answers every request well and keeps them.
struct Recorder {
  std::mutex mutex;
  std::vector<std::string> requests;
  ByteServer server{[this](Wire& wire) {
    for (std::string request; !(request = wire.request()).empty();) {
      {
        const std::lock_guard lock(mutex);
        requests.push_back(request);
      }
      // A tunnel to itself.
      if (request.starts_with("CONNECT "))
        wire.send("HTTP/1.1 200 Connection established\r\n\r\n");
      else
        wire.answer(head_answer());
    }
  }};

  std::string last() {
    const std::lock_guard lock(mutex);
    return requests.empty() ? std::string() : requests.back();
  }
  std::size_t count() {
    const std::lock_guard lock(mutex);
    return requests.size();
  }
};

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("each of thousands of targets keeps its connection") {
  sim::World world;
  sim::Provider& provider = world.add("p");
  // Enough for three pools, which share nothing; within a pool the same host is one connection.
  Stage stage(std::vector<config::Target>(1900, target(provider.url())));
  for (int round = 0; round < 2; ++round)
    for (const std::size_t i : {0U, 1U, 2U, 3U, 4U, 5U, 1899U}) {
      CAPTURE(i);
      CHECK(stage.head(i).head.has_value());
    }
  CHECK(provider.stats().accepted == 3);
}

TEST_CASE("a provider keeps its connection") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  Stage stage({target(provider.url())});
  for (int i = 0; i < 20; ++i) REQUIRE(stage.head().head.has_value());
  CHECK(provider.stats().accepted == 1);
  CHECK(provider.stats().requests == 20);
}

TEST_CASE("a kept connection that the provider has closed meanwhile is no failure") {
  ByteServer server([](Wire& wire) {
    if (!wire.request().empty()) wire.answer(head_answer());
  });
  Stage stage({target(server.url())});
  for (int i = 0; i < 5; ++i) CHECK(stage.head().head.has_value());
  CHECK(server.accepted() == 5);
}

TEST_CASE("a connection that was forgotten on its way costs one probe") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  Relay relay(provider.port());
  Stage stage({target(fmt::format("http://127.0.0.1:{}/", relay.port()))});
  REQUIRE(stage.head().head.has_value());
  relay.forget();
  const HeadObservation lost = stage.head();
  REQUIRE_FALSE(lost.head.has_value());
  CHECK(lost.head.error().code == Reason::kTimeout);
  CHECK(stage.head().head.has_value());
  CHECK(relay.accepted() == 2);
}

TEST_CASE("what a request looks like") {
  Recorder recorder;
  config::Target t = target(recorder.server.url("/v1/key?x=1"));
  t.headers = {{"Authorization", "Bearer abc"}, {"accept", "text/plain"}, {"X-Project", "7"}};
  Stage stage({t});
  REQUIRE(stage.head().head.has_value());
  const std::string request = recorder.last();
  const std::string low = lower(request);
  CHECK(first_line(request) == "POST /v1/key?x=1 HTTP/1.1");
  CHECK(request.ends_with(head_request().body));
  CHECK(low.find("content-type: application/json\r\n") != std::string::npos);
  CHECK(low.find("authorization: bearer abc\r\n") != std::string::npos);
  CHECK(low.find("x-project: 7\r\n") != std::string::npos);
  CHECK(low.find("user-agent: rpc-weighter/") != std::string::npos);
  CHECK(low.find("accept-encoding: gzip") != std::string::npos);
  CHECK(low.find("expect:") == std::string::npos);
  // The file's own header takes the place of ours.
  CHECK(count_of(low, "\r\naccept:") == 1);
  CHECK(low.find("accept: text/plain\r\n") != std::string::npos);
}

TEST_CASE("user info in the URL") {
  Recorder recorder;
  Stage stage({target(fmt::format("http://user:p%40ss@127.0.0.1:{}/", recorder.server.port()))});
  REQUIRE(stage.head().head.has_value());
  CHECK(recorder.last().find("Authorization: Basic dXNlcjpwQHNz\r\n") != std::string::npos);
}

TEST_CASE("a compressed answer is read") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  provider.set({.tx_count = 500, .fault = sim::Fault::gzip});
  Stage stage({target(provider.url())});
  CHECK(stage.head().head.has_value());
}

TEST_CASE("no more than max_in_flight, and each in its turn") {
  constexpr unsigned kMost = 3;
  constexpr unsigned kRequests = 12;
  std::atomic<unsigned> arrived = 0;
  std::atomic<unsigned> now = 0;
  std::atomic<unsigned> most = 0;
  ByteServer server([&](Wire& wire) {
    while (!wire.request().empty()) {
      ++arrived;
      const unsigned present = ++now;
      unsigned seen = most;
      while (seen < present && !most.compare_exchange_weak(seen, present)) {
      }
      // Together with as many others as may come.
      for (int i = 0; i < 2000 && arrived < kMost; ++i) std::this_thread::sleep_for(1ms);
      --now;
      wire.answer(head_answer());
    }
  });
  config::Probe probe = settings();
  probe.max_in_flight = kMost;
  probe.timeout = 10s;
  boost::asio::io_context io{1};
  const rpc::HttpTarget t(target(server.url()));
  rpc::HttpClient client(io, probe, 1);
  unsigned done = 0;
  for (unsigned i = 0; i < kRequests; ++i)
    client.start(t, head_request(), probe.timeout, [&](const rpc::HttpResult& r) {
      CHECK(r.has_value());
      ++done;
    });
  REQUIRE(run_until(io, [&] { return done == kRequests; }));
  CHECK(most == kMost);
  CHECK(server.accepted() == kMost);
}

TEST_CASE("a request from within a handler does not overtake those that wait") {
  ByteServer server([](Wire& wire) {
    while (!wire.request().empty()) wire.answer(head_answer());
  });
  config::Probe probe = settings();
  probe.max_in_flight = 1;
  boost::asio::io_context io{1};
  const rpc::HttpTarget t(target(server.url()));
  rpc::HttpClient client(io, probe, 1);
  std::string order;
  const auto start = [&](char name, std::function<void()> then) {
    client.start(t, head_request(), probe.timeout, [&order, name, then = std::move(then)](const rpc::HttpResult&) {
      order += name;
      then();
    });
  };
  start('a', [&] { start('A', [] {}); });
  start('b', [&] { start('B', [] {}); });
  start('c', [] {});
  REQUIRE(run_until(io, [&] { return order.size() == 5; }));
  CHECK(order == "abcAB");
}

TEST_CASE("waiting for a place does not count toward the time-out") {
  sim::World world;
  sim::Provider& hanging = world.add("hanging");
  sim::Provider& good = world.add("good");
  hanging.set({.fault = sim::Fault::hang});
  config::Probe probe = settings();
  probe.max_in_flight = 1;
  boost::asio::io_context io{1};
  const rpc::HttpTarget bad_target(target(hanging.url()));
  const rpc::HttpTarget good_target(target(good.url()));
  rpc::HttpClient client(io, probe, 2);
  unsigned failed = 0;
  bool answered = false;
  for (int i = 0; i < 2; ++i)
    client.start(bad_target, head_request(), 200ms, [&](const rpc::HttpResult& r) { failed += r ? 0U : 1U; });
  client.start(good_target, head_request(), 200ms, [&](const rpc::HttpResult& r) { answered = r.has_value(); });
  REQUIRE(run_until(io, [&] { return answered; }));
  CHECK(failed == 2);
}

TEST_CASE("a head is told to have left when its request gets its place, not when it is asked for") {
  sim::World world;
  sim::Provider& hanging = world.add("hanging");
  sim::Provider& good = world.add("good");
  hanging.set({.fault = sim::Fault::hang});
  config::Probe probe = settings();
  probe.max_in_flight = 1;
  const config::Target bad_target = target(hanging.url());
  const config::Target good_target = target(good.url());
  boost::asio::io_context io{1};
  rpc::Prober prober(io, probe, {{&bad_target, {}}, {&good_target, {}}});
  std::string order;
  SUBCASE("alone") {
    prober.head(
        0, [&](const HeadObservation&) { order += "0"; }, [&] { order += "a"; });
    prober.head(
        1, [&](const HeadObservation&) { order += "1"; }, [&] { order += "b"; });
    CHECK(order == "a");
    REQUIRE(run_until(io, [&] { return order.size() == 4; }));
    CHECK(order == "a0b1");
  }
  SUBCASE("in a batch, which a single request follows at once when it has no answer in it") {
    good.set({.fault = sim::Fault::http_status, .fault_methods = {"batch"}, .http_status = 400});
    const std::vector<Check> checks{{CheckKind::kIdentity}};
    unsigned answers = 0;
    prober.head_and_checks(
        1, checks, rpc::Afterwards::kKeep, [&](const HeadObservation& o) { order += o.head ? "1" : "?"; },
        [&](const Answer&) { ++answers; }, [&] { order += "b"; });
    prober.head(
        0, [&](const HeadObservation&) { order += "0"; }, [&] { order += "a"; });
    REQUIRE(run_until(io, [&] { return order.size() == 5 && answers == 1; }));
    CHECK(order == "bb1a0");
  }
}

TEST_CASE("without a descriptor it is our own failure") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  Stage stage({target(provider.url())});
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  // Below what is open by now, so that there is no new one.
  rlimit none = before;
  none.rlim_cur = 4;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const HeadObservation failed = stage.head();
  const Answer unanswered = stage.check({CheckKind::kIdentity});
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE_FALSE(failed.head.has_value());
  CHECK(failed.head.error().ours);
  CHECK(failed.head.error().code == Reason::kConnectFailed);
  CHECK(failed.head.error().detail == "this machine has no socket for a probe: Too many open files");
  REQUIRE_FALSE(unanswered.value.has_value());
  CHECK(unanswered.value.error().ours);
  CHECK(stage.head().head.has_value());
}

TEST_CASE("an explicit proxy is used") {
  Recorder proxy;
  config::Probe probe = settings();
  SUBCASE("for http by its absolute form") {
    probe.proxy = proxy.server.url();
    Stage stage({target("http://provider.test:8545/key")}, probe);
    CHECK(stage.head().head.has_value());
    CHECK(first_line(proxy.last()) == "POST http://provider.test:8545/key HTTP/1.1");
  }
  SUBCASE("whatever no_proxy says") {
    const Variable exception("no_proxy", "*");
    probe.proxy = proxy.server.url();
    Stage stage({target("http://provider.test:8545/")}, probe);
    CHECK(stage.head().head.has_value());
    CHECK(proxy.count() == 1);
  }
  SUBCASE("with a name, looked up by us and kept") {
    unsigned lookups = 0;
    probe.proxy = fmt::format("http://proxy.test:{}/", proxy.server.port());
    Stage stage({target("http://provider.test:8545/")}, probe, [&](const std::string& host) -> Resolver::Addresses {
      CHECK(host == "proxy.test");
      ++lookups;
      return std::vector<std::string>{"127.0.0.1"};
    });
    for (int i = 0; i < 3; ++i) CHECK(stage.head().head.has_value());
    CHECK(lookups == 1);
  }
  SUBCASE("with CONNECT for https") {
    probe.proxy = proxy.server.url();
    Stage stage({target("https://provider.test/key")}, probe);
    const HeadObservation o = stage.head();
    REQUIRE_FALSE(o.head.has_value());
    const std::lock_guard lock(proxy.mutex);
    REQUIRE_FALSE(proxy.requests.empty());
    CHECK(first_line(proxy.requests.front()) == "CONNECT provider.test:443 HTTP/1.1");
  }
}

TEST_CASE("a proxy in trouble") {
  config::Probe probe = settings();
  const auto failure = [&](const std::string& url) {
    Stage stage({target(url)}, probe, [](const std::string&) -> Resolver::Addresses {
      return std::unexpected(std::string("Name or service not known"));
    });
    const HeadObservation o = stage.head();
    REQUIRE_FALSE(o.head.has_value());
    return o.head.error();
  };
  SUBCASE("refuses the tunnel") {
    ByteServer proxy([](Wire& wire) {
      wire.request();
      wire.answer("no", "403 Forbidden");
    });
    probe.proxy = proxy.url();
    const ProbeFailure f = failure("https://provider.test/");
    CHECK(f.code == Reason::kConnectFailed);
    CHECK(f.detail == "the proxy answers HTTP 403");
  }
  SUBCASE("is not there") {
    probe.proxy = "http://127.0.0.1:1";
    const ProbeFailure f = failure("http://provider.test/");
    CHECK(f.code == Reason::kConnectFailed);
    CHECK(f.detail == "the proxy: Connection refused");
  }
  SUBCASE("has no address") {
    probe.proxy = "http://proxy.test:3128";
    const ProbeFailure f = failure("http://provider.test/");
    CHECK(f.code == Reason::kDnsFailed);
    CHECK(f.detail == "proxy.test does not resolve: Name or service not known");
  }
  SUBCASE("says nothing") {
    ByteServer proxy([](Wire& wire) { wire.wait_closed(); });
    probe.proxy = proxy.url();
    const ProbeFailure f = failure("https://provider.test/");
    CHECK(f.code == Reason::kTimeout);
  }
}

TEST_CASE("the environment's proxy counts only when asked for") {
  Recorder direct;
  Recorder proxy;
  const Variable http("http_proxy", proxy.server.url());
  const Variable https("https_proxy", proxy.server.url());
  const Variable all("ALL_PROXY", proxy.server.url());
  config::Probe probe = settings();
  CHECK(Stage({target(direct.server.url())}, probe).head().head.has_value());
  CHECK(direct.count() == 1);
  CHECK(proxy.count() == 0);
  probe.proxy = "environment";
  CHECK(Stage({target(direct.server.url())}, probe).head().head.has_value());
  CHECK(direct.count() == 1);
  CHECK(proxy.count() == 1);
  const Variable exception("no_proxy", "127.0.0.1");
  CHECK(Stage({target(direct.server.url())}, probe).head().head.has_value());
  CHECK(direct.count() == 2);
}

TEST_CASE("the environment's proxy in trouble") {
  // A label of more than 63 letters: no name server has to be asked.
  const std::string impossible = std::string(64, 'x') + ".test";
  config::Probe probe = settings();
  probe.proxy = "environment";
  probe.timeout = 10s;
  const auto failure = [&](const std::string& proxy, const std::string& url) {
    const Variable http("http_proxy", proxy);
    const HeadObservation o = Stage({target(url)}, probe).head();
    REQUIRE_FALSE(o.head.has_value());
    return o.head.error();
  };
  SUBCASE("has no address") {
    const ProbeFailure f = failure("http://" + impossible + ":3128", "http://provider.test/");
    CHECK(f.code == Reason::kDnsFailed);
    CHECK(f.detail == "the proxy's name does not resolve");
  }
  SUBCASE("is passed by, and the provider has no address") {
    const Variable exception("no_proxy", "provider.invalid");
    const ProbeFailure f = failure("http://127.0.0.1:1", "http://provider.invalid/");
    CHECK(f.code == Reason::kDnsFailed);
    // A name server may not answer at all.
    const bool expected = f.detail == "provider.invalid does not resolve" || f.detail == "no name look-up within 10 s";
    CHECK_MESSAGE(expected, f.detail);
  }
  SUBCASE("speaks SOCKS and refuses") {
    ByteServer proxy([](Wire& wire) {
      wire.send("\x05\xff");
      wire.wait_closed();
    });
    const ProbeFailure f = failure(fmt::format("socks5://127.0.0.1:{}", proxy.port()), "http://127.0.0.1:9/");
    CHECK(f.code == Reason::kConnectFailed);
    CHECK(f.detail == "the proxy refused the connection");
  }
}

TEST_CASE("IPv6, and a name in any spelling") {
  Recorder recorder;
  unsigned lookups = 0;
  const auto lookup = [&](const std::string& host) -> Resolver::Addresses {
    ++lookups;
    CHECK((host == "provider.test" || host == "provider.test."));
    // The first one refuses; libcurl goes on to the next.
    return std::vector<std::string>{"127.0.0.2", "127.0.0.1"};
  };
  Stage stage({target(fmt::format("http://Provider.TEST:{}/", recorder.server.port())),
               target(fmt::format("http://provider.test.:{}/", recorder.server.port())), target("http://[::1]:1/")},
              settings(), lookup);
  CHECK(stage.head(0).head.has_value());
  CHECK(stage.head(1).head.has_value());
  const HeadObservation v6 = stage.head(2);
  REQUIRE_FALSE(v6.head.has_value());
  CHECK(v6.head.error().code == Reason::kConnectFailed);
  CHECK(lookups == 2);
}
