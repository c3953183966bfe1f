#include "rpc/family/reply.hpp"

#include <algorithm>
#include <span>
#include <stdexcept>

#include "base/text.hpp"

namespace rpcw::rpc::family {
namespace {

bool is_limit_page(std::span<const LimitPage> pages, const HttpAnswer& answer) {
  // A page of the node's own is a sentence.
  constexpr std::size_t kLongest = 256;
  return std::ranges::any_of(pages, [&](const LimitPage& page) {
    if (answer.status != page.status) return false;
    if (page.words.empty()) return answer.body.empty();
    return lower(answer.body.substr(0, kLongest)).find(page.words) != std::string::npos;
  });
}

/// Why an answer is not JSON, without quoting it: it may be a page that repeats the URL.
std::string_view looks_like(std::string_view body) {
  const std::size_t start = std::min(body.find_first_not_of(" \t\r\n"), body.size());
  body.remove_prefix(start);
  if (body.empty()) return "the body is empty";
  if (body.front() == '<') return "the body is HTML or XML, not JSON";
  if (body.front() == '{' || body.front() == '[') return "the body is broken or cut-off JSON";
  return "the body is not JSON";
}

/// Every single request has the id 1. Null stands in answers to what could not be read, and some gateways leave the id
/// out or give it back in another notation.
bool is_other_id(const Picked& id) {
  return id.present() && id.text != "1.0" && to_integer(id) != std::uint64_t{1};
}

}  // namespace

Slot slot_of(Pointers& pointers, std::string_view pointer) {
  if (pointer.empty()) return kNowhere;
  const auto at = std::ranges::find(pointers, pointer);
  const auto out = static_cast<Slot>(at - pointers.begin());
  if (at == pointers.end()) pointers.push_back(pointer);
  if (pointers.size() > kMostPointers) throw std::logic_error("a chain family has too many values in one answer");
  return out;
}

Pointers without_envelope(const Spec& spec, const Pointers& pointers) {
  Pointers out;
  for (std::string_view pointer : pointers) {
    // Without its envelope an error has no place of its own: its code tells that it is there.
    if (pointer == spec.errors.error) pointer = spec.errors.code;
    for (const std::string_view around : {spec.envelope, spec.errors.error})
      if (pointer.starts_with(around) && pointer.size() > around.size()) {
        pointer.remove_prefix(around.size());
        break;
      }
    out.push_back(pointer);
  }
  return out;
}

Layout basic_layout(const Spec& spec, const Ask& ask, std::string_view root) {
  Layout out;
  out.id = slot_of(out.pointers, spec.id);
  out.error = slot_of(out.pointers, ask.error.empty() ? spec.errors.error : ask.error);
  out.code = slot_of(out.pointers, spec.errors.code);
  out.message = slot_of(out.pointers, spec.errors.message);
  out.other_message = slot_of(out.pointers, spec.errors.other_message);
  out.root = slot_of(out.pointers, root);
  return out;
}

Reply read_reply(const Spec& spec, const Layout& layout, const HttpAnswer& answer) {
  Reply out{.status = answer.status, .retry_after = answer.retry_after, .latency = answer.latency};
  out.limit_page = is_limit_page(spec.errors.limit_pages, answer);
  out.json = pick(answer.body, layout.pointers, out.values);
  const auto nothing = [&] {
    return std::ranges::none_of(std::span(out.values).first(layout.pointers.size()),
                                [](const Picked& value) { return value.kind != Picked::Kind::kMissing; });
  };
  if (out.json && !layout.bare.empty() && nothing()) pick(answer.body, layout.bare, out.values);
  // Drops the values that were found before it turned out not to be JSON.
  if (!out.json) {
    out.values = {};
    out.fault = looks_like(answer.body);
  }
  out.of_another = layout.id != kNowhere && is_other_id(out.values[layout.id]);
  return out;
}

}  // namespace rpcw::rpc::family
