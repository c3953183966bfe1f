#include "config/own_family.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "base/text.hpp"
#include "config/pointer.hpp"
#include "config/targets.hpp"

namespace rpcw {

Offers OwnFamily::offers() const {
  return {.hash = !head.hash.empty(),
          .time = !head.time.empty(),
          .identity = identity.has_value(),
          .syncing = syncing.has_value(),
          .peers = peers.has_value(),
          .block = block.has_value(),
          .head_requests = 1};
}

namespace config {
namespace {

void read_request(Reader& r, OwnFamily::Request& out, std::vector<std::string>& rate_limited) {
  r.choice<bool>("method", out.post, {{"GET", false}, {"POST", true}});
  if (const auto path = r.text("path")) {
    out.path = path->value;
    const bool clean =
        std::ranges::all_of(out.path, [](char c) { return c > 0x20 && c < 0x7f && c != '\\' && c != '"' && c != '#'; });
    if (!out.path.empty() && (!out.path.starts_with('/') || !clean))
      r.error(path->place, "path", "this is no path; expected one such as \"/status\"");
  }
  if (const auto body = r.text("body")) {
    out.body = body->value;
    if (!out.body.empty() && !out.post) r.error(body->place, "body", "a GET has no body; set method = \"POST\"");
  }
  if (const Node* headers = r.free_table("headers")) read_plain_headers(r, *headers, out.headers);
  read_pointer(r, "error", out.error, false);
  for (const auto& words : r.texts("rate_limited")) {
    if (words.value.empty()) r.error(words.place, "rate_limited", "an empty text is in every message");
    rate_limited.push_back(lower(words.value));
  }
}

}  // namespace

void Families::read(Reader& r) {
  auto out = std::make_shared<OwnFamily>();
  const auto name = r.text("name");
  if (!name) {
    if (!r.has("name")) r.error(r.place(), "name", "missing; every [[family]] needs a name");
  } else {
    const bool good = !name->value.empty() && std::ranges::all_of(name->value, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
    const auto twin = std::ranges::find_if(own_, [&](const Own& own) { return own.family->name == name->value; });
    if (!good)
      r.error(name->place, "name", fmt::format("{} is no family's name; accepted: a-z 0-9 -", shown(name->value)));
    else if (find_family(name->value) != nullptr)
      r.error(name->place, "name", fmt::format("{} is a family that is already known", shown(name->value)));
    else if (twin != own_.end())
      r.error(name->place, "name",
              fmt::format("the family {} is already defined on line {}", shown(name->value), twin->place.line));
    out->name = name->value;
  }
  if (!r.has_table("head"))
    r.error(r.place(), "head", "missing; a [family.head] with the path and a pointer to the height is needed");
  else
    r.table("head", [&](Reader& t) {
      if (t.absent()) return;
      read_request(t, out->head, out->rate_limited);
      read_pointer(t, "height", out->head.height, true);
      t.choice<OwnFamily::Number>("height_encoding", out->head.height_encoding,
                                  {{"decimal", OwnFamily::Number::kAny},
                                   {"number", OwnFamily::Number::kAny},
                                   {"hex", OwnFamily::Number::kHex}});
      read_pointer(t, "time", out->head.time, false);
      using Time = OwnFamily::Time;
      t.choice<Time>("time_encoding", out->head.time_encoding,
                     {{"seconds", Time::kSeconds},
                      {"ms", Time::kMilliseconds},
                      {"us", Time::kMicroseconds},
                      {"ns", Time::kNanoseconds},
                      {"rfc3339", Time::kRfc3339},
                      {"slots", Time::kSlots}});
      read_pointer(t, "hash", out->head.hash, false);
    });
  const auto part = [&](std::string_view key, auto& slot, auto read) {
    if (!r.has_table(key)) return;
    r.table(key, [&](Reader& t) {
      if (t.absent()) return;
      // Not emplace(): clang 19 says that the nested type has no default constructor yet.
      auto& value = slot.emplace(typename std::remove_cvref_t<decltype(slot)>::value_type{});
      read_request(t, value, out->rate_limited);
      read(t, value);
    });
  };
  part("identity", out->identity, [](Reader& t, OwnFamily::Identity& v) { read_pointer(t, "id", v.id, true); });
  part("syncing", out->syncing, [](Reader& t, OwnFamily::Syncing& v) {
    read_pointer(t, "syncing", v.syncing, false);
    read_pointer(t, "behind", v.behind, false);
    if (!t.has("syncing") && !t.has("behind"))
      t.error(t.place(), "syncing", "missing; expected a pointer to a boolean, or behind with one to a number");
  });
  part("peers", out->peers, [](Reader& t, OwnFamily::Peers& v) { read_pointer(t, "peers", v.peers, true); });
  part("block", out->block, [](Reader& t, OwnFamily::Block& v) {
    read_pointer(t, "hash", v.hash, true);
    read_pointer(t, "height", v.height, false);
    if (v.path.find("{height}") == std::string::npos && v.body.find("{height}") == std::string::npos)
      t.error(t.place(), "", "neither path nor body has {height}, which stands for the height asked for");
  });
  if (!out->name.empty() && find_family(out->name) == nullptr && find(out->name) == nullptr)
    own_.push_back({std::move(out), r.place()});
}

std::vector<std::string_view> Families::names() const {
  std::vector<std::string_view> out;
  for (const KnownFamily& family : known_families()) out.push_back(family.name);
  for (const Own& own : own_) out.emplace_back(own.family->name);
  return out;
}

std::shared_ptr<const OwnFamily> Families::find(std::string_view name) const {
  const auto at =
      std::ranges::find_if(own_, [&](const Own& own) { return std::string_view(own.family->name) == name; });
  return at == own_.end() ? nullptr : at->family;
}

}  // namespace config
}  // namespace rpcw
