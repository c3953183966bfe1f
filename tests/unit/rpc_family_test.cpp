#include <doctest/doctest.h>
#include <fmt/format.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "config/own_family.hpp"
#include "rpc/family/coding.hpp"
#include "rpc/family/registry.hpp"

using namespace rpcw;
using namespace rpcw::rpc;
using namespace std::chrono_literals;

namespace {

const HttpTarget& provider() {
  static const HttpTarget out = [] {
    config::Target t;
    t.url = "https://provider.test/v2/0123456789abcdef";
    return HttpTarget(t);
  }();
  return out;
}

constexpr WallTime kReceived{milliseconds{1'795'243'205'000}};

std::vector<family::Outcome> outcomes(const family::Family& f, const std::vector<std::string>& bodies, long status) {
  std::vector<family::Outcome> out;
  for (std::size_t i = 0; i < bodies.size(); ++i) out.emplace_back(f.read_head(i, {status, bodies[i], 5ms, {}}));
  return out;
}

std::expected<AnswerValue, ProbeFailure> answer(const family::Family& f, const Check& check, const std::string& body,
                                                long status = 200) {
  return f.answer(check, f.read(check.kind, {status, body, 5ms, {}}), {provider(), nullptr, kReceived});
}

Picked text(std::string value) {
  return {Picked::Kind::kString, std::move(value)};
}

Picked number(std::string value) {
  return {Picked::Kind::kNumber, std::move(value)};
}

}  // namespace

TEST_CASE("families: answers as their documentation shows them") {
  std::ifstream in(RPCW_TEST_DATA "/answers.json");
  const std::string all{std::istreambuf_iterator<char>(in), {}};
  rapidjson::Document document;
  document.Parse(all);
  REQUIRE(document.IsArray());
  std::set<std::string> seen;
  for (const auto& row : document.GetArray()) {
    const std::string name = row["family"].GetString();
    const std::string check = row["check"].GetString();
    CAPTURE(name);
    CAPTURE(check);
    CAPTURE(std::string(row["page"].GetString()));
    const family::Family* f = family::find(name);
    REQUIRE(f != nullptr);
    std::vector<std::string> bodies;
    for (const auto& body : row["answers"].GetArray()) bodies.emplace_back(body.GetString());
    const long status = row["status"].GetInt();
    const auto chain = std::ranges::find(known_chains(), name, &Chain::family);
    REQUIRE(chain != known_chains().end());
    const family::Context context{provider(), &*chain, kReceived};
    const auto failed = [&](const ProbeFailure& failure) {
      REQUIRE(row.HasMember("failure"));
      CHECK(to_string(failure.code) == row["failure"].GetString());
      CHECK(failure.detail == row["detail"].GetString());
      CHECK(failure.unsupported == row["unsupported"].GetBool());
    };
    if (check == "head") {
      seen.insert(name);
      REQUIRE(bodies.size() <= f->head_requests().size());
      while (bodies.size() < f->head_requests().size()) bodies.emplace_back(bodies.front());
      const auto head = f->head(outcomes(*f, bodies, status), context);
      if (!head) {
        INFO(head.error().detail);
        failed(head.error());
        continue;
      }
      REQUIRE(row.HasMember("number"));
      CHECK(head->number == row["number"].GetUint64());
      CHECK(head->hash == row["hash"].GetString());
      CHECK(head->dated);
      const WallTime time = row.HasMember("ago_ms") ? kReceived - milliseconds{row["ago_ms"].GetInt64()}
                                                    : WallTime{milliseconds{row["time_ms"].GetInt64()}};
      CHECK(head->timestamp == time);
      continue;
    }
    const auto kind = check_kind_from_string(check);
    REQUIRE(kind.has_value());
    const Check asked{*kind, row.HasMember("argument") ? row["argument"].GetUint64() : 0};
    const auto value = f->answer(asked, f->read(*kind, {status, bodies.front(), 5ms, {}}), context);
    if (!value) {
      INFO(value.error().detail);
      failed(value.error());
      continue;
    }
    if (row.HasMember("number")) CHECK(value->number == row["number"].GetUint64());
    if (row.HasMember("text")) CHECK(value->text == row["text"].GetString());
  }
  CHECK(seen.size() == family::all().size());
}

