#include "rpc/family/family.hpp"

#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <utility>

#include "config/url.hpp"
#include "rpc/family/coding.hpp"
#include "rpc/family/refusal.hpp"

namespace rpcw::rpc::family {
namespace {

IdForm id_form_of(Coding coding) {
  switch (coding) {
    case Coding::kIdNumber:
      return IdForm::kNumber;
    case Coding::kHexText:
      return IdForm::kHex;
    case Coding::kHash32:
      return IdForm::kHash;
    case Coding::kFelt:
      return IdForm::kFelt;
    default:
      return IdForm::kText;
  }
}

/// A JSON string.
std::string json_string(std::string_view text) {
  rapidjson::StringBuffer out;
  rapidjson::Writer<rapidjson::StringBuffer> writer(out);
  writer.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
  return out.GetString();
}

/// Of the pointer /result/number: "result.number". Steps that look like keys are not shown.
std::string dotted_path(std::string_view pointer) {
  if (pointer.empty()) return "the answer";
  std::string out = url::without_keys(pointer.substr(1));
  std::ranges::replace(out, '/', '.');
  return out;
}

std::unexpected<ProbeFailure> not_a(std::string_view pointer, std::string_view noun) {
  return fail(Reason::kBadAnswer, fmt::format("{} is not {}", dotted_path(pointer), noun));
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

HttpRequest filled(const Ask& ask, std::uint64_t height = 0) {
  HttpRequest out;
  out.method = ask.body.empty() && !ask.post ? HttpRequest::Method::kGet : HttpRequest::Method::kPost;
  out.path = ask.path;
  out.body = ask.body;
  if (ask.headers != nullptr) out.headers = *ask.headers;
  for (std::string* part : {&out.path, &out.body}) {
    replace_all(*part, "{height:hex}", fmt::format("{:#x}", height));
    replace_all(*part, "{height}", fmt::format("{}", height));
  }
  return out;
}

}  // namespace

Family::Family(Spec spec) : spec_(std::move(spec)) {
  const HeadAsk& h = spec_.head;
  for (const Ask& ask : h.asks) {
    head_requests_.push_back(filled(ask));
    head_.push_back(basic_layout(spec_, ask, head_.empty() ? h.root : std::string_view{}));
  }
  number_ = slot_of(head_[h.number.request].pointers, h.number.pointer);
  hash_ = slot_of(head_[h.hash.request].pointers, h.hash.pointer);
  parent_ = slot_of(head_[h.hash.request].pointers, h.parent.pointer);
  time_ = slot_of(head_[h.time.request].pointers, h.time.pointer);
  other_time_ = slot_of(head_[h.time.request].pointers, h.other_time.pointer);
  for (const Must& m : h.must) must_.push_back(slot_of(head_[0].pointers, m.pointer));

  // The parts of a batch are all read with one list of pointers.
  const auto check = [&](CheckKind kind, const Ask& ask, std::string_view root) -> Pointers& {
    Layout& out = checks_[static_cast<std::size_t>(kind)];
    out = basic_layout(spec_, ask, root);
    if (!spec_.batches) return out.pointers;
    out.root = slot_of(head_[0].pointers, root);
    return head_[0].pointers;
  };
  if (spec_.identity)
    identity_ = slot_of(check(CheckKind::kIdentity, spec_.identity->ask, {}), spec_.identity->value.pointer);
  if (spec_.peers) peers_ = slot_of(check(CheckKind::kPeers, spec_.peers->ask, {}), spec_.peers->pointer);
  if (spec_.syncing) {
    Pointers& pointers = check(CheckKind::kSyncing, spec_.syncing->ask, {});
    for (const std::string_view p : spec_.syncing->reads) syncing_.push_back(slot_of(pointers, p));
  }
  if (spec_.block) {
    Pointers& pointers = check(CheckKind::kBlock, spec_.block->ask, spec_.block->root);
    block_hash_ = slot_of(pointers, spec_.block->hash.pointer);
    block_number_ = slot_of(pointers, spec_.block->number.pointer);
  }
  check(CheckKind::kCanary, h.asks.front(),
        spec_.calls == Calls::kRest ? std::string_view{} : std::string_view{"/result"});
  if (!spec_.envelope.empty()) {
    for (Layout& l : head_) l.bare = without_envelope(spec_, l.pointers);
    for (Layout& l : checks_) l.bare = without_envelope(spec_, l.pointers);
  }
  if (!spec_.batches) return;
  for (Layout& l : checks_) {
    l.pointers = head_[0].pointers;
    l.id = head_[0].id;
    l.error = head_[0].error;
    l.code = head_[0].code;
    l.message = head_[0].message;
    l.other_message = head_[0].other_message;
  }
}

Offers Family::offers() const {
  return {.hash = hash_ != kNowhere,
          .time = time_ != kNowhere,
          .identity = spec_.identity.has_value(),
          .syncing = spec_.syncing.has_value(),
          .peers = spec_.peers.has_value(),
          .block = spec_.block.has_value(),
          .id_form = spec_.identity ? id_form_of(spec_.identity->value.coding) : IdForm::kText,
          .head_requests = static_cast<unsigned>(spec_.head.asks.size())};
}

bool Family::offers(CheckKind kind) const {
  const Offers all = offers();
  switch (kind) {
    case CheckKind::kIdentity:
      return all.identity;
    case CheckKind::kSyncing:
      return all.syncing;
    case CheckKind::kPeers:
      return all.peers;
    case CheckKind::kBlock:
      return all.block;
    case CheckKind::kCanary:
      return true;
  }
  return false;
}

HttpRequest Family::request(const Check& check, const config::Canary* canary) const {
  switch (check.kind) {
    case CheckKind::kIdentity:
      return filled(spec_.identity.value().ask);
    case CheckKind::kSyncing:
      return filled(spec_.syncing.value().ask);
    case CheckKind::kPeers:
      return filled(spec_.peers.value().ask);
    case CheckKind::kBlock:
      return filled(spec_.block.value().ask, check.argument);
    case CheckKind::kCanary:
      break;
  }
  HttpRequest out;
  if (!canary->path.empty() || !canary->body.empty() || canary->method.empty()) {
    out.method = canary->method == "POST" || (canary->method.empty() && !canary->body.empty())
                     ? HttpRequest::Method::kPost
                     : HttpRequest::Method::kGet;
    out.path = canary->path;
    out.body = canary->body;
    return out;
  }
  const bool rpc = spec_.calls == Calls::kJsonRpc;
  out.body = rpc ? fmt::format(R"({{"jsonrpc":"2.0","id":1,"method":{},"params":{}}})", json_string(canary->method),
                               canary->params_json)
                 : fmt::format(R"({{"method":{},"params":{}}})", json_string(canary->method), canary->params_json);
  return out;
}

Reply Family::read_head(std::size_t request, const HttpAnswer& answer) const {
  return read_reply(spec_, head_[request], answer);
}

Reply Family::read(CheckKind kind, const HttpAnswer& answer, const config::Canary* canary) const {
  Reply out = read_reply(spec_, layout(kind), answer);
  if (kind != CheckKind::kCanary || !out.json || canary == nullptr || canary->expect.empty()) return out;
  const std::string_view pointer = canary->expect;
  pick(answer.body, std::span(&pointer, 1), std::span(&out.expected, 1));
  return out;
}

std::vector<std::pair<std::string_view, Picked>> Family::values_in(std::optional<CheckKind> kind,
                                                                   std::string_view body) const {
  const Pointers& pointers = (kind ? layout(*kind) : head_.front()).pointers;
  std::vector<Picked> values(pointers.size());
  if (!pick(body, pointers, values)) return {};
  std::vector<std::pair<std::string_view, Picked>> out;
  for (std::size_t i = 0; i < values.size(); ++i) out.emplace_back(pointers[i], std::move(values[i]));
  return out;
}

HttpRequest Family::batch_request(std::span<const Check> checks) const {
  HttpRequest out = head_requests_.front();
  out.body.insert(0, 1, '[');
  for (std::size_t i = 0; i < checks.size(); ++i) {
    std::string body = request(checks[i], nullptr).body;
    constexpr std::string_view kOwnId = R"("id":1,)";
    if (const std::size_t at = body.find(kOwnId); at != std::string::npos)
      body.replace(at, kOwnId.size(), fmt::format(R"("id":{},)", i + 2));
    out.body += ',' + body;
  }
  out.body += ']';
  return out;
}

std::vector<std::optional<Reply>> Family::read_batch(const HttpAnswer& answer, std::size_t count) const {
  std::vector<std::optional<Reply>> out(count);
  if (answer.status != 200) return out;
  const Layout& layout = head_.front();
  Reply each{.status = answer.status, .retry_after = answer.retry_after, .latency = answer.latency, .json = true};
  std::size_t elements = 0;
  const bool whole = pick_each(answer.body, layout.pointers, each.values, [&] {
    // With more elements than requests it is no answer to us, and a long one would take time.
    if (++elements > count) return false;
    // They may come in any order.
    const auto id = to_integer(each.values[layout.id]);
    if (id && *id >= 1 && *id <= count) out[*id - 1] = std::move(each);
    return true;
  });
  if (!whole) out.assign(count, std::nullopt);
  return out;
}

std::expected<Head, ProbeFailure> Family::head(std::span<const Outcome> replies, const Context& context) const {
  const HeadAsk& h = spec_.head;
  const auto good = [&](std::size_t request) -> std::expected<void, ProbeFailure> {
    if (!replies[request]) return std::unexpected(replies[request].error());
    return require_good(spec_.errors, head_[request], *replies[request], context.target);
  };
  const auto needs = [&](std::size_t request) {
    return request == 0 || (request == h.number.request) || (hash_ != kNowhere && request == h.hash.request) ||
           (time_ != kNowhere && request == h.time.request && !h.time.optional);
  };
  // The named one first: its failure is the one that tells most.
  if (auto ok = good(h.timed); !ok) return std::unexpected(std::move(ok.error()));
  for (std::size_t i = 0; i < replies.size(); ++i)
    if (i != h.timed && needs(i))
      if (auto ok = good(i); !ok) return std::unexpected(std::move(ok.error()));

  const auto value = [&](const Value& v, Slot slot) -> const Picked& { return replies[v.request]->values[slot]; };
  if (head_[0].root != kNowhere && !replies[0]->values[head_[0].root].present())
    return fail(Reason::kBadAnswer, fmt::format("it has no latest block: {} is null or missing", dotted_path(h.root)));
  for (std::size_t i = 0; i < must_.size(); ++i) {
    const Picked& found = replies[0]->values[must_[i]];
    if (found.text == h.must[i].is || (!found.present() && h.must[i].optional)) continue;
    return fail(Reason::kBadAnswer, fmt::format("{} is not {}", dotted_path(h.must[i].pointer), h.must[i].is));
  }
  Head out;
  const auto number = number_in(value(h.number, number_), h.number.coding);
  if (!number) return not_a(h.number.pointer, "a block number");
  out.number = *number;
  out.dated = false;
  if (time_ != kNowhere && (needs(h.time.request) || good(h.time.request))) {
    const bool other = other_time_ != kNowhere && !value(h.time, time_).present();
    const Value& place = other ? h.other_time : h.time;
    const Picked& written = other ? value(h.time, other_time_) : value(h.time, time_);
    const bool given = written.present() || !h.time.optional;
    const auto time = time_in(written, place.coding, context.received, context.chain);
    // Without the chain's genesis a slot is a height, and no time.
    const bool slots = place.coding == Coding::kSlots && to_integer(written);
    if (given && !time && !slots) return not_a(place.pointer, "a time");
    if (time) out.timestamp = *time;
    out.dated = time.has_value();
  }
  if (hash_ == kNowhere) return out;
  out.hash = text_in(value(h.hash, hash_), h.hash.coding);
  if (out.hash.empty()) return not_a(h.hash.pointer, "a block hash");
  if (parent_ != kNowhere) out.parent = text_in(replies[h.hash.request]->values[parent_], h.parent.coding);
  return out;
}

std::expected<AnswerValue, ProbeFailure> Family::syncing(const Reply& r) const {
  const SyncingAsk& s = *spec_.syncing;
  std::array<const Picked*, kMostPointers> values{};
  for (std::size_t i = 0; i < syncing_.size(); ++i) values[i] = &r.values[syncing_[i]];
  const auto gap = s.gap(std::span(values).first(syncing_.size()));
  if (!gap) return fail(Reason::kBadAnswer, std::string(s.expected));
  return AnswerValue{*gap, {}};
}

std::expected<AnswerValue, ProbeFailure> Family::block(std::uint64_t height, const Reply& r) const {
  const BlockAsk& b = *spec_.block;
  const Slot root = layout(CheckKind::kBlock).root;
  if (!r.values[root == kNowhere ? block_hash_ : root].present()) return AnswerValue{};  // it has no such block
  std::string hash = text_in(r.values[block_hash_], b.hash.coding);
  // A cache may answer with another block than was asked for.
  const bool other = block_number_ != kNowhere && number_in(r.values[block_number_], b.number.coding) != height;
  if (hash.empty() || other)
    return fail(Reason::kBadAnswer, fmt::format("{} is not the block that was asked for",
                                                dotted_path(b.root.empty() ? b.hash.pointer : b.root)));
  return AnswerValue{0, std::move(hash)};
}

std::expected<AnswerValue, ProbeFailure> Family::canary_answer(const Reply& r, const Context& context,
                                                               const config::Canary& canary) const {
  if (canary.at_most && r.latency > *canary.at_most)
    return fail(Reason::kLatencyTooHigh,
                fmt::format("it took {} ms, at most {} ms are expected",
                            std::chrono::duration_cast<milliseconds>(r.latency).count(), canary.at_most->count()));
  if (canary.expect.empty()) return AnswerValue{};
  const std::string place = dotted_path(canary.expect);
  if (!r.expected.present()) return fail(Reason::kBadAnswer, fmt::format("{} is null or missing", place));
  const std::string& text = r.expected.text;
  if (canary.equals && text != *canary.equals)
    return fail(Reason::kBadAnswer, fmt::format("{} is {}, expected {}", place, context.target.scrub(text),
                                                context.target.scrub(*canary.equals)));
  if (canary.matches && !canary.matches->found_in(text))
    return fail(Reason::kBadAnswer, fmt::format("{} is {}, which does not match", place, context.target.scrub(text)));
  return AnswerValue{};
}

std::expected<AnswerValue, ProbeFailure> Family::answer(const Check& check, const Reply& r, const Context& context,
                                                        const config::Canary* canary) const {
  const Layout& l = layout(check.kind);
  if (auto ok = require_good(spec_.errors, l, r, context.target); !ok) {
    const bool behind = check.kind == CheckKind::kSyncing && !spec_.syncing->behind_code.empty() &&
                        l.code != kNowhere && r.values[l.code].text == spec_.syncing->behind_code;
    // Providers limit our rate with the same code.
    if (!behind || r.of_another || ok.error().code == Reason::kRateLimited)
      return std::unexpected(std::move(ok.error()));
    const auto gap = to_integer(r.values[syncing_.front()]);
    return AnswerValue{gap.value_or(0) > 0 ? *gap : kUnknownGap, {}};
  }
  switch (check.kind) {
    case CheckKind::kIdentity: {
      const IdentityAsk& i = *spec_.identity;
      const Picked& value = r.values[identity_];
      std::string text = text_in(value, i.value.coding);
      if (!value.present()) text = i.otherwise;
      if (i.value.coding == Coding::kDigest58 && context.chain != nullptr && same_digest(text, context.chain->identity))
        text = context.chain->identity;
      if (text.empty()) return not_a(i.value.pointer, "a chain id");
      // The right one may stand in the URL too, and is no secret.
      const bool right = context.chain != nullptr && text == context.chain->identity;
      return AnswerValue{0, right ? std::move(text) : context.target.scrub(text)};
    }
    case CheckKind::kPeers: {
      const auto number = to_integer(r.values[peers_]);
      if (number) return AnswerValue{*number, {}};
      return not_a(spec_.peers->pointer, "a number of peers");
    }
    case CheckKind::kSyncing:
      return syncing(r);
    case CheckKind::kBlock:
      return block(check.argument, r);
    case CheckKind::kCanary:
      if (l.root != kNowhere && r.values[l.root].kind == Picked::Kind::kMissing &&
          (canary == nullptr || canary->expect.empty()))
        return fail(Reason::kBadAnswer, "it has neither result nor error");
      return canary != nullptr ? canary_answer(r, context, *canary) : AnswerValue{};
  }
  return AnswerValue{};
}

}  // namespace rpcw::rpc::family
