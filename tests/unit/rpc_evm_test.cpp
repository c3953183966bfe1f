#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>
#include <vector>

#include "rpc/family/registry.hpp"

using namespace rpcw;
using namespace rpcw::rpc;

namespace {

const HttpTarget& provider() {
  static const HttpTarget out = [] {
    config::Target t;
    t.url = "https://provider.test/v2/0123456789abcdef";
    return HttpTarget(t);
  }();
  return out;
}

const family::Family& evm() {
  return *family::find("evm");
}

HttpAnswer answer(std::string_view body, long status = 200) {
  HttpAnswer out;
  out.status = status;
  out.body = body;
  return out;
}

std::expected<Head, ProbeFailure> head_of(const HttpAnswer& answer) {
  const std::vector<family::Outcome> outcomes{evm().read_head(0, answer)};
  return evm().head(outcomes, {provider()});
}

std::expected<AnswerValue, ProbeFailure> parsed(const Check& check, std::string_view body, long status = 200) {
  return evm().answer(check, evm().read(check.kind, answer(body, status)), {provider()});
}

std::expected<AnswerValue, ProbeFailure> parsed(CheckKind kind, std::string_view body, long status = 200) {
  return parsed(Check{kind}, body, status);
}

std::string block(std::string_view number, std::string_view hash, std::string_view timestamp) {
  return fmt::format(R"({{"jsonrpc":"2.0","id":1,"result":{{"number":{},"hash":{},"timestamp":{}}}}})", number, hash,
                     timestamp);
}

constexpr std::string_view kHash = R"("0x9b83c12c69edb74f6c8dd5d052765c1adf940e320bd1291696e6fa07829eee71")";

ProbeFailure failure(std::string_view body, long status = 200) {
  const auto head = head_of(answer(body, status));
  REQUIRE_FALSE(head.has_value());
  CHECK_FALSE(head.error().detail.empty());
  return head.error();
}

}  // namespace