TEST_CASE("families: times as they are written") {
  using family::Coding;
  const auto ms = [](const Picked& value, Coding coding, const Chain* chain = nullptr) -> std::int64_t {
    const auto out = family::time_in(value, coding, kReceived, chain);
    return out ? out->time_since_epoch().count() : -1;
  };
  CHECK(ms(number("1795243200"), Coding::kSeconds) == 1'795'243'200'000);
  CHECK(ms(number("1795243200"), Coding::kMinerSeconds) == 1'795'243'200'000);
  CHECK(ms(number("1795250000"), Coding::kMinerSeconds) == kReceived.time_since_epoch().count());
  CHECK(ms(text("0x6b013cc0"), Coding::kSeconds) == 1'795'243'200'000);
  CHECK(ms(number("1795243200123"), Coding::kMilliseconds) == 1'795'243'200'123);
  CHECK(ms(text("1795243200123456"), Coding::kMicroseconds) == 1'795'243'200'123);
  CHECK(ms(number("1795243200530341781"), Coding::kNanoseconds) == 1'795'243'200'530);
  CHECK(ms(text("1795243199.993216373"), Coding::kDottedSeconds) == 1'795'243'199'993);
  CHECK(ms(text("1795243199.9"), Coding::kDottedSeconds) == 1'795'243'199'900);
  CHECK(ms(text("1795243199"), Coding::kDottedSeconds) == 1'795'243'199'000);
  CHECK(ms(text("1795243199."), Coding::kDottedSeconds) == -1);
  // Litecoin has a block in 150 s, so the newest is 750 s later than the sixth newest; but never from the future.
  const Chain* litecoin = find_chain("litecoin");
  CHECK(ms(number("1795242000"), Coding::kMedianSeconds, litecoin) == 1'795'242'750'000);
  CHECK(ms(number("1795242000"), Coding::kMedianSeconds) == 1'795'242'000'000);
  CHECK(ms(number("1795250000"), Coding::kMedianSeconds, litecoin) == kReceived.time_since_epoch().count());
  CHECK(ms(text("oNC9GQAAAADAhv1qAAAAAOcDAAAAAAAA6AMAAAAAAADAPAFrAAAAAA=="), Coding::kClockSysvar) ==
        1'795'243'200'000);
  CHECK(ms(text("oNC9GQAAAADAhv1qAAAAAOcDAAAAAAAA6AMAAAAAAADAPAFrAAAA"), Coding::kClockSysvar) == -1);
  CHECK(ms(text(std::string(56, '!')), Coding::kClockSysvar) == -1);
  CHECK(ms(number("848558400"), Coding::kRippleSeconds) == 1'795'243'200'000);
  CHECK(ms(text("0x004ed5fca1010000"), Coding::kScaleMilliseconds) == 1'795'243'200'000);
  CHECK(ms(text("0x004ed5fca101"), Coding::kScaleMilliseconds) == -1);
  CHECK(ms(number("1250000000"), Coding::kNanosecondsAgo) == 1'795'243'203'750);
  for (const char* good : {"2026-11-21T06:40:00Z", "2026-11-21T06:40:00.000000000Z", "2026-11-21t06:40:00z",
                           "2026-11-21T08:40:00+02:00", "2026-11-21T01:10:00-05:30"}) {
    CAPTURE(std::string(good));
    CHECK(ms(text(good), Coding::kRfc3339) == 1'795'243'200'000);
  }
  CHECK(ms(text("2026-11-21T06:40:00.5Z"), Coding::kRfc3339) == 1'795'243'200'500);
  CHECK(ms(text("2026-11-21T06:40:00.530341781Z"), Coding::kRfc3339) == 1'795'243'200'530);
  for (const char* bad :
       {"", "2026-11-21", "2026-11-21T06:40:00", "2026-13-21T06:40:00Z", "2026-02-30T06:40:00Z", "2026-11-21T24:40:00Z",
        "2026-11-21T06:60:00Z", "2026-11-21T06:40:00.Z", "2026-11-21T06:40:00.1234567890Z", "2026-11-21T06:40:00+2:00",
        "2026-11-21T06:40:00Zx", "yyyy-11-21T06:40:00Z"}) {
    CAPTURE(std::string(bad));
    CHECK(ms(text(bad), Coding::kRfc3339) == -1);
  }
  // Beyond what a time point holds.
  CHECK(ms(text("18446744073709551615"), Coding::kSeconds) == -1);
  CHECK(ms(text("18446744073709551615"), Coding::kMilliseconds) == -1);
  CHECK(ms(number("-5"), Coding::kSeconds) == -1);
  CHECK(ms({Picked::Kind::kBool, "true"}, Coding::kSeconds) == -1);
  Chain slots;
  slots.block_time = 12s;
  CHECK(ms(number("1"), Coding::kSlots, &slots) == -1);
  slots.genesis = WallTime{milliseconds{1'606'824'023'000}};
  CHECK(ms(number("1"), Coding::kSlots, &slots) == 1'606'824'035'000);
  CHECK(ms(number("18446744073709551615"), Coding::kSlots, &slots) == -1);
}

