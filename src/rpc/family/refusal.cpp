#include "rpc/family/refusal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

#include "base/text.hpp"

namespace rpcw::rpc::family {
namespace {

/// Words for a key that does not serve this chain: the operator has to act, no waiting helps.
constexpr std::array<std::string_view, 2> kNotEnabledWords{"not enabled for this app", "not enabled for network"};
constexpr std::string_view kNotEnabledAdvice =
    "an error of configuration: enable the network for this key at the provider, or correct the URL";

bool contains_any(std::string_view message, std::span<const std::string_view> words) {
  return std::ranges::any_of(words, [&](std::string_view w) { return message.find(w) != std::string_view::npos; });
}

/// By these providers refuse a method that they do not offer; to a check besides the head they are no failure.
constexpr std::array kUnsupportedStatuses{403L, 404L, 405L, 501L};

template <typename T, typename U>
bool has(const T& list, const U& value) {
  return std::ranges::find(list, value) != list.end();
}

}  // namespace

std::unexpected<ProbeFailure> fail(Reason code, std::string detail, bool unsupported) {
  return std::unexpected(ProbeFailure{code, std::move(detail), std::nullopt, unsupported});
}

std::expected<void, ProbeFailure> require_good(const Errors& rules, const Layout& layout, const Reply& r,
                                               const HttpTarget& target) {
  static const Picked kNothing;
  const auto at = [&](Slot s) -> const Picked& { return s == kNowhere ? kNothing : r.values[s]; };
  const bool has_error = at(layout.error).present();
  const std::string& code = at(layout.code).text;
  // Some gateways answer {"error":"Unauthorized"}.
  const Picked& told = at(layout.message).present() ? at(layout.message) : at(layout.other_message);
  const std::string& message =
      (at(layout.error).kind == Picked::Kind::kString && layout.error != layout.code ? at(layout.error) : told).text;
  const auto describe = [&] {
    std::string out = !code.empty()             ? "error " + target.scrub(code)
                      : layout.code == kNowhere ? "error"
                                                : "error without a code";
    if (!message.empty()) out += ": " + target.scrub(message);
    return out;
  };
  const std::string words = has_error ? lower(message) : std::string();

  constexpr long kPaymentRequired = 402;
  constexpr long kTooManyRequests = 429;
  const bool limit_words = contains_any(words, rules.limit_words) && !contains_any(words, rules.no_limit_words);
  if (r.status == kTooManyRequests || r.status == kPaymentRequired || r.limit_page ||
      (has_error && (has(rules.limit_codes, code) || limit_words)))
    return std::unexpected(
        ProbeFailure{Reason::kRateLimited,
                     has_error ? fmt::format("HTTP {}, {}", r.status, describe()) : fmt::format("HTTP {}", r.status),
                     r.retry_after});
  const bool unsupported =
      (has_error && !r.of_another && has(rules.unsupported_codes, code)) || has(kUnsupportedStatuses, r.status);
  const bool not_enabled = has_error && contains_any(words, kNotEnabledWords);
  if (r.status != 200) {
    std::string detail = fmt::format("HTTP {}", r.status);
    if (r.status >= 300 && r.status < 400) detail += ", redirects are not followed";
    if (has_error) detail += ", " + describe();
    if (not_enabled) detail += fmt::format("; {}", kNotEnabledAdvice);
    return fail(Reason::kHttpStatus, std::move(detail), unsupported);
  }
  if (!r.json) return fail(Reason::kBadAnswer, std::string(r.fault));
  if (r.of_another) return fail(Reason::kBadAnswer, "it answers another request: its id is not ours");
  if (has_error) {
    std::string detail = describe();
    if (not_enabled) detail += fmt::format("; {}", kNotEnabledAdvice);
    return fail(Reason::kRpcError, std::move(detail), unsupported);
  }
  return {};
}

}  // namespace rpcw::rpc::family
