#include "traffic/answer.hpp"

#include <rapidjson/document.h>

#include <charconv>

#include "sim/sim.hpp"
#include "traffic/scenario.hpp"

namespace rpcw::bench {
namespace {

constexpr int kLimitExceeded = -32005;

Verdict judge_body(const std::string& body) {
  rapidjson::Document json;
  json.Parse(body.data(), body.size());
  if (json.HasParseError() || !json.IsObject()) return Verdict::kError;
  if (const auto error = json.FindMember("error"); error != json.MemberEnd()) {
    if (!error->value.IsObject()) return Verdict::kError;
    const auto code = error->value.FindMember("code");
    const bool limited =
        code != error->value.MemberEnd() && code->value.IsInt() && code->value.GetInt() == kLimitExceeded;
    return limited ? Verdict::kLimited : Verdict::kError;
  }
  const auto result = json.FindMember("result");
  return result == json.MemberEnd() || result->value.IsNull() ? Verdict::kError : Verdict::kGood;
}

Verdict judge_head(std::string_view head, const Truth& truth) {
  std::uint64_t height = 0;
  const auto [end, ec] = std::from_chars(head.data(), head.data() + head.size(), height);
  if (ec != std::errc{} || end == head.data() + head.size()) return Verdict::kError;
  const std::string_view hash = head.substr(static_cast<std::size_t>(end - head.data()) + 1);
  if (height > truth.received || hash != sim::block_hash(kChainId, height)) return Verdict::kWrong;
  return height + kMaxLagBlocks < truth.sent ? Verdict::kStale : Verdict::kGood;
}

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kGood:
      return "good";
    case Verdict::kStale:
      return "stale";
    case Verdict::kWrong:
      return "wrong chain or fork";
    case Verdict::kError:
      return "error";
    case Verdict::kLimited:
      return "rate-limited";
    case Verdict::kTimedOut:
      return "timed out";
  }
  return "?";
}

Verdict judge(const Answer& answer, const Truth& truth) {
  if (answer.end == Answer::End::kTimeout) return Verdict::kTimedOut;
  if (answer.end == Answer::End::kBroken) return Verdict::kError;
  if (answer.status == 504) return Verdict::kTimedOut;
  if (answer.status == 429) return Verdict::kLimited;
  if (answer.status != 200) return Verdict::kError;
  const Verdict body = judge_body(answer.body);
  return body == Verdict::kGood ? judge_head(answer.head, truth) : body;
}

}  // namespace rpcw::bench
