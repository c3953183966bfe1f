#include "config/context.hpp"

#include <fmt/format.h>

#include <utility>

#include "config/quantity.hpp"

namespace rpcw::config {

std::optional<Expanded> Context::expanded(Reader& r, std::string_view key, const Found<std::string>& from) const {
  auto out = expand(from.value, surroundings_.variable);
  if (!out) {
    for (std::string& fault : out.error()) r.error(from.place, key, std::move(fault));
    return std::nullopt;
  }
  return std::move(*out);
}

std::optional<std::string> Context::path(Reader& r, std::string_view key, const Found<std::string>& from) const {
  const auto text = expanded(r, key, from);
  if (!text) return std::nullopt;
  if (text->value.empty()) {
    r.error(from.place, key, blaming_empty("the path is empty", *text));
    return std::nullopt;
  }
  return std::filesystem::path(text->value).is_absolute() ? text->value : (directory_ / text->value).string();
}

std::optional<std::string> Context::contents(Reader& r, std::string_view key, Place place,
                                             const std::string& path) const {
  auto out = surroundings_.read_file(path);
  if (out) return std::move(*out);
  r.error(place, key, fmt::format("the file cannot be read: {}", out.error()));
  return std::nullopt;
}

std::string blaming_empty(std::string message, const Expanded& text) {
  for (const std::string& name : text.empty) message += fmt::format(" (the variable {} is empty)", name);
  return message;
}

void warn_of_empty(Reader& r, std::string_view key, Place place, const Expanded& text) {
  for (const std::string& name : text.empty) r.warning(place, key, fmt::format("the variable {} is empty", name));
}

void read_tls(Reader& r, const Context& context, bool wanted, TlsFiles& out) {
  const auto file = [&](std::string_view key, std::string& into) -> std::optional<Place> {
    const auto found = r.text(key);
    if (!found) return std::nullopt;
    if (!wanted) return found->place;
    if (auto path = context.path(r, key, *found)) {
      // A file that is missing would otherwise show as every provider failing at once.
      static_cast<void>(context.contents(r, key, found->place, *path));
      into = std::move(*path);
    }
    return found->place;
  };
  file("ca_file", out.ca_file);
  const auto cert = file("cert_file", out.cert_file);
  const auto key = file("key_file", out.key_file);
  if (cert && !r.has("key_file")) r.error(*cert, "cert_file", "cert_file needs key_file beside it");
  if (key && !r.has("cert_file")) r.error(*key, "key_file", "key_file needs cert_file beside it");
}

void read_bound(Reader& r, std::string_view low_key, const Given& low_given, milliseconds least, milliseconds& low,
                std::string_view high_key, const Given& high_given, milliseconds& high) {
  if (low <= high) return;
  if (low_given.valid() && high_given.valid())
    r.error(low_given.place, low_key,
            fmt::format("{} is longer than {}; accepted: {} to {}", duration_text(low), high_key, duration_text(least),
                        duration_text(high)));
  else if (low_given.valid())
    high = low;
  else
    low = high;
}

}  // namespace rpcw::config
