#include "config/pointer.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace rpcw::config {
namespace {

/// As many as rpc/json_pick follows.
constexpr std::size_t kMostSteps = 8;

}  // namespace

void read_pointer(Reader& r, std::string_view key, std::string& out, bool needed) {
  const auto found = r.text(key);
  if (!found) {
    if (needed && !r.has(key)) r.error(r.place(), key, "missing; expected a JSON pointer such as \"/node/height\"");
    return;
  }
  const auto wrong = [&](std::string_view why) {
    r.error(found->place, key,
            fmt::format("{} is no JSON pointer: {}; expected one such as \"/node/height\"", shown(found->value), why));
  };
  const std::string& text = found->value;
  // It is shown in checks and reasons.
  if (text.find("://") != std::string::npos) {
    wrong("it is a URL");
    return;
  }
  if (!text.starts_with('/')) {
    wrong("it does not begin with /");
    return;
  }
  for (std::size_t at = text.find('~'); at != std::string::npos; at = text.find('~', at + 1))
    if (at + 1 == text.size() || (text[at + 1] != '0' && text[at + 1] != '1')) {
      wrong("~ stands only in ~0 and ~1");
      return;
    }
  if (static_cast<std::size_t>(std::ranges::count(text, '/')) > kMostSteps) {
    wrong(fmt::format("it has more than {} steps", kMostSteps));
    return;
  }
  out = text;
}

}  // namespace rpcw::config