TEST_CASE("families: texts as they are compared") {
  using family::Coding;
  CHECK(family::text_in(text("790BA84C"), Coding::kHexText) == "790ba84c");
  CHECK(family::text_in(text("0xAb"), Coding::kHexText) == "ab");
  CHECK(family::text_in(text("xyz"), Coding::kHexText).empty());
  CHECK(family::text_in(text("0x00Ab"), Coding::kFelt) == "0xab");
  CHECK(family::text_in(text("0x0"), Coding::kFelt) == "0x0");
  CHECK(family::text_in(number("1"), Coding::kText).empty());
  CHECK(family::text_in(number("1"), Coding::kAnyId) == "1");
  CHECK(family::text_in(text("noble-1"), Coding::kAnyId) == "noble-1");
  CHECK(family::text_in(text("a\nb"), Coding::kText).empty());
  CHECK(family::text_in(text(std::string(257, 'a')), Coding::kText).empty());
  CHECK(family::number_in(text("ff"), Coding::kHex) == 255);
  CHECK(family::number_in(text("0xff"), Coding::kHex) == 255);
  CHECK(family::number_in(text("10"), Coding::kInteger) == 10);
}

TEST_CASE("families: a network that is not told") {
  const family::Family& xrpl = *family::find("xrpl");
  // A server of the main network need not tell its id.
  CHECK(answer(xrpl, {CheckKind::kIdentity}, R"({"result":{"info":{"peers":1}}})")->text == "0");
  const family::Family& near = *family::find("near");
  CHECK_FALSE(answer(near, {CheckKind::kIdentity}, R"({"id":1,"result":{}})").has_value());
}

TEST_CASE("families: a beacon node without the chain's genesis has heads without a time") {
  const family::Family& beacon = *family::find("beacon");
  const std::string body =
      fmt::format(R"({{"data":{{"root":"0x{}","header":{{"message":{{"slot":"7"}}}}}}}})", std::string(64, 'a'));
  const auto head = beacon.head(outcomes(beacon, {body}, 200), {provider(), nullptr, kReceived});
  REQUIRE(head.has_value());
  CHECK(head->number == 7);
  CHECK_FALSE(head->dated);
}