TEST_CASE("the head from answers as providers give them") {
  SUBCASE("geth, with more than is asked for") {
    const auto head = head_of(answer(
        R"({"jsonrpc":"2.0","id":1,"result":{"baseFeePerGas":"0x2540be400","difficulty":"0x0","extraData":"0x","gasLimit":"0x1c9c380","hash":"0x9B83c12c69edb74f6c8dd5d052765c1adf940e320bd1291696e6fa07829eee71","logsBloom":"0x00","number":"0x16d2f1a","parentHash":"0x0000000000000000000000000000000000000000000000000000000000000001","timestamp":"0x6b49d200","transactions":["0x01","0x02"],"uncles":[],"withdrawals":[{"index":"0x1","number":"0x2"}]}})"
        "\n"));
    REQUIRE(head.has_value());
    CHECK(head->number == 0x16d2f1a);
    CHECK(head->hash == "0x9b83c12c69edb74f6c8dd5d052765c1adf940e320bd1291696e6fa07829eee71");
    CHECK(head->timestamp == WallTime{std::chrono::seconds{0x6b49d200}});
    CHECK(head->parent == "0x0000000000000000000000000000000000000000000000000000000000000001");
  }
  SUBCASE("without a parent, and with one that is none") {
    for (const char* more : {"", R"(,"parentHash":null)", R"(,"parentHash":"0x12")", R"(,"parentHash":1)"}) {
      const auto head = head_of(answer(fmt::format(
          R"({{"jsonrpc":"2.0","id":1,"result":{{"number":"0x1","hash":{},"timestamp":"0x2"{}}}}})", kHash, more)));
      REQUIRE(head.has_value());
      CHECK(head->parent.empty());
    }
  }
  struct Case {
    const char* number;
    const char* timestamp;
    std::uint64_t height;
    std::int64_t seconds;
  };
  for (const Case& c : {Case{R"("0x0")", R"("0x0")", 0, 0}, Case{R"("0xFF")", R"("0X10")", 255, 16},
                        Case{R"("24000000")", R"("1795243200")", 24'000'000, 1'795'243'200},
                        Case{"24000000", "1795243200", 24'000'000, 1'795'243'200},
                        Case{R"("0xffffffffffffffff")", R"("0x174876e800")", ~std::uint64_t{0}, 100'000'000'000},
                        Case{R"("0x0000000000000000000001")", R"("0x1")", 1, 1}}) {
    CAPTURE(std::string(c.number));
    const auto head = head_of(answer(block(c.number, kHash, c.timestamp)));
    REQUIRE(head.has_value());
    CHECK(head->number == c.height);
    CHECK(head->timestamp == WallTime{std::chrono::seconds{c.seconds}});
  }
  // Null beside a result is what JSON-RPC 1.0 writes for "no error"; a byte order mark does no harm.
  CHECK(
      head_of(answer("\xEF\xBB\xBF" +
                     fmt::format(R"({{"error":null,"result":{{"number":"0x1","hash":{},"timestamp":"0x2"}}}})", kHash)))
          .has_value());
}

TEST_CASE("what is no block") {
  struct Case {
    std::string body;
    const char* words;
  };
  const std::string hash(kHash);
  const std::vector<Case> cases{
      {"", "empty"},
      {" \r\n\t ", "empty"},
      {"<html><body>Bad gateway</body></html>", "HTML"},
      {"OK", "not JSON"},
      {"too many requests", "not JSON"},
      {R"({"jsonrpc":"2.0","id":1,"result":{"num)", "cut-off"},
      {block("\"0x1\"", hash, "\"0x2\"") + "}", "broken"},
      {block("\"0x1\"", hash, "\"0x2\"") + block("\"0x1\"", hash, "\"0x2\""), "broken"},
      {std::string(100'000, '['), "broken"},
      {"{}", "result is null or missing"},
      {"[]", "result is null or missing"},
      {"null", "result is null or missing"},
      {R"({"result":null})", "result is null or missing"},
      {R"({"jsonrpc":"2.0","id":1,"result":"0x1"})", "result.number"},
      {R"({"result":[]})", "result.number"},
      {block("null", hash, "\"0x1\""), "result.number"},
      {block("\"\"", hash, "\"0x1\""), "result.number"},
      {block("\"0x\"", hash, "\"0x1\""), "result.number"},
      {block("\"latest\"", hash, "\"0x1\""), "result.number"},
      {block("-1", hash, "\"0x1\""), "result.number"},
      {block("\"-0x1\"", hash, "\"0x1\""), "result.number"},
      {block("1.5", hash, "\"0x1\""), "result.number"},
      {block("1e3", hash, "\"0x1\""), "result.number"},
      {block("true", hash, "\"0x1\""), "result.number"},
      {block("\"0x10000000000000000\"", hash, "\"0x1\""), "result.number"},
      {block("\"0x1 \"", hash, "\"0x1\""), "result.number"},
      {block("\"0x1\"", hash, "null"), "result.timestamp"},
      // Milliseconds, nanoseconds, and the largest there is: none of them is a time in seconds.
      {block("\"0x1\"", hash, "1795243200000"), "result.timestamp"},
      {block("\"0x1\"", hash, "1795243200000000000"), "result.timestamp"},
      {block("\"0x1\"", hash, "\"0xffffffffffffffff\""), "result.timestamp"},
      {block("\"0x1\"", hash, "-5"), "result.timestamp"},
      {block("\"0x1\"", "null", "\"0x1\""), "result.hash"},
      {block("\"0x1\"", "\"0x12\"", "\"0x1\""), "result.hash"},
      {block("\"0x1\"", "\"" + std::string(66, 'a') + "\"", "\"0x1\""), "result.hash"},
      {block("\"0x1\"", "\"0x" + std::string(64, 'g') + "\"", "\"0x1\""), "result.hash"},
      {block("\"0x1\"", "1", "\"0x1\""), "result.hash"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.body.substr(0, 200));
    const ProbeFailure f = failure(c.body);
    INFO(f.detail);
    CHECK(to_string(f.code) == "bad_answer");
    CHECK(f.detail.find(c.words) != std::string::npos);
  }
}

TEST_CASE("errors, and the limits among them") {
  struct Case {
    const char* what;
    long status;
    std::string body;
    const char* code;
    const char* detail;
  };
  const std::vector<Case> cases{
      {"method not found", 200,
       R"({"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"the method eth_x does not exist/is not available"}})",
       "rpc_error", "error -32601: the method eth_x does not exist/is not available"},
      {"a result beside the error", 200,
       R"({"error":{"code":-32000,"message":"header not found"},"result":{"number":"0x1"}})", "rpc_error",
       "error -32000: header not found"},
      {"no code", 200, R"({"error":{"message":"oops"}})", "rpc_error", "error without a code: oops"},
      {"no message", 200, R"({"error":{"code":-32603}})", "rpc_error", "error -32603"},
      {"an empty object", 200, R"({"error":{}})", "rpc_error", "error without a code"},
      {"a plain string", 200, R"({"error":"Unauthorized"})", "rpc_error", "error without a code: Unauthorized"},
      {"a code in quotes", 200, R"({"error":{"code":"-32005","message":"m"}})", "rate_limited",
       "HTTP 200, error -32005: m"},
      {"EIP-1474", 200,
       R"({"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"daily request count exceeded, request rate limited"}})",
       "rate_limited", "HTTP 200, error -32005: daily request count exceeded, request rate limited"},
      {"QuickNode, HTTP's status as a code", 200, R"({"error":{"code":429,"message":"rate limit"}})", "rate_limited",
       "HTTP 200, error 429: rate limit"},
      {"QuickNode", 200, R"({"error":{"code":-32007,"message":"50/second request limit reached"}})", "rate_limited",
       "HTTP 200, error -32007: 50/second request limit reached"},
      {"words under a code that says nothing", 200,
       R"({"error":{"code":-32000,"message":"Your app has exceeded its compute units per second capacity"}})",
       "rate_limited", "HTTP 200, error -32000: Your app has exceeded its compute units per second capacity"},
      {"a quota for the day", 200, R"({"error":{"code":-32000,"message":"daily quota exceeded"}})", "rate_limited",
       "HTTP 200, error -32000: daily quota exceeded"},
      {"Nethermind's time-out", 200, R"({"error":{"code":-32016,"message":"eth_getBlockByNumber request timed out"}})",
       "rpc_error", "error -32016: eth_getBlockByNumber request timed out"},
      {"the same code with other words", 200, R"({"error":{"code":-32016,"message":"over rate limit"}})",
       "rate_limited", "HTTP 200, error -32016: over rate limit"},
      {"a network that the key is not enabled for", 403,
       R"({"error":{"code":-32600,"message":"ETH_MAINNET is not enabled for this app. Visit this page to enable it"}})",
       "http_status",
       "HTTP 403, error -32600: ETH_MAINNET is not enabled for this app. Visit this page to enable it; an error of "
       "configuration: enable the network for this key at the provider, or correct the URL"},
      {"the same in other words", 403, R"({"error":{"code":-32600,"message":"App not enabled for network: BASE"}})",
       "http_status",
       "HTTP 403, error -32600: App not enabled for network: BASE; an error of configuration: enable the network for "
       "this key at the provider, or correct the URL"},
      {"a cap", 200, R"({"error":{"code":-32000,"message":"You have reached your request cap"}})", "rate_limited",
       "HTTP 200, error -32000: You have reached your request cap"},
      {"the sequencer limits an account, not us", 200,
       R"({"error":{"code":-32000,"message":"sender is over rate limit"}})", "rpc_error",
       "error -32000: sender is over rate limit"},
      {"billing", 402, "", "rate_limited", "HTTP 402"},
      {"billing in words", 403, R"({"error":"Monthly capacity limit exceeded"})", "rate_limited",
       "HTTP 403, error without a code: Monthly capacity limit exceeded"},
      {"a key that is not let in", 403, "", "http_status", "HTTP 403"},
      {"Hedera's relay", 429,
       R"({"jsonrpc":"2.0","id":1,"error":{"code":-32605,"message":"IP Rate limit exceeded on eth_getBlockByNumber"}})",
       "rate_limited", "HTTP 429, error -32605: IP Rate limit exceeded on eth_getBlockByNumber"},
      {"Sei", 429, "too many requests\n", "rate_limited", "HTTP 429"},
      {"429 with nothing", 429, "", "rate_limited", "HTTP 429"},
      {"a limit told with another status", 403, R"({"error":{"code":-32005,"message":"quota"}})", "rate_limited",
       "HTTP 403, error -32005: quota"},
      {"unauthorised", 401, R"({"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"Must be authenticated!"}})",
       "http_status", "HTTP 401, error -32000: Must be authenticated!"},
      {"a good answer with a bad status", 500, block("\"0x1\"", kHash, "\"0x2\""), "http_status", "HTTP 500"},
      {"a page", 503, "<html>", "http_status", "HTTP 503"},
      {"redirect", 302, "", "http_status", "HTTP 302, redirects are not followed"},
      {"created", 201, block("\"0x1\"", kHash, "\"0x2\""), "http_status", "HTTP 201"},
      {"the key in the message", 200,
       R"({"error":{"code":-32000,"message":"key 0123456789abcdef at \/v2\/0123456789abcdef\nis \u0000 unknown é"}})",
       "rpc_error", "error -32000: key ... at /v2/... is   unknown ??"},
  };
  for (const Case& c : cases) {
    CAPTURE(std::string(c.what));
    const ProbeFailure f = failure(c.body, c.status);
    CHECK(to_string(f.code) == c.code);
    CHECK(f.detail == c.detail);
    CHECK_FALSE(parsed(CheckKind::kIdentity, c.body, c.status).has_value());
  }
  HttpAnswer slow = answer("", 429);
  slow.retry_after = std::chrono::seconds{9};
  CHECK(head_of(slow).error().retry_after == milliseconds{9000});
}

