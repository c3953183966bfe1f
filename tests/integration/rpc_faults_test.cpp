#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <string>
#include <vector>

#include "rpc_stage.hpp"
#include "sim/sim.hpp"

using namespace rpcw;
using namespace rpcw::test;
using sim::Behaviour;
using sim::Fault;

namespace {

constexpr std::string_view kKey = "s3cr3t-k3y-of-the-test";

/// With a key in path and query, which no message may repeat.
config::Target with_key(const std::string& base) {
  config::Target out = target(fmt::format("{}{}?token={}", base, kKey, kKey));
  out.headers.emplace_back("Authorization", fmt::format("Bearer {}", kKey));
  return out;
}

void check_failure(const HeadObservation& o, Reason reason, std::string_view words) {
  REQUIRE_FALSE(o.head.has_value());
  const ProbeFailure& failure = o.head.error();
  INFO(failure.detail);
  CHECK(to_string(failure.code) == to_string(reason));
  CHECK(failure.detail.find(words) != std::string::npos);
  CHECK(failure.detail.find(kKey) == std::string::npos);
}

}  // namespace

TEST_CASE("each fault of a provider has its reason, and disturbs no other provider") {
  struct Case {
    std::string name;
    Behaviour behaviour;
    Reason reason;
    const char* words;
  };
  const std::vector<Case> cases{
      {"404", {.fault = Fault::http_status, .http_status = 404}, Reason::kHttpStatus, "HTTP 404"},
      {"500", {.fault = Fault::http_status, .http_status = 500, .http_body = "oops"}, Reason::kHttpStatus, "HTTP 500"},
      {"502", {.fault = Fault::http_status, .http_status = 502}, Reason::kHttpStatus, "HTTP 502"},
      {"redirect", {.fault = Fault::redirect}, Reason::kHttpStatus, "redirects are not followed"},
      {"rpc error",
       {.fault = Fault::rpc_error, .rpc_error_code = -32000, .rpc_error_message = fmt::format("no project {}", kKey)},
       Reason::kRpcError,
       "error -32000: no project ..."},
      {"html", {.fault = Fault::html}, Reason::kBadAnswer, "HTML"},
      {"truncated", {.fault = Fault::truncated}, Reason::kBadAnswer, "cut-off JSON"},
      {"cut", {.fault = Fault::cut}, Reason::kBadAnswer, "ended before the whole answer"},
      {"flood", {.fault = Fault::flood}, Reason::kTooLarge, "more than 1048576 bytes"},
      {"flood, chunked", {.fault = Fault::flood, .flood_chunked = true}, Reason::kTooLarge, "more than 1048576 bytes"},
      {"gzip bomb", {.fault = Fault::gzip_bomb}, Reason::kTooLarge, "more than 1048576 bytes"},
      {"deep", {.fault = Fault::deep}, Reason::kBadAnswer, "JSON"},
      {"empty", {.fault = Fault::empty}, Reason::kBadAnswer, "empty"},
      {"wrong types", {.fault = Fault::wrong_type}, Reason::kBadAnswer, "result.number"},
      {"null", {.fault = Fault::null_result}, Reason::kBadAnswer, "null"},
      {"drip", {.fault = Fault::drip, .drip_ms = 20}, Reason::kTimeout, "no complete answer within 500 ms"},
      {"hang", {.fault = Fault::hang}, Reason::kTimeout, "no answer within 500 ms"},
      {"accepts, says nothing", {.fault = Fault::accept_silent}, Reason::kTimeout, "no answer within 500 ms"},
      {"reset", {.fault = Fault::reset}, Reason::kConnectFailed, "reset the connection"},
      {"refused", {.fault = Fault::refuse}, Reason::kConnectFailed, "Connection refused"},
      {"no HTTP", {.fault = Fault::no_http}, Reason::kBadAnswer, "not HTTP"},
      {"429", {.fault = Fault::http_status, .http_status = 429}, Reason::kRateLimited, "HTTP 429"},
      {"-32005 in a 200",
       {.fault = Fault::rpc_error, .rpc_error_code = -32005, .rpc_error_message = "slow down"},
       Reason::kRateLimited,
       "slow down"},
  };
  sim::World world;
  sim::Provider& faulty = world.add("faulty");
  sim::Provider& healthy = world.add("healthy");
  Stage stage({with_key(faulty.url()), target(healthy.url())});
  REQUIRE(stage.head(0).head.has_value());
  // On the connection that is already open, and on a new one.
  for (const bool fresh : {false, true})
    for (const Case& c : cases) {
      CAPTURE(c.name);
      CAPTURE(fresh);
      faulty.set({});
      if (!fresh) REQUIRE(stage.head(0).head.has_value());
      faulty.set(c.behaviour);
      const Stage::Pair pair = stage.head_beside_healthy();
      check_failure(pair.subject, c.reason, c.words);
      CHECK(pair.took < 3s);
      CHECK(undisturbed(pair.witness));
    }
  faulty.set({});
  CHECK(stage.head(0).head.has_value());
}