TEST_CASE("families: one's own") {
  auto own = std::make_shared<OwnFamily>();
  own->name = "myapi";
  own->head.path = "/status";
  own->head.height = "/node/a~1b";
  own->head.time = "/node/time";
  own->head.time_encoding = OwnFamily::Time::kRfc3339;
  own->head.error = "/error/message";
  own->head.headers = {{"Accept", "text/json"}};
  own->rate_limited = {"slow down"};
  OwnFamily::Identity identity;
  identity.id = "/network";
  own->identity = std::move(identity);
  own->syncing.emplace().syncing = "/s";
  own->syncing->behind = "/b";
  own->peers.emplace().peers = "/p";
  OwnFamily::Block& block = own->block.emplace();
  block.post = true;
  block.path = "/block";
  block.body = R"({"at":{height}})";
  block.hash = "/hash";
  Chain chain;
  chain.family = "myapi";
  chain.own_family = own;
  const auto f = family::of(chain);
  CHECK(f->offers() == own->offers());
  CHECK(f->head_requests()[0].path == "/status");
  CHECK(f->head_requests()[0].method == HttpRequest::Method::kGet);
  CHECK(f->head_requests()[0].headers.size() == 1);
  CHECK(f->request({CheckKind::kBlock, 42}).body == R"({"at":42})");
  const auto head = [&](const std::string& body, long status = 200) {
    return f->head(outcomes(*f, {body}, status), {provider(), &chain, kReceived});
  };
  const auto good = head(R"({"node":{"a/b":"17","time":"2026-11-21T06:40:00Z"}})");
  REQUIRE(good.has_value());
  CHECK(good->number == 17);
  CHECK(good->timestamp == WallTime{milliseconds{1'795'243'200'000}});
  CHECK(good->hash.empty());
  CHECK(to_string(head(R"({"error":{"message":"Please SLOW down"}})").error().code) == "rate_limited");
  CHECK(to_string(head(R"({"error":{"message":"broken"}})").error().code) == "rpc_error");
  CHECK(head(R"({"node":{"a/b":"17"}})").error().detail == "node.time is not a time");
  CHECK(head("{}", 503).error().detail == "HTTP 503");
  CHECK(answer(*f, {CheckKind::kIdentity}, R"({"network":5})")->text == "5");
  CHECK(answer(*f, {CheckKind::kIdentity}, R"({"network":"main"})")->text == "main");
  CHECK(answer(*f, {CheckKind::kSyncing}, R"({"s":true})")->number == kUnknownGap);
  CHECK(answer(*f, {CheckKind::kSyncing}, R"({"s":true,"b":3})")->number == 3);
  CHECK(answer(*f, {CheckKind::kSyncing}, R"({"s":false})")->number == 0);
  CHECK_FALSE(answer(*f, {CheckKind::kSyncing}, "{}").has_value());
  CHECK(answer(*f, {CheckKind::kPeers}, R"({"p":9})")->number == 9);
  CHECK(answer(*f, {CheckKind::kPeers}, "", 404).error().unsupported);
  CHECK(answer(*f, {CheckKind::kBlock, 42}, R"({"hash":"abc"})")->text == "abc");
  CHECK(answer(*f, {CheckKind::kBlock, 42}, "{}")->text.empty());
}

TEST_CASE("families: what a canary expects") {
  const family::Family& f = *family::find("near");
  const auto ask = [&](const config::Canary& canary, const std::string& body, std::chrono::microseconds latency = 5ms) {
    const Check check{CheckKind::kCanary};
    const auto out = f.answer(check, f.read(check.kind, {200, body, latency, {}}, &canary),
                              {provider(), nullptr, kReceived}, &canary);
    return out ? std::string("good") : out.error().detail;
  };
  config::Canary canary{"gas_price", "[null]", 60s};
  CHECK(f.request({CheckKind::kCanary}, &canary).body ==
        R"({"jsonrpc":"2.0","id":1,"method":"gas_price","params":[null]})");
  const std::string body = R"({"id":1,"result":{"gas_price":"100000000","n":7,"b":true,"z":null}})";
  CHECK(ask(canary, body) == "good");
  canary.expect = "/result/gas_price";
  CHECK(ask(canary, body) == "good");
  canary.expect = "/result/z";
  CHECK(ask(canary, body) == "result.z is null or missing");
  canary.expect = "/result/n";
  canary.equals = "7";
  CHECK(ask(canary, body) == "good");
  canary.equals = "8";
  CHECK(ask(canary, body) == "result.n is 7, expected 8");
  canary.equals.reset();
  canary.expect = "/result/gas_price";
  canary.matches = config::Pattern::make("^10+$").value();
  CHECK(ask(canary, body) == "good");
  canary.matches = config::Pattern::make("^2").value();
  CHECK(ask(canary, body) == "result.gas_price is 100000000, which does not match");
  canary.matches.reset();
  // A key that was pasted there is not shown.
  canary.expect = "/result/5ecre7k3y5ecre7k3y";
  CHECK(ask(canary, body) == "result.… is null or missing");
  canary.expect = "/result/n";
  canary.at_most = 100ms;
  CHECK(ask(canary, body, 100ms) == "good");
  CHECK(ask(canary, body, 150ms) == "it took 150 ms, at most 100 ms are expected");
  CHECK(ask(canary, R"({"id":1,"error":{"code":-1,"message":"no"}})") == "error -1: no");

  const HttpRequest get = f.request({CheckKind::kCanary}, [] {
    static config::Canary c;
    c.path = "/status";
    return &c;
  }());
  CHECK(get.method == HttpRequest::Method::kGet);
  CHECK(get.path == "/status");
}