TEST_CASE("rate limits in the words of more providers") {
  for (const char* words :
       {"You've reached the maximum CUPS limit", "not enough CUPs", "maximum qps limit reached",
        "your credits limited to 100/s", "You have reached the maximum API usage limit", "please upgrade your plan",
        "Upgrade to paid tier at https://provider.test", "upgrade from discover plan", "ResourceExhausted",
        "No server available to handle the request"}) {
    CAPTURE(std::string(words));
    const std::string body = fmt::format(R"({{"id":1,"error":{{"code":-32000,"message":"{}"}}}})", words);
    CHECK(to_string(failure(body).code) == "rate_limited");
    CHECK(to_string(failure(body, 403).code) == "rate_limited");
  }
}

TEST_CASE("an answer with another request's id is none, a missing or null id does no harm") {
  const auto head = [](std::string_view id) {
    return head_of(answer(
        fmt::format(R"({{"jsonrpc":"2.0",{}"result":{{"number":"0x1","hash":{},"timestamp":"0x2"}}}})", id, kHash)));
  };
  for (const char* fine : {"", R"("id":null,)", R"("id":1,)", R"("id":"1",)", R"("id":1.0,)"}) {
    CAPTURE(std::string(fine));
    CHECK(head(fine).has_value());
  }
  for (const char* other : {R"("id":2,)", R"("id":0,)", R"("id":"",)", R"("id":"7",)", R"("id":-1,)", R"("id":true,)",
                            R"("id":{"x":1},)", R"("id":1.5,)"}) {
    CAPTURE(std::string(other));
    REQUIRE_FALSE(head(other).has_value());
    CHECK(head(other).error().code == Reason::kBadAnswer);
    CHECK(head(other).error().detail == "it answers another request: its id is not ours");
  }
  CHECK(parsed(CheckKind::kIdentity, R"({"id":5,"result":"0x1"})").error().code == Reason::kBadAnswer);
  // A limit is one, whichever request met it.
  CHECK(failure(R"({"id":5,"error":{"code":-32005,"message":"limit"}})").code == Reason::kRateLimited);
  CHECK(failure(R"({"id":5,"error":{"code":-32601,"message":"not found"}})").code == Reason::kBadAnswer);
}

