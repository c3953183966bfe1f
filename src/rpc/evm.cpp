#include "rpc/evm.hpp"

#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <utility>

#include "rpc/json_pick.hpp"

namespace rpcw::rpc::evm {
namespace {

/// JSON-RPC codes that mean "too many requests" on EVM; on other families some of them mean something else.
constexpr std::array<std::string_view, 5> kRateLimits{
    "-32005",  // EIP-1474 "limit exceeded"; Infura
    "-32007",  // QuickNode, "…/second request limit reached"
    "-32016",  // several providers, "rate limited"
    "-32605",  // Hedera's relay, "IP rate limit exceeded"
    "429",     // QuickNode: HTTP's status as a code
};

bool is_rate_limit(std::string_view code) {
  return std::ranges::find(kRateLimits, code) != kRateLimits.end();
}

/// Words of providers for the same, under codes that say nothing (as erpc's error_normalizer.go collects them).
constexpr std::array<std::string_view, 18> kRateLimitWords{"requests limited to",
                                                           "has exceeded",
                                                           "exceeded the quota",
                                                           "too many requests",
                                                           "under too much load",
                                                           "request limit",
                                                           "reached the quota",
                                                           "upgrade your tier",
                                                           "rate limit",
                                                           "limit exceeded",
                                                           "reached the free tier",
                                                           "monthly capacity limit",
                                                           "limit for your current plan",
                                                           "quota exceeded",
                                                           "capacity exceeded",
                                                           "request cap",
                                                           "rate-limit",
                                                           "ratelimit"};
/// The chain's sequencer limits an account, not the provider us.
constexpr std::string_view kNotOurLimit = "sender is over rate limit";

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

bool contains_any(std::string_view message, std::span<const std::string_view> words) {
  return std::ranges::any_of(words, [&](std::string_view w) { return message.find(w) != std::string_view::npos; });
}

bool words_of_rate_limit(std::string_view message) {
  const std::string text = lower(message);
  return contains_any(text, kRateLimitWords) && text.find(kNotOurLimit) == std::string::npos;
}

/// Codes and words for "we do not offer this method"; statuses are those that gateways use for it.
constexpr std::array<std::string_view, 3> kUnsupportedCodes{
    "-32601",  // JSON-RPC 2.0, "method not found"
    "-32004",  // EIP-1474, "method not supported"
    "-32604",  // several gateways, "method not allowed"
};
constexpr std::array<std::string_view, 6> kUnsupportedWords{"not supported",  "unsupported", "not available",
                                                            "does not exist", "not found",   "not allowed"};
constexpr std::array<long, 5> kUnsupportedStatuses{400, 403, 404, 405, 501};

bool says_unsupported(std::string_view code, std::string_view message) {
  return std::ranges::find(kUnsupportedCodes, code) != kUnsupportedCodes.end() ||
         contains_any(lower(message), kUnsupportedWords);
}

/// A JSON string.
std::string json_string(std::string_view text) {
  rapidjson::StringBuffer out;
  rapidjson::Writer<rapidjson::StringBuffer> writer(out);
  writer.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
  return out.GetString();
}

std::unexpected<ProbeFailure> fail(Reason code, std::string detail, bool unsupported = false) {
  return std::unexpected(ProbeFailure{code, std::move(detail), std::nullopt, unsupported});
}

std::string describe(std::span<const Picked> values, const HttpTarget& target) {
  const Picked& error = values[0];
  const Picked& code = values[1];
  // Some gateways answer {"error":"Unauthorized"}.
  const Picked& message = error.kind == Picked::Kind::kString ? error : values[2];
  std::string out = code.text.empty() ? "error without a code" : "error " + target.scrub(code.text);
  if (!message.text.empty()) out += ": " + target.scrub(message.text);
  return out;
}

/// What an answer that is not JSON looks like, without quoting it: it may be a page that repeats the URL.
std::string_view looks_like(std::string_view body) {
  const std::size_t start = std::min(body.find_first_not_of(" \t\r\n"), body.size());
  body.remove_prefix(start);
  if (body.empty()) return "the body is empty";
  if (body.front() == '<') return "the body is HTML or XML, not JSON";
  if (body.front() == '{' || body.front() == '[') return "the body is broken or cut-off JSON";
  return "the body is not JSON";
}

/// Checks what every JSON-RPC answer shares. `values`: 0 is /error, 1 its code, 2 its message; the caller's follow.
std::expected<void, ProbeFailure> check(const HttpAnswer& answer, const HttpTarget& target,
                                        std::span<const std::string_view> pointers, std::span<Picked> values) {
  const bool json = pick(answer.body, pointers, values);
  const bool has_error = json && values[0].present();
  // Some gateways answer {"error":"Too many requests"}.
  const std::string_view message = values[0].kind == Picked::Kind::kString ? values[0].text : values[2].text;
  constexpr long kPaymentRequired = 402;
  constexpr long kTooManyRequests = 429;
  const bool limited = answer.status == kTooManyRequests || answer.status == kPaymentRequired ||
                       (has_error && (is_rate_limit(values[1].text) || words_of_rate_limit(message)));
  if (limited)
    return std::unexpected(ProbeFailure{Reason::kRateLimited,
                                        has_error ? fmt::format("HTTP {}, {}", answer.status, describe(values, target))
                                                  : fmt::format("HTTP {}", answer.status),
                                        answer.retry_after});
  const bool unsupported = has_error && says_unsupported(values[1].text, message);
  if (answer.status != 200) {
    std::string detail = fmt::format("HTTP {}", answer.status);
    if (answer.status >= 300 && answer.status < 400) detail += ", redirects are not followed";
    if (has_error) detail += ", " + describe(values, target);
    return fail(Reason::kHttpStatus, std::move(detail),
                unsupported || std::ranges::find(kUnsupportedStatuses, answer.status) != kUnsupportedStatuses.end());
  }
  if (!json) return fail(Reason::kBadAnswer, std::string(looks_like(answer.body)));
  if (has_error) return fail(Reason::kRpcError, describe(values, target), unsupported);
  return {};
}

/// The request for what needs no argument.
std::string plain_request(Question question, std::size_t id) {
  const std::string_view method = question == Question::kIdentity  ? "eth_chainId"
                                  : question == Question::kSyncing ? "eth_syncing"
                                                                   : "net_peerCount";
  return fmt::format(R"({{"jsonrpc":"2.0","id":{},"method":"{}","params":[]}})", id, method);
}

/// A block hash in lower case; empty: it is none.
std::string block_hash(const Picked& value) {
  constexpr std::size_t kHashChars = 66;
  const bool ok = value.kind == Picked::Kind::kString && value.text.size() == kHashChars &&
                  value.text.starts_with("0x") &&
                  value.text.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string::npos;
  if (!ok) return {};
  return lower(value.text);
}

/// false is up to date. An object tells where it stands, or, as Arbitrum's, only that it is not done. geth still sends
/// one with both ends equal while it indexes, which is no lag (go-ethereum, interfaces.go, SyncProgress.Done).
std::expected<AnswerValue, ProbeFailure> syncing(std::string_view body, std::span<const Picked> v) {
  const Picked& result = v[0];
  if (result.kind == Picked::Kind::kBool) return AnswerValue{result.text == "false" ? 0 : kUnknownGap, {}};
  if (result.kind != Picked::Kind::kObject) return fail(Reason::kBadAnswer, "result is neither false nor an object");
  const auto current = to_integer(v[1]);
  const auto highest = to_integer(v[2]);
  if (current && highest) return AnswerValue{*highest > *current ? *highest - *current : 0, {}};
  // An empty object: nothing is left to do.
  const std::size_t open = body.find("\"result\"");
  const std::size_t brace = open == std::string_view::npos ? open : body.find('{', open);
  const std::size_t next = brace == std::string_view::npos ? brace : body.find_first_not_of(" \t\r\n", brace + 1);
  return AnswerValue{next != std::string_view::npos && body[next] == '}' ? 0 : kUnknownGap, {}};
}

}  // namespace

std::string request(const Ask& ask, const config::Canary* canary) {
  switch (ask.question) {
    case Question::kIdentity:
    case Question::kSyncing:
    case Question::kPeers:
      return plain_request(ask.question, 1);
    case Question::kBlock:
      return fmt::format(R"({{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["{:#x}",false]}})",
                         ask.argument);
    case Question::kCanary:
      return fmt::format(R"({{"jsonrpc":"2.0","id":1,"method":{},"params":{}}})", json_string(canary->method),
                         canary->params_json);
  }
  return {};
}

std::string batch_request(std::span<const Ask> questions) {
  // The head request's id is 1.
  std::string out = fmt::format("[{}", kHeadRequest);
  for (std::size_t i = 0; i < questions.size(); ++i) out += ',' + plain_request(questions[i].question, i + 2);
  return out + ']';
}

std::vector<std::optional<HttpAnswer>> batch_answers(const HttpAnswer& answer, std::size_t count) {
  std::vector<std::optional<HttpAnswer>> out(count);
  if (answer.status != 200) return out;
  // They may come in any order.
  for (const std::string_view element : objects_of(answer.body)) {
    const auto id = to_integer(pick_first(element, "/id"));
    if (!id || *id == 0 || *id > count) continue;
    out[*id - 1] = answer;
    out[*id - 1]->body = element;
  }
  return out;
}

std::expected<Head, ProbeFailure> parse_head(const HttpAnswer& answer, const HttpTarget& target) {
  static constexpr std::array<std::string_view, 7> kPointers{
      "/error", "/error/code", "/error/message", "/result", "/result/number", "/result/hash", "/result/timestamp"};
  std::array<Picked, kPointers.size()> v;
  if (auto ok = check(answer, target, kPointers, v); !ok) return std::unexpected(std::move(ok.error()));
  if (!v[3].present()) return fail(Reason::kBadAnswer, "it has no latest block: result is null or missing");
  const auto number = to_integer(v[4]);
  const auto timestamp = to_integer(v[6]);
  // Beyond that a time point in milliseconds overflows; no chain's clock is near it.
  constexpr std::uint64_t kLatestSecond = 100'000'000'000;
  if (!number) return fail(Reason::kBadAnswer, "result.number is not a block number");
  if (!timestamp || *timestamp > kLatestSecond) return fail(Reason::kBadAnswer, "result.timestamp is not a time");
  std::string hash = block_hash(v[5]);
  if (hash.empty()) return fail(Reason::kBadAnswer, "result.hash is not a block hash");
  return Head{*number, std::move(hash), WallTime{std::chrono::seconds{*timestamp}}};
}

std::expected<AnswerValue, ProbeFailure> parse_answer(const Ask& ask, const HttpAnswer& answer,
                                                      const HttpTarget& target) {
  static constexpr std::array<std::string_view, 8> kPointers{
      "/error",       "/error/code",    "/error/message",       "/result",
      "/result/hash", "/result/number", "/result/currentBlock", "/result/highestBlock"};
  std::array<Picked, kPointers.size()> v;
  if (auto ok = check(answer, target, kPointers, v); !ok) return std::unexpected(std::move(ok.error()));
  const Picked& result = v[3];
  switch (ask.question) {
    case Question::kIdentity:
    case Question::kPeers: {
      const auto number = to_integer(result);
      if (number) return AnswerValue{*number, {}};
      return fail(Reason::kBadAnswer,
                  ask.question == Question::kIdentity ? "result is not a chain id" : "result is not a number of peers");
    }
    case Question::kSyncing: {
      const std::array<Picked, 3> values{result, v[6], v[7]};
      return syncing(answer.body, values);
    }
    case Question::kBlock: {
      if (!result.present()) return AnswerValue{};  // it has no such block
      std::string hash = block_hash(v[4]);
      // A cache may answer with another block than was asked for.
      if (hash.empty() || to_integer(v[5]) != ask.argument)
        return fail(Reason::kBadAnswer, "result is not the block that was asked for");
      return AnswerValue{0, std::move(hash)};
    }
    case Question::kCanary:
      if (result.kind == Picked::Kind::kMissing) return fail(Reason::kBadAnswer, "it has neither result nor error");
      return AnswerValue{};
  }
  return AnswerValue{};
}

}  // namespace rpcw::rpc::evm
