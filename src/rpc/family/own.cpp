#include "rpc/family/own.hpp"

#include <utility>

#include "rpc/family/common.hpp"

namespace rpcw::rpc::family {
namespace {

Coding coding_of(OwnFamily::Time time) {
  switch (time) {
    case OwnFamily::Time::kSeconds:
      return Coding::kSeconds;
    case OwnFamily::Time::kMilliseconds:
      return Coding::kMilliseconds;
    case OwnFamily::Time::kMicroseconds:
      return Coding::kMicroseconds;
    case OwnFamily::Time::kNanoseconds:
      return Coding::kNanoseconds;
    case OwnFamily::Time::kRfc3339:
      return Coding::kRfc3339;
    case OwnFamily::Time::kSlots:
      return Coding::kSlots;
  }
  return Coding::kSeconds;
}

Ask ask_of(const OwnFamily::Request& request) {
  return {.body = request.body,
          .path = request.path,
          .post = request.post,
          .error = request.error,
          .headers = &request.headers};
}

std::optional<std::uint64_t> true_or_behind(std::span<const Picked* const> values) {
  if (const auto behind = to_integer(*values[1])) return behind;
  return any_true(values.first(1));
}

std::optional<std::uint64_t> behind(std::span<const Picked* const> values) {
  return to_integer(*values[0]);
}

/// Views into `own`.
Spec spec_of(const OwnFamily& own) {
  Spec out;
  out.name = own.name;
  out.title = "defined in the configuration";
  out.calls = Calls::kRest;
  out.errors = {.error = {}, .code = {}, .message = {}};
  out.errors.limit_words = limit_words();
  for (const std::string& words : own.rate_limited) out.errors.limit_words.emplace_back(words);
  const Coding number = own.head.height_encoding == OwnFamily::Number::kHex ? Coding::kHex : Coding::kInteger;
  out.head = {.asks = {ask_of(own.head)},
              .number = {own.head.height, number},
              .hash = {own.head.hash, Coding::kText},
              .time = {own.head.time, coding_of(own.head.time_encoding)}};
  if (own.identity) out.identity = {.ask = ask_of(*own.identity), .value = {own.identity->id, Coding::kAnyId}};
  if (own.peers) out.peers = {.ask = ask_of(*own.peers), .pointer = own.peers->peers};
  if (own.block)
    out.block = {
        .ask = ask_of(*own.block), .hash = {own.block->hash, Coding::kText}, .number = {own.block->height, number}};
  if (own.syncing) {
    const OwnFamily::Syncing& s = *own.syncing;
    out.syncing = {.ask = ask_of(s)};
    if (!s.syncing.empty() && !s.behind.empty()) {
      out.syncing->reads = {s.syncing, s.behind};
      out.syncing->gap = &true_or_behind;
    } else {
      out.syncing->reads = {s.syncing.empty() ? s.behind : s.syncing};
      out.syncing->gap = s.syncing.empty() ? &behind : &any_true;
    }
    out.syncing->expected = "the values of [family.syncing] are neither a boolean nor a number";
  }
  return out;
}

struct Kept {
  explicit Kept(std::shared_ptr<const OwnFamily> from) : own(std::move(from)), family(spec_of(*own)) {}

  std::shared_ptr<const OwnFamily> own;
  Family family;
};

}  // namespace

std::shared_ptr<const Family> make_own(std::shared_ptr<const OwnFamily> own) {
  auto kept = std::make_shared<const Kept>(std::move(own));
  return {kept, &kept->family};
}

}  // namespace rpcw::rpc::family