TEST_CASE("a provider of another chain says so") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  provider.set({.chain_id = 56});
  Stage stage({target(provider.url())});
  const Answer a = stage.check({CheckKind::kIdentity});
  REQUIRE(a.value.has_value());
  CHECK(a.value->text == "56");
  CHECK(stage.head().head.has_value());
}

TEST_CASE("what a node says of itself") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  Stage stage({target(provider.url())});
  const auto check = [&](CheckKind kind, std::uint64_t argument = 0) { return stage.check({kind, argument}).value; };
  CHECK(check(CheckKind::kSyncing)->number == 0);
  CHECK(check(CheckKind::kPeers)->number == 25);
  CHECK(check(CheckKind::kBlock, 900)->text == sim::block_hash(1, 900));
  CHECK(check(CheckKind::kBlock, 1'000'000'000)->text.empty());
  provider.set({.fork_from = 900, .syncing = true, .peers = 0});
  CHECK(check(CheckKind::kSyncing)->number == 1000);
  CHECK(check(CheckKind::kPeers)->number == 0);
  CHECK(check(CheckKind::kBlock, 899)->text == sim::block_hash(1, 899));
  CHECK(check(CheckKind::kBlock, 900)->text == sim::block_hash(1, 900, 1));
  provider.set({.unsupported_methods = {"eth_syncing", "net_peerCount", "eth_chainId"}});
  for (const CheckKind q : {CheckKind::kSyncing, CheckKind::kPeers, CheckKind::kIdentity}) {
    const auto answer = check(q);
    REQUIRE_FALSE(answer.has_value());
    CHECK(answer.error().unsupported);
  }
  CHECK(stage.head().head.has_value());
}

TEST_CASE("canaries ask what their owner wrote") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  Stage stage({target(provider.url())}, settings(), Resolver::system_lookup(),
              {{"eth_getBlockByNumber", R"(["0x10",false])", 60s}, {"eth_\"quoted\"", "[]", 60s}});
  provider.set({.unsupported_methods = {"eth_\"quoted\""}});
  CHECK(stage.check({CheckKind::kCanary, 0}).value.has_value());
  const Answer unknown = stage.check({CheckKind::kCanary, 1});
  REQUIRE_FALSE(unknown.value.has_value());
  CHECK(unknown.value.error().code == Reason::kRpcError);
  provider.set({.fault = sim::Fault::rpc_error, .fault_methods = {"eth_getBlockByNumber"}});
  CHECK_FALSE(stage.check({CheckKind::kCanary, 0}).value.has_value());
}

TEST_CASE("a rate limit tells how long to stay away") {
  sim::World world;
  sim::Provider& provider = world.add("a");
  Stage stage({with_key(provider.url())});
  provider.set({.quota_per_s = 0.001, .retry_after_s = 7});
  // The bucket is full at first.
  REQUIRE(stage.head().head.has_value());
  HeadObservation o = stage.head();
  check_failure(o, Reason::kRateLimited, "HTTP 429");
  CHECK(o.head.error().retry_after == milliseconds{7000});
  provider.set({.quota_per_s = 0.002, .rate_limit_style = sim::RateLimitStyle::rpc});
  REQUIRE(stage.head().head.has_value());
  o = stage.head();
  check_failure(o, Reason::kRateLimited, "-32005");
  CHECK_FALSE(o.head.error().retry_after.has_value());
  CHECK_FALSE(stage.check({CheckKind::kIdentity}).value.has_value());
}

