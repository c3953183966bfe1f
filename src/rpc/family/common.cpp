#include "rpc/family/common.hpp"

#include "weighter/state/observation.hpp"

namespace rpcw::rpc::family {

std::vector<std::string_view> limit_words() {
  // As erpc's error_normalizer.go collects them, and more of providers' documentation.
  return {"requests limited to",
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
          "no server available",
          "rps limit",
          "allowed_rps",
          "monthly quota"};
}

std::optional<std::uint64_t> any_true(std::span<const Picked* const> values) {
  std::optional<std::uint64_t> out;
  for (const Picked* value : values) {
    if (value->kind == Picked::Kind::kMissing) continue;
    if (value->kind != Picked::Kind::kBool) return std::nullopt;
    if (value->text == "true") return kUnknownGap;
    out = 0;
  }
  return out;
}

std::optional<std::uint64_t> difference(std::span<const Picked* const> values) {
  const auto low = to_integer(*values[0]);
  const auto high = to_integer(*values[1]);
  if (!low || !high) return std::nullopt;
  return *high > *low ? *high - *low : 0;
}

Errors json_rpc_errors() {
  Errors out;
  out.limit_words = limit_words();
  return out;
}

}  // namespace rpcw::rpc::family