TEST_CASE("the chain id") {
  const auto id = [](std::string_view result) -> std::expected<std::string, ProbeFailure> {
    auto out = parsed(CheckKind::kIdentity, fmt::format(R"({{"jsonrpc":"2.0","id":1,"result":{}}})", result));
    if (!out) return std::unexpected(out.error());
    return out->text;
  };
  CHECK(id(R"("0x1")") == "1");
  CHECK(id(R"("0x531")") == "1329");
  CHECK(id("137") == "137");
  CHECK(id(R"("137")") == "137");
  for (const char* bad :
       {"null", "true", "{}", "[]", R"("")", R"("0x")", R"("mainnet")", "-1", "1.0", R"("0x1ffffffffffffffff")"}) {
    CAPTURE(std::string(bad));
    REQUIRE_FALSE(id(bad).has_value());
    CHECK(id(bad).error().code == Reason::kBadAnswer);
    CHECK(id(bad).error().detail == "result is not a chain id");
  }
}

TEST_CASE("syncing: what geth, Nitro and others say") {
  const auto gap = [](std::string_view result) {
    return parsed(CheckKind::kSyncing, fmt::format(R"({{"jsonrpc":"2.0","id":1,"result":{}}})", result))->number;
  };
  CHECK(gap("false") == 0);
  CHECK(gap("true") == kUnknownGap);
  CHECK(gap(R"({"startingBlock":"0x0","currentBlock":"0x1518","highestBlock":"0x9567a3"})") == 0x9567a3 - 0x1518);
  CHECK(gap(R"({"currentBlock":"0x10","highestBlock":"0x10","txIndexRemainingBlocks":"0x5"})") == 0);
  CHECK(gap(R"({"currentBlock":"0x11","highestBlock":"0x10"})") == 0);
  CHECK(gap(R"({"batchSeen":7,"batchProcessed":5,"msgCount":12})") == kUnknownGap);
  CHECK(gap("{}") == 0);
  CHECK(gap("{ }") == 0);
  for (const char* bad : {"null", "1", "[]", R"("false")"}) {
    CAPTURE(std::string(bad));
    const auto answer = parsed(CheckKind::kSyncing, fmt::format(R"({{"jsonrpc":"2.0","id":1,"result":{}}})", bad));
    REQUIRE_FALSE(answer.has_value());
    CHECK(answer.error().code == Reason::kBadAnswer);
    CHECK_FALSE(answer.error().unsupported);
  }
}

