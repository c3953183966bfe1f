#include "rpc/evm.hpp"

#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <tuple>
#include <utility>

#include "base/text.hpp"
#include "rpc/json_pick.hpp"

namespace rpcw::rpc::evm {
namespace {

/// What `Reply::values` holds.
enum Value : std::uint8_t {
  kId,
  kError,
  kErrorCode,
  kErrorMessage,
  kResult,
  kNumber,
  kHash,
  kTimestamp,
  kCurrentBlock,
  kHighestBlock
};
constexpr std::array<std::string_view, std::tuple_size_v<decltype(Reply::values)>> kPointers{"/id",
                                                                                             "/error",
                                                                                             "/error/code",
                                                                                             "/error/message",
                                                                                             "/result",
                                                                                             "/result/number",
                                                                                             "/result/hash",
                                                                                             "/result/timestamp",
                                                                                             "/result/currentBlock",
                                                                                             "/result/highestBlock"};

/// JSON-RPC codes that mean "too many requests" on EVM; on other families some of them mean something else.
/// -32016 is not among them: some providers mean a limit by it and say so in words, Nethermind means a time-out.
constexpr std::array<std::string_view, 4> kRateLimits{
    "-32005",  // EIP-1474 "limit exceeded"; Infura
    "-32007",  // QuickNode, "…/second request limit reached"
    "-32605",  // Hedera's relay, "IP rate limit exceeded"
    "429",     // QuickNode: HTTP's status as a code
};

bool is_rate_limit(std::string_view code) {
  return std::ranges::find(kRateLimits, code) != kRateLimits.end();
}

/// Words of providers for the same, under codes that say nothing (as erpc's error_normalizer.go collects them).
constexpr std::array<std::string_view, 28> kRateLimitWords{"requests limited to",
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
                                                           "ratelimit",
                                                           "maximum cups limit",
                                                           "not enough cups",
                                                           "maximum qps limit",
                                                           "credits limited to",
                                                           "maximum api usage limit",
                                                           "upgrade your plan",
                                                           "upgrade to paid tier",
                                                           "upgrade from discover plan",
                                                           "resourceexhausted",
                                                           "no server available"};
/// The chain's sequencer limits an account, not the provider us.
constexpr std::string_view kNotOurLimit = "sender is over rate limit";

bool contains_any(std::string_view message, std::span<const std::string_view> words) {
  return std::ranges::any_of(words, [&](std::string_view w) { return message.find(w) != std::string_view::npos; });
}

bool words_of_rate_limit(std::string_view message) {
  const std::string text = lower(message);
  return contains_any(text, kRateLimitWords) && text.find(kNotOurLimit) == std::string::npos;
}

/// Codes that mean "we do not offer this method". A status or words do not count: a gateway whose nodes are gone
/// answers "not available" as well, and it comes back.
constexpr std::array<std::string_view, 3> kUnsupportedCodes{
    "-32601",  // JSON-RPC 2.0, "method not found"
    "-32004",  // EIP-1474, "method not supported"
    "-32604",  // several gateways, "method not allowed"
};

bool says_unsupported(std::string_view code) {
  return std::ranges::find(kUnsupportedCodes, code) != kUnsupportedCodes.end();
}

/// Words for a key that does not serve this chain: the operator has to act, no waiting helps.
constexpr std::array<std::string_view, 2> kNotEnabledWords{"not enabled for this app", "not enabled for network"};
constexpr std::string_view kNotEnabledAdvice =
    "an error of configuration: enable the network for this key at the provider, or correct the URL";

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

/// Some gateways answer {"error":"Unauthorized"}.
const std::string& error_message(const Reply& r) {
  return (r.values[kError].kind == Picked::Kind::kString ? r.values[kError] : r.values[kErrorMessage]).text;
}

std::string describe(const Reply& r, const HttpTarget& target) {
  const std::string& code = r.values[kErrorCode].text;
  const std::string& message = error_message(r);
  std::string out = code.empty() ? "error without a code" : "error " + target.scrub(code);
  if (!message.empty()) out += ": " + target.scrub(message);
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

/// Checks what every JSON-RPC answer shares.
std::expected<void, ProbeFailure> require_result(const Reply& r, const HttpTarget& target) {
  const bool has_error = r.values[kError].present();
  const std::string& code = r.values[kErrorCode].text;
  constexpr long kPaymentRequired = 402;
  constexpr long kTooManyRequests = 429;
  const bool limited = r.status == kTooManyRequests || r.status == kPaymentRequired ||
                       (has_error && (is_rate_limit(code) || words_of_rate_limit(error_message(r))));
  if (limited)
    return std::unexpected(ProbeFailure{
        Reason::kRateLimited,
        has_error ? fmt::format("HTTP {}, {}", r.status, describe(r, target)) : fmt::format("HTTP {}", r.status),
        r.retry_after});
  const bool unsupported = has_error && !r.of_another && says_unsupported(code);
  const bool not_enabled = has_error && contains_any(lower(error_message(r)), kNotEnabledWords);
  if (r.status != 200) {
    std::string detail = fmt::format("HTTP {}", r.status);
    if (r.status >= 300 && r.status < 400) detail += ", redirects are not followed";
    if (has_error) detail += ", " + describe(r, target);
    if (not_enabled) detail += fmt::format("; {}", kNotEnabledAdvice);
    return fail(Reason::kHttpStatus, std::move(detail), unsupported);
  }
  if (!r.json) return fail(Reason::kBadAnswer, std::string(looks_like(r.body)));
  if (r.of_another) return fail(Reason::kBadAnswer, "it answers another request: its id is not ours");
  if (has_error) {
    std::string detail = describe(r, target);
    if (not_enabled) detail += fmt::format("; {}", kNotEnabledAdvice);
    return fail(Reason::kRpcError, std::move(detail), unsupported);
  }
  return {};
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
std::expected<AnswerValue, ProbeFailure> syncing(const Reply& r) {
  const Picked& result = r.values[kResult];
  if (result.kind == Picked::Kind::kBool) return AnswerValue{result.text == "false" ? 0 : kUnknownGap, {}};
  if (result.kind != Picked::Kind::kObject) return fail(Reason::kBadAnswer, "result is neither false nor an object");
  const auto current = to_integer(r.values[kCurrentBlock]);
  const auto highest = to_integer(r.values[kHighestBlock]);
  if (current && highest) return AnswerValue{*highest > *current ? *highest - *current : 0, {}};
  // An empty object: nothing is left to do.
  return AnswerValue{result.text == "{}" ? 0 : kUnknownGap, {}};
}

/// Every single request has the id 1. Null stands in answers to what could not be read, and some gateways leave the id
/// out or give it back in another notation.
bool is_other_id(const Picked& id) {
  return id.present() && id.text != "1.0" && to_integer(id) != std::uint64_t{1};
}

/// The request for what needs no argument.
std::string plain_request(CheckKind kind, std::size_t id) {
  const std::string_view method = kind == CheckKind::kIdentity  ? "eth_chainId"
                                  : kind == CheckKind::kSyncing ? "eth_syncing"
                                                                   : "net_peerCount";
  return fmt::format(R"({{"jsonrpc":"2.0","id":{},"method":"{}","params":[]}})", id, method);
}

}  // namespace

std::string request(const Check& check, const config::Canary* canary) {
  switch (check.kind) {
    case CheckKind::kIdentity:
    case CheckKind::kSyncing:
    case CheckKind::kPeers:
      return plain_request(check.kind, 1);
    case CheckKind::kBlock:
      return fmt::format(R"({{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["{:#x}",false]}})",
                         check.argument);
    case CheckKind::kCanary:
      return fmt::format(R"({{"jsonrpc":"2.0","id":1,"method":{},"params":{}}})", json_string(canary->method),
                         canary->params_json);
  }
  return {};
}

std::string batch_request(std::span<const Check> checks) {
  // The head request's id is 1.
  std::string out = fmt::format("[{}", kHeadRequest);
  for (std::size_t i = 0; i < checks.size(); ++i) out += ',' + plain_request(checks[i].kind, i + 2);
  return out + ']';
}

Reply read_reply(const HttpAnswer& answer) {
  Reply out{answer.status, answer.retry_after, answer.body, false, false, {}};
  out.json = pick(answer.body, kPointers, out.values);
  // What was found before it turned out not to be JSON.
  if (!out.json) out.values = {};
  out.of_another = is_other_id(out.values[kId]);
  return out;
}

std::vector<std::optional<Reply>> read_batch(const HttpAnswer& answer, std::size_t count) {
  std::vector<std::optional<Reply>> out(count);
  if (answer.status != 200) return out;
  Reply each{answer.status, answer.retry_after, answer.body, true, false, {}};
  std::size_t elements = 0;
  const bool whole = pick_each(answer.body, kPointers, each.values, [&] {
    // With more than were asked for it is no answer to us, and a long one would take time.
    if (++elements > count) return false;
    // They may come in any order.
    const auto id = to_integer(each.values[kId]);
    if (id && *id >= 1 && *id <= count) out[*id - 1] = std::move(each);
    return true;
  });
  if (!whole) out.assign(count, std::nullopt);
  return out;
}

std::expected<Head, ProbeFailure> head_in(const Reply& r, const HttpTarget& target) {
  if (auto ok = require_result(r, target); !ok) return std::unexpected(std::move(ok.error()));
  if (!r.values[kResult].present())
    return fail(Reason::kBadAnswer, "it has no latest block: result is null or missing");
  const auto number = to_integer(r.values[kNumber]);
  const auto timestamp = to_integer(r.values[kTimestamp]);
  // Beyond that a time point in milliseconds overflows; no chain's clock is near it.
  constexpr std::uint64_t kLatestSecond = 100'000'000'000;
  if (!number) return fail(Reason::kBadAnswer, "result.number is not a block number");
  if (!timestamp || *timestamp > kLatestSecond) return fail(Reason::kBadAnswer, "result.timestamp is not a time");
  std::string hash = block_hash(r.values[kHash]);
  if (hash.empty()) return fail(Reason::kBadAnswer, "result.hash is not a block hash");
  return Head{*number, std::move(hash), WallTime{std::chrono::seconds{*timestamp}}};
}

std::expected<AnswerValue, ProbeFailure> answer_in(const Check& check, const Reply& r, const HttpTarget& target) {
  if (auto ok = require_result(r, target); !ok) return std::unexpected(std::move(ok.error()));
  const Picked& result = r.values[kResult];
  switch (check.kind) {
    case CheckKind::kIdentity:
    case CheckKind::kPeers: {
      const auto number = to_integer(result);
      if (number) return AnswerValue{*number, {}};
      return fail(Reason::kBadAnswer,
                  check.kind == CheckKind::kIdentity ? "result is not a chain id" : "result is not a number of peers");
    }
    case CheckKind::kSyncing:
      return syncing(r);
    case CheckKind::kBlock: {
      if (!result.present()) return AnswerValue{};  // it has no such block
      std::string hash = block_hash(r.values[kHash]);
      // A cache may answer with another block than was asked for.
      if (hash.empty() || to_integer(r.values[kNumber]) != check.argument)
        return fail(Reason::kBadAnswer, "result is not the block that was asked for");
      return AnswerValue{0, std::move(hash)};
    }
    case CheckKind::kCanary:
      if (result.kind == Picked::Kind::kMissing) return fail(Reason::kBadAnswer, "it has neither result nor error");
      return AnswerValue{};
  }
  return AnswerValue{};
}

}  // namespace rpcw::rpc::evm
