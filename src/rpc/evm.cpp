#include "rpc/evm.hpp"

#include <fmt/format.h>

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

std::unexpected<ProbeFailure> fail(Reason code, std::string detail, std::optional<milliseconds> retry_after = {}) {
  return std::unexpected(ProbeFailure{code, std::move(detail), retry_after});
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
  if (answer.status == 429 || (has_error && is_rate_limit(values[1].text)))
    return fail(Reason::kRateLimited,
                has_error ? fmt::format("HTTP {}, {}", answer.status, describe(values, target))
                          : fmt::format("HTTP {}", answer.status),
                answer.retry_after);
  if (answer.status != 200) {
    std::string detail = fmt::format("HTTP {}", answer.status);
    if (answer.status >= 300 && answer.status < 400) detail += ", redirects are not followed";
    if (has_error) detail += ", " + describe(values, target);
    return fail(Reason::kHttpStatus, std::move(detail));
  }
  if (!json) return fail(Reason::kBadAnswer, std::string(looks_like(answer.body)));
  if (has_error) return fail(Reason::kRpcError, describe(values, target));
  return {};
}

}  // namespace

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
  constexpr std::size_t kHashChars = 66;
  const bool hash_ok = v[5].kind == Picked::Kind::kString && v[5].text.size() == kHashChars &&
                       v[5].text.starts_with("0x") &&
                       v[5].text.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string::npos;
  if (!hash_ok) return fail(Reason::kBadAnswer, "result.hash is not a block hash");
  std::ranges::transform(v[5].text, v[5].text.begin(),
                         [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; });
  return Head{*number, std::move(v[5].text), WallTime{std::chrono::seconds{*timestamp}}};
}

std::expected<std::uint64_t, ProbeFailure> parse_chain_id(const HttpAnswer& answer, const HttpTarget& target) {
  static constexpr std::array<std::string_view, 4> kPointers{"/error", "/error/code", "/error/message", "/result"};
  std::array<Picked, kPointers.size()> v;
  if (auto ok = check(answer, target, kPointers, v); !ok) return std::unexpected(std::move(ok.error()));
  const auto id = to_integer(v[3]);
  if (!id) return fail(Reason::kBadAnswer, "result is not a chain id");
  return *id;
}

}  // namespace rpcw::rpc::evm
