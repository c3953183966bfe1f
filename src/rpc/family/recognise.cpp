#include "rpc/family/recognise.hpp"

#include <array>
#include <string_view>

#include "rpc/family/registry.hpp"

namespace rpcw::rpc::family {
namespace {

/// Pointers that tell families apart in their answers to a method that does not exist.
constexpr std::array<std::string_view, 7> kMarks{"/result/error", "/error/name", "/errors",       "/_status",
                                                 "/jsonrpc",      "/error/code", "/error/message"};
enum Mark : std::uint8_t { kXrpl, kNear, kGraphQl, kMirror, kJsonRpc, kCode, kMessage };

}  // namespace

Recogniser::Recogniser(const HttpTarget& target) : target_(target) {
  ask_for({"evm"});
}

const HttpRequest* Recogniser::next() const {
  return family_ != nullptr || at_ >= steps_.size() || at_ >= kMostRequests ? nullptr : &steps_[at_].request;
}

void Recogniser::failed() {
  at_ = kMostRequests;
}

/// Adds the families' identity checks, equal ones once.
void Recogniser::ask_for(std::initializer_list<std::string_view> families) {
  for (const std::string_view name : families) {
    const Family& family = *find(name);
    HttpRequest request = family.request({CheckKind::kIdentity});
    bool known = false;
    for (Step& step : steps_)
      if (step.request.path == request.path && step.request.body == request.body) {
        step.candidates.push_back(&family);
        known = true;
      }
    if (!known) steps_.push_back({std::move(request), {&family}});
  }
}

void Recogniser::answered(const HttpAnswer& answer) {
  const std::size_t step = at_++;
  for (const Family* candidate : steps_[step].candidates)
    if (fits(*candidate, answer)) return;
  if (step == 0) plan(answer);
}

bool Recogniser::fits(const Family& family, const HttpAnswer& answer) {
  const Check check{CheckKind::kIdentity};
  const auto value = family.answer(check, family.read(check.kind, answer), {target_});
  if (!value) return false;
  family_ = &family;
  identity_ = value->text;
  return true;
}

/// The answer to an EVM method by a node of another family.
void Recogniser::plan(const HttpAnswer& first) {
  std::array<Picked, kMarks.size()> marks;
  const bool json = pick(first.body, kMarks, marks);
  const auto has = [&](Mark mark) { return json && marks[mark].present(); };
  if (has(kXrpl))
    ask_for({"xrpl"});
  else if (has(kNear))
    ask_for({"near"});
  else if (has(kGraphQl))
    ask_for({"sui"});
  else if (has(kMirror))
    ask_for({"hedera"});
  else if (has(kCode) && !has(kJsonRpc))
    ask_for({"bitcoin"});
  else if (has(kCode) && marks[kMessage].text.starts_with("no such method"))
    ask_for({"stellar-rpc", "solana", "cometbft", "substrate"});
  else if (has(kCode))
    ask_for({"solana", "cometbft", "substrate", "starknet"});
  else
    // The first two are one request.
    ask_for({"aptos", "horizon", "algorand", "beacon", "tron"});
}

}  // namespace rpcw::rpc::family
