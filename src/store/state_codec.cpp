#include "store/state_codec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "store/history_fields.hpp"

namespace rpcw::store {
namespace {

constexpr std::uint64_t kVersion = 7;

template <typename A>
void backend(A& a, FieldsOf<A, BackendSnapshot>& m) {
  a.text("name", m.name);
  a.text("settings", m.settings);
  a.text("canaries", m.canaries);
  const auto targets = [&a](const char* name, auto& keys, auto& histories) {
    // The key first; both vectors have one size.
    if constexpr (std::is_same_v<A, Saver>) {
      a.list(name, histories, kMostTargets, [&](A& o, const TargetHistory& t) {
        o.text("key", keys[static_cast<std::size_t>(&t - histories.data())]);
        fields::target(o, t);
      });
    } else {
      a.list(name, histories, kMostTargets, [&](A& o, TargetHistory& t) {
        o.text("key", keys.emplace_back());
        fields::target(o, t);
      });
    }
  };
  auto& h = m.history;
  targets("servers", m.servers, h.servers);
  targets("references", m.references, h.references);
  const std::size_t count = h.servers.size();

  fields::beside_targets(a, h);

  a.object("haproxy", [&](A& o) { fields::view(o, m.view); });
  a.demand(m.view.servers.empty() || m.view.servers.size() == count, "haproxy",
           "must have one row for each server, or none");

  a.boolean("decided", m.decided);
  a.flag("guessed", m.guessed);
  a.list("held", m.decision.servers, kMostTargets, [](A& o, FieldsOf<A, ServerDecision>& s) {
    o.choice("state", s.state, fields::kStates);
    o.integer("weight", s.weight, 0U, 256U);
  });
  a.demand(m.decision.servers.size() == count || (!m.decided && m.decision.servers.empty()), "held",
           "must have one element for each server");
  a.choice("fallback", m.decision.fallback, fields::kFallbacks);
  a.integer("healthy", m.decision.healthy, 0U, static_cast<unsigned>(kMostTargets));
}

}  // namespace

std::string encode(std::string_view salt, const std::vector<BackendSnapshot>& backends, Now now,
                   const std::vector<LeftOut>& left_out) {
  JsonWriter out;
  Saver saver(out, now.mono);
  out.begin_object();
  out.field("format", kStateFormat);
  out.field("version", kVersion);
  out.field("saved_ms", now.wall);
  out.field("salt", salt);
  saver.list("backends", backends, 0, [](Saver& s, const BackendSnapshot& m) { backend(s, m); });
  if (!left_out.empty())
    saver.list("left_out", left_out, 0, [](Saver& s, const LeftOut& m) {
      s.wall("saved_ms", m.saved);
      backend(s, m.backend);
    });
  out.end_object();
  return std::string(out.view()) + "\n";
}

std::expected<StoredState, std::string> decode(std::string_view text, Now now) {
  auto document = JsonDocument::parse(text, kMostStateBytes);
  if (!document) return std::unexpected(document.error());
  const JsonField root = document->root();
  const auto wrong = [&] { return std::unexpected(*document->error()); };
  // A file of another kind has all sorts of things missing: only this one says what it is.
  if (const std::string format = root["format"].text(); document->error() || format != kStateFormat)
    return std::unexpected(fmt::format("is no state file: its \"format\" is not \"{}\"", kStateFormat));
  const std::uint64_t version = root["version"].integer<std::uint64_t>();
  if (document->error()) return wrong();
  if (version != kVersion)
    return std::unexpected(fmt::format("has version {}, and this program reads version {}", version, kVersion));
  StoredState out;
  out.saved = root["saved_ms"].wall();
  out.salt = root["salt"].text();
  if (out.salt.size() != 32 || out.salt.find_first_not_of("0123456789abcdef") != std::string::npos)
    root["salt"].fail("must be 32 hexadecimal digits");
  if (document->error()) return wrong();
  // The upper bound keeps sums in range; such a state is of no use any more.
  const milliseconds elapsed = std::clamp(now.wall - out.saved, milliseconds{0}, milliseconds{kMostMs / 10'000});
  const MonoTime saved_at = now.mono - std::chrono::duration_cast<MonoTime>(elapsed);
  const JsonField list = root["backends"];
  const std::size_t count = list.size(kMostTargets);
  for (std::size_t i = 0; i < count && list.fine(); ++i) {
    Loader loader(list[i], saved_at);
    backend(loader, out.backends.emplace_back());
  }
  if (root["left_out"].present())
    Loader(root, saved_at).list("left_out", out.left_out, kMostTargets, [](Loader& l, LeftOut& m) {
      l.wall("saved_ms", m.saved);
      backend(l, m.backend);
    });
  if (document->error()) return wrong();
  return out;
}

}  // namespace rpcw::store