TEST_CASE("a provider does not offer a method when it says so by code or status") {
  struct Case {
    long status;
    std::string_view body;
    bool unsupported;
  };
  const std::vector<Case> cases{
      {200, R"({"error":{"code":-32601,"message":"the method net_peerCount does not exist/is not available"}})", true},
      {400, R"({"error":{"code":-32601,"message":"[Request ID: 1] Method net_peerCount not found"}})", true},
      {200, R"({"error":{"code":-32004,"message":"nope"}})", true},
      {200, R"({"error":{"code":-32604,"message":"nope"}})", true},
      // A gateway that is about to fail says the same.
      {200, R"({"error":{"code":-32000,"message":"eth_syncing is not supported on Sei EVM RPC"}})", false},
      {200, R"({"error":{"code":-32000,"message":"backend not available"}})", false},
      {400, "", false},
      {403, "", true},
      {405, "", true},
      {404, "<html>", true},
      {501, "", true},
      {200, R"({"error":{"code":-32000,"message":"internal error"}})", false},
      {500, "", false},
      {200, "<html>", false},
      {429, R"({"error":{"code":-32601,"message":"x"}})", false},
  };
  for (const Case& c : cases) {
    CAPTURE(std::string(c.body));
    const auto answer = parsed(CheckKind::kPeers, c.body, c.status);
    REQUIRE_FALSE(answer.has_value());
    CHECK(answer.error().unsupported == c.unsupported);
  }
}

TEST_CASE("the block at a height") {
  const Check check{CheckKind::kBlock, 0x10};
  const auto hash = parsed(check, block(R"("0x10")", kHash, R"("0x1")"));
  REQUIRE(hash.has_value());
  CHECK(fmt::format("\"{}\"", hash->text) == kHash);
  CHECK(parsed(check, R"({"jsonrpc":"2.0","id":1,"result":null})")->text.empty());
  CHECK(parsed(check, block(R"("0x11")", kHash, R"("0x1")")).error().code == Reason::kBadAnswer);
  CHECK(parsed(check, block(R"("0x10")", R"("0x12")", R"("0x1")")).error().code == Reason::kBadAnswer);
}