TEST_CASE("Retry-After as a date, and absurd ones") {
  std::string header;
  ByteServer server([&](Wire& wire) {
    while (!wire.request().empty()) wire.answer("too many requests", "429 Too Many Requests", header);
  });
  Stage stage({target(server.url())});
  const auto retry_after = [&](std::string value) {
    header = fmt::format("Retry-After: {}\r\n", value);
    const HeadObservation o = stage.head();
    REQUIRE_FALSE(o.head.has_value());
    CHECK(o.head.error().code == Reason::kRateLimited);
    return o.head.error().retry_after;
  };
  CHECK(retry_after("120") == milliseconds{120'000});
  CHECK(retry_after("0") == std::nullopt);
  CHECK(retry_after("-5") == std::nullopt);
  CHECK(retry_after("soon") == std::nullopt);
  // Six hours at most, so that a provider's slip does not bench it for good.
  CHECK(retry_after("99999999999") == milliseconds{21'600'000});
  CHECK(retry_after("Fri, 31 Dec 2099 23:59:59 GMT") == milliseconds{21'600'000});
  CHECK(retry_after("Fri, 31 Dec 1999 23:59:59 GMT") == std::nullopt);
}

TEST_CASE("an answer without end is given up early") {
  // Counts what leaves this side; the kernel's buffers take a few megabytes on top of what was read.
  constexpr std::size_t kPlenty = 256U << 20U;
  constexpr std::size_t kEarly = 64U << 20U;
  std::atomic<std::size_t> sent = 0;
  const std::string chunk(1U << 16U, 'a');
  const auto flood = [&](Wire& wire, std::string_view head, std::string_view piece) {
    if (wire.request().empty() || !wire.send(head)) return;
    while (sent < kPlenty && wire.send(piece)) sent += piece.size();
  };
  SUBCASE("the body") {
    ByteServer server(
        [&](Wire& wire) { flood(wire, fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", kPlenty), chunk); });
    config::Probe probe = settings();
    probe.max_response_bytes = 4096;
    probe.timeout = 10s;
    Stage stage({target(server.url())}, probe);
    check_failure(stage.head(), Reason::kTooLarge, "more than 4096 bytes");
  }
  SUBCASE("the header lines") {
    std::string lines;
    for (int i = 0; i < 1000; ++i) lines += fmt::format("X-Header-{}: {}\r\n", i, std::string(40, 'b'));
    ByteServer server([&](Wire& wire) { flood(wire, "HTTP/1.1 200 OK\r\n", lines); });
    config::Probe probe = settings();
    probe.timeout = 10s;
    Stage stage({target(server.url())}, probe);
    check_failure(stage.head(), Reason::kTooLarge, "more than 131072 bytes");
  }
  SUBCASE("one header line") {
    ByteServer server([&](Wire& wire) { flood(wire, "HTTP/1.1 200 OK\r\nX-Long: ", chunk); });
    config::Probe probe = settings();
    probe.timeout = 10s;
    Stage stage({target(server.url())}, probe);
    REQUIRE_FALSE(stage.head().head.has_value());
  }
  SUBCASE("interim answers") {
    ByteServer server([&](Wire& wire) { flood(wire, "", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"); });
    config::Probe probe = settings();
    probe.timeout = 10s;
    Stage stage({target(server.url())}, probe);
    check_failure(stage.head(), Reason::kTooLarge, "more than 131072 bytes");
  }
  CHECK(sent < kEarly);
}

TEST_CASE("the limit on an answer's length is exact") {
  const std::string body = head_answer();
  ByteServer server([&](Wire& wire) {
    while (!wire.request().empty()) wire.answer(body);
  });
  config::Probe probe = settings();
  probe.max_response_bytes = body.size();
  CHECK(Stage({target(server.url())}, probe).head().head.has_value());
  probe.max_response_bytes = body.size() - 1;
  CHECK(Stage({target(server.url())}, probe).head().head.error().code == Reason::kTooLarge);
}

TEST_CASE("connections that end in odd ways") {
  struct Case {
    std::string name;
    ByteServer::Session session;
    Reason reason;
    const char* words;
  };
  const std::vector<Case> cases{
      {"closed at once", [](Wire&) {}, Reason::kConnectFailed, "connection"},
      {"closed after the request", [](Wire& w) { w.request(); }, Reason::kConnectFailed, "without an answer"},
      {"reset after the request",
       [](Wire& w) {
         w.request();
         w.reset();
       },
       Reason::kConnectFailed, "reset the connection"},
      {"reset in the body",
       [](Wire& w) {
         w.request();
         w.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"jsonrpc\":");
         // Until it has arrived: a reset overtakes what is still on its way.
         std::this_thread::sleep_for(50ms);
         w.reset();
       },
       Reason::kBadAnswer, "ended before the whole answer"},
      {"closed in the header",
       [](Wire& w) {
         w.request();
         w.send("HTTP/1.1 200 OK\r\nContent-");
       },
       Reason::kBadAnswer, ""},
      {"half a chunk",
       [](Wire& w) {
         w.request();
         w.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{\"jsonrpc\":");
       },
       Reason::kBadAnswer, "ended before the whole answer"},
      {"bad chunk",
       [](Wire& w) {
         w.request();
         w.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n");
       },
       Reason::kBadAnswer, ""},
      {"broken gzip",
       [](Wire& w) {
         w.request();
         w.answer("this is not gzip", "200 OK", "Content-Encoding: gzip\r\n");
       },
       Reason::kBadAnswer, "decompressed"},
      {"unknown encoding",
       [](Wire& w) {
         w.request();
         w.answer("{}", "200 OK", "Content-Encoding: rot13\r\n");
       },
       Reason::kBadAnswer, "decompressed"},
      {"speaks first, and no HTTP",
       [](Wire& w) {
         w.send("220 mail.example ESMTP\r\n");
         w.wait_closed();
       },
       Reason::kBadAnswer, "not HTTP"},
      {"an interim answer and no other",
       [](Wire& w) {
         w.request();
         w.send("HTTP/1.1 102 Processing\r\n\r\n");
         w.wait_closed();
       },
       Reason::kTimeout, "no complete answer within 500 ms"},
      {"no content",
       [](Wire& w) {
         w.request();
         w.send("HTTP/1.1 204 No Content\r\n\r\n");
         w.wait_closed();
       },
       Reason::kHttpStatus, "HTTP 204"},
      {"reads and says nothing", [](Wire& w) { w.wait_closed(); }, Reason::kTimeout, "no answer within 500 ms"},
  };
  sim::World world;
  sim::Provider& healthy = world.add("healthy");
  for (const Case& c : cases) {
    CAPTURE(c.name);
    ByteServer server(c.session);
    Stage stage({with_key(server.url()), target(healthy.url())});
    const Stage::Pair pair = stage.head_beside_healthy();
    check_failure(pair.subject, c.reason, c.words);
    CHECK(pair.took < 3s);
    CHECK(undisturbed(pair.witness));
  }
}

TEST_CASE("connecting that does not get anywhere") {
  sim::World world;
  sim::Provider& healthy = world.add("healthy");
  const FullPort full;
  Stage stage({with_key(fmt::format("http://127.0.0.1:{}/", full.port())), target(healthy.url())});
  const Stage::Pair pair = stage.head_beside_healthy();
  check_failure(pair.subject, Reason::kTimeout, "no connection within 500 ms");
  CHECK(pair.took < 3s);
  CHECK(undisturbed(pair.witness));
}

TEST_CASE("a provider that echoes the key does not get it into a message") {
  ByteServer server([](Wire& wire) {
    for (std::string request; !(request = wire.request()).empty();) {
      std::string echo = request.substr(0, request.find("\r\n\r\n"));
      std::string escaped;
      for (const char c : echo) escaped += c == '\r' ? "\\r" : c == '\n' ? "\\n" : std::string(1, c);
      wire.answer(fmt::format(R"({{"error":{{"code":"{}","message":"{}"}}}})", kKey, escaped));
    }
  });
  Stage stage({with_key(server.url())});
  check_failure(stage.head(), Reason::kRpcError, "error ...: POST /...");
}