TEST_CASE("the requests are what execution-apis says") {
  REQUIRE(evm().head_requests().size() == 1);
  CHECK(evm().head_requests()[0].body ==
        R"({"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["latest",false]})");
  const auto is = [](const Check& check, std::string_view method, std::string_view params) {
    const config::Canary canary{"eth_call", R"([{"to":"0x00"},"latest"])", milliseconds{60'000}};
    CHECK(evm().request(check, &canary).body ==
          fmt::format(R"({{"jsonrpc":"2.0","id":1,"method":"{}","params":{}}})", method, params));
  };
  is({CheckKind::kIdentity}, "eth_chainId", "[]");
  is({CheckKind::kSyncing}, "eth_syncing", "[]");
  is({CheckKind::kPeers}, "net_peerCount", "[]");
  is({CheckKind::kBlock, 0}, "eth_getBlockByNumber", R"(["0x0",false])");
  is({CheckKind::kBlock, 23932672}, "eth_getBlockByNumber", R"(["0x16d2f00",false])");
  is({CheckKind::kCanary, 0}, "eth_call", R"([{"to":"0x00"},"latest"])");
}

TEST_CASE("a batch, and the parts of its answer by their ids") {
  const std::vector<Check> checks{{CheckKind::kSyncing}, {CheckKind::kIdentity}};
  CHECK(evm().batch_request(checks).body ==
        fmt::format("[{},{},{}]", evm().head_requests()[0].body,
                    R"({"jsonrpc":"2.0","id":2,"method":"eth_syncing","params":[]})",
                    R"({"jsonrpc":"2.0","id":3,"method":"eth_chainId","params":[]})"));
  CHECK(evm().batch_request({}).body == fmt::format("[{}]", evm().head_requests()[0].body));

  // By the numbers that they have as results.
  const auto parts = [](std::string_view body, long status = 200) {
    std::string out;
    for (const auto& part : evm().read_batch(answer(body, status), 3)) {
      const auto value = part ? evm().answer({CheckKind::kPeers}, *part, {provider()}) : AnswerValue{};
      out += !part ? "- " : value ? fmt::format("{} ", value->number) : "? ";
    }
    return out;
  };
  CHECK(parts(R"([{"id":1,"result":7},{"id":2,"result":"0x8"},{"id":3,"result":9}])") == "7 8 9 ");
  CHECK(parts(R"( [ {"a":{"id":2},"id":3,"result":9} , {"result":7,"id":"0x1"} ] )") == "7 - 9 ");
  CHECK(parts(R"([{"id":1,"error":{"code":1}},{"id":2},{"id":3,"result":{}}])") == "? ? ? ");
  CHECK(parts(R"([{"id":2,"result":{}},{"id":2,"result":5}])") == "- 5 - ");
  for (const std::string_view odd : {R"({"id":0})", R"({"id":4})", R"({"id":-1})", R"({"id":null})", R"({"id":1.5})",
                                     R"({"x":1})", R"({"id":[2]})", "1", "[]", R"("id")"})
    CHECK(parts(fmt::format(R"([{},{{"id":2,"result":5}}])", odd)) == "- 5 - ");
  CHECK(parts(R"([{"id":1,"result":7},{"id":2,"result":8},{"id":3,"result":9},{"id":4}])") == "- - - ");
  for (const std::string_view none :
       {R"({"id":1,"result":7})", "[]", "", "<html>", R"([{"id":1,"result":7},{"id":2})", R"([{"id":1,"result":7}]])",
        R"([{"id":1,"result":7},])", "[{\"id\":1,\"result\":7},\"\xff\"]"})
    CHECK(parts(none) == "- - - ");
  CHECK(parts(R"([{"id":1,"result":7}])", 500) == "- - - ");

  const auto whole =
      evm().read_batch(answer(fmt::format(R"([{},{{"id":2,"result":{{}}}},{{"id":3,"result":{{"x":1}}}}])",
                                          block(R"("0x10")", kHash, R"("0x1")"))),
                       3);
  REQUIRE((whole[0] && whole[1] && whole[2]));
  const std::vector<family::Outcome> newest{*whole[0]};
  CHECK(evm().head(newest, {provider()})->number == 16);
  CHECK(evm().answer({CheckKind::kSyncing}, *whole[1], {provider()})->number == 0);
  CHECK(evm().answer({CheckKind::kSyncing}, *whole[2], {provider()})->number == kUnknownGap);
}

TEST_CASE("text that is no UTF-8 is no answer, wherever it stands") {
  const std::vector<std::string> good{"\xC2\x80",     "\xDF\xBF",     "\xE0\xA0\x80",     "\xEC\xBF\xBF",
                                      "\xED\x9F\xBF", "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"};
  const std::vector<std::string> bad{"\x80",
                                     "\xBF",
                                     "\xC0\x80",
                                     "\xC1\xBF",
                                     "\xC2",
                                     "\xC2\x41",
                                     "\xE0\x9F\xBF",
                                     "\xE1\x80",
                                     "\xE1\x80\x41",
                                     "\xED\xA0\x80",
                                     "\xED\xBF\xBF",
                                     "\xF0\x8F\xBF\xBF",
                                     "\xF1\x80\x80",
                                     "\xF4\x90\x80\x80",
                                     "\xF5\x80\x80\x80",
                                     "\xFE",
                                     "\xFF",
                                     "\xC2\xC2\x80"};
  for (std::size_t before = 0; before < 17; ++before) {
    const auto accepted = [&](const std::string& bytes) {
      const std::string body = fmt::format(R"({{"x":"{}{}","result":"0x1"}})", std::string(before, 'x'), bytes);
      return parsed(CheckKind::kIdentity, body).has_value();
    };
    for (const std::string& bytes : good) CHECK(accepted(bytes));
    for (const std::string& bytes : bad) CHECK_FALSE(accepted(bytes));
    for (const std::string& bytes : good) CHECK_FALSE(accepted(bytes.substr(0, bytes.size() - 1)));
  }
  // The last bytes of the text.
  CHECK_FALSE(parsed(CheckKind::kIdentity, "{\"result\":\"0x1\"}\xE1\x80").has_value());
}
